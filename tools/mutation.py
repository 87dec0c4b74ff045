"""Changes the safety rules one by one and sees whether a test fails: `python -m tools.mutation [NAME…]`.

mutmut makes the changes and runs the tests that cover each. The run fails when fewer than 90 in 100 changes are found, or
when a change that no test finds is not listed with a reason in `tests/survivors.yml`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
COPY = ROOT / ".build" / "mutation"
SURVIVORS = ROOT / "tests" / "survivors.yml"
LEAST = 0.9
"""Share of the changes that a test has to find."""

FOUND = frozenset({"killed", "timeout", "caught by type check"})
NOT_FOUND = frozenset({"survived", "no tests", "suspicious"})


def main(names: list[str]) -> int:
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, tracked.split("\0")):
        target = COPY / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists() or target.stat().st_mtime < (ROOT / name).lstat().st_mtime:
            shutil.copy2(ROOT / name, target, follow_symlinks=False)
    environment = {**os.environ, "CICD_ACTIONS_EXAMPLES": "ci"}
    program = [sys.executable, "-m", "mutmut"]
    subprocess.run([*program, "run", *names], cwd=COPY, env=environment, check=True)
    listed = subprocess.run([*program, "results", "--all", "true"], cwd=COPY, check=True, capture_output=True, text=True).stdout
    results = dict(re.findall(r"^\s*(\S+): (.+)$", listed, re.MULTILINE))
    told = Counter(results.values())
    alive = [name for name, result in results.items() if result in NOT_FOUND]
    known = {(entry["function"], entry["change"].strip()) for entry in _survivors()}
    new = []
    for name in alive:
        shown = subprocess.run([*program, "show", name], cwd=COPY, check=True, capture_output=True, text=True).stdout
        change = "\n".join(line for line in shown.splitlines() if re.match(r"[+-](?![+-])", line))
        if (re.sub(r"__mutmut_\d+$", "", name), change.strip()) not in known:
            new.append(f"{name}: {results[name]}\n{change}")
    print("\n\n".join(new))
    judged = sum(told[result] for result in FOUND | NOT_FOUND)
    share = sum(told[result] for result in FOUND) / judged if judged else 0.0
    print(f"\n{judged} changes, {share:.1%} found by a test, {len(new)} not found and not listed: {dict(told)}")
    return 0 if share >= LEAST and not new else 1


def _survivors() -> list[dict[str, str]]:
    """Returns the listed changes: `function`, `change` (lines with + and -) and `reason`."""
    if not SURVIVORS.exists():
        return []
    entries: list[dict[str, str]] = yaml.safe_load(SURVIVORS.read_text(encoding="utf-8"))
    return [entry for entry in entries if entry["reason"]]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
