"""Changes the safety rules one by one and sees whether a test fails: `python -m tools.mutation [PART…] [--jobs N]`.

mutmut makes the changes and runs the unit tests that cover each. A part fails when fewer than 90 in 100 of its changes are
found, when a change that no test finds is not listed with a reason in `tests/survivors.yml`, and when that file lists one that
a test does find. The results are kept in `.build/mutation`: a second run tests again what was not found, and what is new.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
COPIES = ROOT / ".build" / "mutation"
SURVIVORS = ROOT / "tests" / "survivors.yml"
LEAST = 0.9
"""Share of the changes that a test has to find."""

FOUND = frozenset({"killed", "timeout", "caught by type check"})
NOT_FOUND = frozenset({"survived", "no tests", "suspicious"})


@dataclass(frozen=True)
class Part:
    """One rule of safety: the modules that hold it (below `src/cicd_actions`), and its tests (below `tests/unit`)."""

    modules: str
    tests: str


PARTS = {
    "judge": Part("health_gate/judge toolkit/verdict", "health_gate/test_judge.py health_gate/test_report.py"),
    "proof": Part("github/proof", "github/test_proof.py github/test_records.py"),
    "records": Part("github/release_record github/history", "github/test_release_record.py github/test_history.py"),
    "reading-records": Part(
        "github/records github/statuses", "github/test_reading_records.py github/test_records.py github/test_proof.py"
    ),
    "redaction": Part("toolkit/redaction", "toolkit/test_redaction.py"),
    "rollback-plan": Part("rollback_to_previous_sha/plan", "rollback"),
    "schema-guard": Part("rollback_to_previous_sha/schema_guard", "rollback"),
    "release-order": Part("engines/release", "engines/test_release.py"),
    "drift": Part(
        "verify_openapi_client/drift verify_openapi_client/judgement",
        "verify_openapi_client/test_judgement.py verify_openapi_client/test_drift.py",
    ),
    "expressions": Part("workflows/expressions", "workflows"),
}


def main(names: list[str], jobs: int) -> int:
    """Returns 1 when a part fails."""
    return max([judge(name, jobs) for name in names])


def judge(name: str, jobs: int) -> int:
    """Runs a part, prints what was not found, and returns 1 when it fails."""
    copy = copied(name)
    program = [sys.executable, "-m", "mutmut"]
    environment = {**os.environ, "CICD_ACTIONS_EXAMPLES": "ci"}
    run = [*program, "run", "--max-children", str(jobs)]
    again = [change for change, result in results(copy).items() if result in NOT_FOUND]
    subprocess.run(run, cwd=copy, env=environment, check=True)
    if again:
        subprocess.run([*run, *again], cwd=copy, env=environment, check=True)
    found = results(copy)
    told = Counter(found.values())
    listed = survivors(name)
    unknown = []
    alive = set()
    for change in (change for change, result in found.items() if result in NOT_FOUND):
        function, lines = shown(copy, change)
        alive.add((function, lines))
        if (function, lines) not in listed:
            unknown.append(f"{change}: {found[change]}\n{lines}")
    stale = [f"{function} is listed in {SURVIVORS.name}, and a test finds it:\n{lines}" for function, lines in listed - alive]
    judged = sum(told[result] for result in FOUND | NOT_FOUND)
    share = sum(told[result] for result in FOUND) / judged if judged else 0.0
    print("\n\n".join(unknown + stale))
    print(f"\n{name}: {judged} changes, {share:.1%} found by a test, {len(unknown)} not found and not listed: {dict(told)}")
    return 0 if share >= LEAST and not unknown and not stale else 1


def copied(name: str) -> Path:
    """Returns a copy of the tracked files for the part, with mutmut's settings; what did not change is left alone."""
    copy = COPIES / name
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for path in filter(None, listed.split("\0")):
        source, target = ROOT / path, copy / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.exists() and (not target.exists() or target.stat().st_mtime < source.lstat().st_mtime):
            shutil.copy2(source, target, follow_symlinks=False)
    part = PARTS[name]
    lists = {
        "source_paths": ["src"],
        "only_mutate": [f"src/cicd_actions/{module}.py" for module in part.modules.split()],
        "also_copy": ["tests", "tools", "demo", "examples", "actions", "bin", ".github", "docs"],
        "pytest_add_cli_args_test_selection": [f"tests/unit/{test}" for test in part.tests.split()],
        "pytest_add_cli_args": ["-n0", "-p", "no:cacheprovider"],
        # Of the time that the tests of a change take, and a second. mutmut's own 15 lets an endless loop run for minutes.
        "timeout_multiplier": ["5"],
    }
    written = "".join(f"{key} =\n" + "".join(f"    {value}\n" for value in values) for key, values in lists.items())
    (copy / "setup.cfg").write_text(f"[mutmut]\n{written}", encoding="utf-8")
    return copy


def results(copy: Path) -> dict[str, str]:
    """Returns the result of each change, by mutmut's name for it; nothing before the first run."""
    if not (copy / "mutants").exists():
        return {}
    program = [sys.executable, "-m", "mutmut", "results", "--all", "true"]
    listed = subprocess.run(program, cwd=copy, check=True, capture_output=True, text=True).stdout
    return dict(re.findall(r"^\s*(\S+): (.+)$", listed, re.MULTILINE))


def shown(copy: Path, change: str) -> tuple[str, str]:
    """Returns the function that a change is in, and its lines with + and -."""
    function = re.sub(r"__mutmut_\d+$", "", change)
    module, _, name = function.rpartition(".")
    bodies = _bodies(copy / f"mutants/src/{module.replace('.', '/')}.py")
    was, now = bodies[f"{name}__mutmut_orig"], bodies[change.rpartition(".")[2]]
    lines = difflib.unified_diff(was, now, n=0, lineterm="")
    return function, "\n".join(line.rstrip() for line in lines if re.match(r"[+-](?![+-])", line))


@cache
def _bodies(path: Path) -> dict[str, list[str]]:
    """Returns the lines of each function below its `def`. `mutmut show` has the same, and takes seconds for each change."""
    text = path.read_text(encoding="utf-8")
    found = {}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            whole = text.splitlines()[node.lineno - 1 : node.end_lineno]
            found[node.name] = textwrap.dedent("\n".join(whole)).splitlines()[1:]
    return found


def survivors(name: str) -> set[tuple[str, str]]:
    """Returns the listed changes of a part: function and lines. Raises `ValueError` for one without a reason."""
    entries = yaml.safe_load(SURVIVORS.read_text(encoding="utf-8")).get(name) or []
    for entry in entries:
        if not entry["reason"].strip():
            raise ValueError(f"{SURVIVORS.name} lists a change of {entry['function']} without a reason")
    return {(entry["function"], entry["change"].rstrip()) for entry in entries}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"default: {' '.join(PARTS)}")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many changes are tested at a time")
    given = parser.parse_args()
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; choose from {', '.join(PARTS)}")
    sys.exit(main(given.parts or list(PARTS), given.jobs))
