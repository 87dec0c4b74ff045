"""A team's own tests after the gate: what they are told, and what each way to end means for the release."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from cicd_actions.pipeline.smoke_tests import Inputs, run
from cicd_actions.toolkit.errors import Failed, Inconclusive
from cicd_actions.toolkit.inputs import load
from cicd_actions.toolkit.report import Report
from cicd_actions.toolkit.runtime import Runtime


def ended(*commands: str, timeout: str = "1m", **variables: str) -> tuple[Report, str]:
    services = [{"name": "web-shop", "url": "https://shop.example/", "health": [{"path": "/"}]}]
    settings = {"name": "staging", "services": services, "smoke": list(commands), "smoke-timeout": timeout}
    log = io.StringIO()
    runtime = Runtime({"PATH": "/usr/bin:/bin", **variables}, log)
    return run(load(Inputs, {"settings": json.dumps(settings), "sha": "c" * 40}, runtime.redactor), runtime), log.getvalue()


def test_run_each_test_knows_commit_environment_address_and_deploy_env(tmp_path: Path) -> None:
    script = tmp_path / "smoke.py"
    script.write_text("import os, sys; print(*sys.argv[1:], os.environ['WEB_SHOP_URL'], 'DEPLOY_ENV' in os.environ)")
    report, log = ended(
        f"{sys.executable} {script} {{sha}} {{environment}}", "sh -c 'echo $TOKEN'", DEPLOY_ENV="TOKEN=s3cr3t-x\n"
    )
    assert report.outputs["verdict"] == "pass"
    assert f"{'c' * 40} staging https://shop.example False" in log
    assert "s3cr3t-x" not in log


def test_run_test_that_fails_ends_them_and_proves_the_release_wrong(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="failed with exit code 3: `sh -c 'exit 3'`"):
        ended("sh -c 'exit 3'", f"touch {tmp_path}/later")
    assert not (tmp_path / "later").exists()


def test_run_test_that_does_not_end_proves_nothing() -> None:
    with pytest.raises(Inconclusive, match=r"did not end within 0\.2 s"):
        ended("sleep 60", timeout="200ms")
