"""The self-test's program that shows how GitHub treats two approvals, on a stand-in for `gh`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GH = """#!PYTHON -IS
import json, os, sys
file = os.environ["RUNS"]
runs = json.load(open(file)) if os.path.exists(file) else []
if sys.argv[1:3] == ["workflow", "run"]:
    for run in runs:
        run.update(SUPERSEDED)
    runs.insert(0, {"id": len(runs) + 1, "status": "STATUS", "conclusion": None})
elif sys.argv[1:3] == ["run", "cancel"]:
    runs[0]["conclusion"] = "ended"
else:
    print(json.dumps({"workflow_runs": runs}))
json.dump(runs, open(file, "w"))
"""


def shown(folder: Path, superseded: str, status: str = "waiting") -> subprocess.CompletedProcess[str]:
    (folder / "gh").write_text(GH.replace("PYTHON", sys.executable).replace("SUPERSEDED", superseded).replace("STATUS", status))
    (folder / "gh").chmod(0o755)
    variables = {"RUNS": str(folder / "runs"), "PAUSE": "0.005", "GITHUB_REPOSITORY": "org/app", "GITHUB_REF_NAME": "main"}
    words = [sys.executable, str(ROOT / "tests" / "self_test" / "supersede.py"), "waits.yml"]
    path = {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(words, env={**os.environ, **variables, **path}, capture_output=True, text=True, check=False)


def test_main_first_run_that_is_cancelled_proves_it_and_the_second_is_ended(tmp_path: Path) -> None:
    done = shown(tmp_path, '{"status": "completed", "conclusion": "cancelled"}')
    assert done.returncode == 0, done.stderr
    assert "Run 2 took the place of 1" in done.stdout
    assert '"ended"' in (tmp_path / "runs").read_text()


@pytest.mark.parametrize(("superseded", "status"), [("{}", "waiting"), ("{}", "completed")])
def test_main_run_that_goes_on_waiting_or_never_waits_is_an_error(superseded: str, status: str, tmp_path: Path) -> None:
    done = shown(tmp_path, superseded, status)
    assert done.returncode == 1
    assert "self-test-approval needs required reviewers" in done.stderr
