"""No regular expression of ours takes long for a text that a stranger chose."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SIZE = 20_000
"""Characters of a text: a cubic pattern takes too long for it as well."""

SECONDS = 1800

PROGRAM = r"""
import importlib, pkgutil, re, resource, sys
import cicd_actions
size, seconds = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
parts = ["a", " ", "-", "0", "/", "a ", "a-", "a.", "a/", "${", "'", '"', "\\", "=", ":", "a: ", "\n", "a\n", "%2", "&#", "@a"]
texts = [part * (size // len(part)) + end for part in parts for end in ("", "!", "\0")]
known = set()
for found in pkgutil.walk_packages(cicd_actions.__path__, "cicd_actions."):
    if "in_image" in found.name or "in_project" in found.name or found.name.endswith("__main__"):
        continue
    module = importlib.import_module(found.name)
    for name, value in list(vars(module).items()):
        if isinstance(value, re.Pattern) and isinstance(value.pattern, str) and value.pattern not in known:
            known.add(value.pattern)
            print(found.name, name, flush=True)
            for text in texts:
                value.search(text), value.match(text), value.fullmatch(text)
print("all", len(known))
"""


def test_every_pattern_ends_soon_on_hostile_text() -> None:
    """The processor time of all patterns together is limited: the one that ran last is the one that does not end."""
    words = [sys.executable, "-c", PROGRAM, str(SIZE), str(SECONDS)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3] / "src")}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    last = done.stdout.strip().splitlines()[-1:]
    assert done.returncode == 0, f"{last} did not end: {done.stderr[-500:]}"
    assert int(last[0].split()[1]) > 100
