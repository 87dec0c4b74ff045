"""A consumer's workflows where there is no network, and where the surroundings are not kind to Python."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.workflows.conftest import ALONE, ROOT, STEPS_GET, TREE
from tests.harness.measuring import MEASURED

HERE = "tests/e2e/workflows"
POISON = "raise SystemExit('poisoned')"
# Loopback alone, where the tests' own servers are.
IN_A_NAMESPACE = 'set -eu; ip link set lo up; ! ip route get 192.0.2.1 2>/dev/null; umask 077; exec "$@"'


def test_every_action_and_the_pipeline_need_nothing_of_the_outside(exported: Path, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("namespaces are made by root only")
    poisoned = tmp_path / "poisoned"
    poisoned.mkdir()
    for name in ("httpx", "github", "docker", "yaml", "h11", "cicd_actions", "sitecustomize", "startup"):
        (poisoned / f"{name}.py").write_text(POISON)
    hostile = {
        "PYTHONPATH": str(poisoned),
        "PYTHONHOME": "/nonexistent",
        "PYTHONSTARTUP": str(poisoned / "startup.py"),
        "PYTHONUSERBASE": str(poisoned),
        "PYTHONWARNINGS": "error",
        "VIRTUAL_ENV": str(poisoned),
        "UV_PROJECT": str(poisoned),
        "UV_PYTHON": "/nonexistent",
        "PIP_TARGET": str(poisoned),
        "LC_ALL": "C",
    }
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--basetemp"]
    done = subprocess.run(
        [
            "unshare",
            "--net",
            "bash",
            "-c",
            IN_A_NAMESPACE,
            "bash",
            *words,
            tmp_path / "bäse",
            *(f"{HERE}/{name}" for name in ALONE),
        ],
        cwd=ROOT,
        env={**os.environ, **MEASURED, TREE: str(exported), STEPS_GET: json.dumps(hostile)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert f"{len(ALONE)} passed" in done.stdout
