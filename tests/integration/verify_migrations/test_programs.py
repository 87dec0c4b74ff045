"""Programs of a project that run at the same time."""

from __future__ import annotations

import io
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.inputs import load
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.verify_migrations.inputs import Inputs
from cicd_actions.verify_migrations.project import Programs, Tree
from cicd_actions.verify_migrations.sqlite import SqliteAddress

_PYTHON = f"""#!{sys.executable} -IS
import json, os, sys
told = json.load(open(sys.argv[3]))
json.dump([told["reached"], os.environ["DATABASE_URL"]], open(told["result"], "w"))
"""


def test_programs_at_the_same_time_get_their_own_options_and_results(tmp_path: Path) -> None:
    for folder in ("bin", "scratch", "tree"):
        (tmp_path / folder).mkdir()
    python = tmp_path / "bin/python3"
    python.write_text(_PYTHON)
    python.chmod(0o755)
    runtime = Runtime({"PATH": f"{python.parent}:{os.environ['PATH']}"}, io.StringIO())
    programs = Programs(load(Inputs, {}, runtime.redactor), runtime, Deadline(60), tmp_path / "scratch")
    count = 16
    together = threading.Barrier(count)

    def run(number: int) -> list[str]:
        address = SqliteAddress(f"sqlite:///{number}", "", 0, "", "", str(number), "")
        together.wait(60)
        found: object = programs.python(Tree(tmp_path, tmp_path / "tree"), "upgrade", address)
        assert isinstance(found, list)
        return found

    with ThreadPoolExecutor(count) as threads:
        assert list(threads.map(run, range(count))) == [[str(number), f"sqlite:///{number}"] for number in range(count)]
