"""Stands in for a command line: it takes exactly the calls that the test names, in their order, and fails on any other.

A call is a list of arguments, each compared as it is. What it answers is data: text, its exit code, and what it says on
standard error. Standard input is not read.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_PROGRAM = """#!{python} -IS
import json, os, sys
folder = {folder!r}
calls = json.load(open(os.path.join(folder, "calls.json")))
done = os.path.join(folder, "done")
at = len(os.listdir(done))
given = [os.path.basename(sys.argv[0]), *sys.argv[1:]]
open(os.path.join(done, str(at)), "w").write(json.dumps(given))
if at >= len(calls) or calls[at]["words"] != given:
    wanted = calls[at]["words"] if at < len(calls) else "no call"
    sys.stderr.write(f"call {{at}} is {{given}}, but the test expects {{wanted}}\\n")
    sys.exit(97)
sys.stdout.write(calls[at]["says"])
sys.stderr.write(calls[at]["complains"])
sys.exit(calls[at]["code"])
"""


@dataclass(frozen=True)
class Call:
    """One expected call, the program's name first, and its answer."""

    words: list[str]
    says: str = ""
    code: int = 0
    complains: str = ""


def call(words: str, *more: str, says: Any = "", code: int = 0, complains: str = "") -> Call:
    """A call; `words` are split at spaces, `more` are not. What it says is text, or an object as JSON."""
    return Call([*words.split(), *more], says if isinstance(says, str) else json.dumps(says), code, complains)


class Standins:
    """The programs of one folder, which comes first on PATH."""

    def __init__(self, folder: Path, *names: str) -> None:
        self._folder = folder
        (folder / "done").mkdir(parents=True)
        (folder / "bin").mkdir()
        for name in names:
            program = folder / "bin" / name
            program.write_text(_PROGRAM.format(python=sys.executable, folder=str(folder)))
            program.chmod(0o755)
        self.variables = {"PATH": f"{folder}/bin:{os.environ['PATH']}"}

    def expect(self, *calls: Call) -> None:
        """Sets the calls that come next."""
        for path in (self._folder / "done").iterdir():
            path.unlink()
        (self._folder / "calls.json").write_text(json.dumps([asdict(each) for each in calls]))

    def assert_all(self, said: str = "") -> None:
        """Asserts that every call was made, and no other."""
        expected = [each["words"] for each in json.loads((self._folder / "calls.json").read_text())]
        done = sorted((self._folder / "done").iterdir(), key=lambda path: int(path.name))
        made = [json.loads(path.read_text()) for path in done]
        assert made == expected, f"made: {made}\nexpected: {expected}\n{said}"
