"""Which images a job builds, and what becomes of those that were built on another runner."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from cicd_actions.pipeline.build_images import Inputs, run
from cicd_actions.toolkit.background import Background
from cicd_actions.toolkit.errors import Failed, UnusableInput
from cicd_actions.toolkit.inputs import load
from cicd_actions.toolkit.report import Report
from cicd_actions.toolkit.runtime import Runtime

API, ARM = "sha256:" + "a" * 64, "sha256:" + "b" * 64


@pytest.fixture
def build(tmp_path: Path) -> dict[str, Any]:
    program = tmp_path / "build.py"
    program.write_text(f"import json, sys; print(json.dumps({{'digest': {{'api': '{API}', 'arm': '{ARM}'}}[sys.argv[1]]}}))")
    images = {
        name: {"repository": f"ghcr.io/org/{name}", "command": f"{sys.executable} {program} {{name}}"}
        for name in ("arm", "api")
    }
    return {"sha": "c" * 40, "images": images, "separate": ["arm"]}


def built(build: dict[str, Any], folder: Path, **inputs: str) -> Report:
    runtime = Runtime({"RUNNER_TEMP": str(folder)}, io.StringIO())
    return run(load(Inputs, {"build": json.dumps(build), **inputs}, runtime.redactor), runtime)


def jobs(**digests: object) -> str:
    """The context `needs` of jobs that built one image each."""
    return json.dumps({name: {"result": "success", "outputs": {"digests": json.dumps(each)}} for name, each in digests.items()})


def attested(report: Report) -> dict[str, str]:
    """The images that actions/attest gets: each digest by its repository."""
    lines = Path(str(report.outputs["checksums"])).read_text().splitlines()
    return {repository: f"sha256:{digest}" for digest, repository in (line.split("  ") for line in lines)}


def test_run_image_with_its_own_runner_is_built_alone_and_then_handed_on(build: dict[str, Any], tmp_path: Path) -> None:
    alone = built(build, tmp_path, image="arm")
    assert alone.outputs["digests"] == {"arm": ARM}
    rest = built(build, tmp_path, built=jobs(arm=alone.outputs["digests"]))
    assert rest.outputs["digests"] == {"arm": ARM, "api": API}
    assert attested(rest) == {"ghcr.io/org/arm": ARM, "ghcr.io/org/api": API}
    only = built({**build, "images": {"arm": build["images"]["arm"]}}, tmp_path, built=jobs(arm=alone.outputs["digests"]))
    assert (only.outputs["digests"], attested(only)) == ({"arm": ARM}, {"ghcr.io/org/arm": ARM})


def test_run_two_images_with_their_own_runners_are_both_handed_on(build: dict[str, Any], tmp_path: Path) -> None:
    report = built({**build, "separate": ["arm", "api"]}, tmp_path, built=jobs(arm={"arm": ARM}, api={"api": API}))
    assert report.outputs["digests"] == {"arm": ARM, "api": API}
    assert attested(report) == {"ghcr.io/org/arm": ARM, "ghcr.io/org/api": API}


def test_run_outputs_of_a_job_that_was_skipped_are_not_read(build: dict[str, Any], tmp_path: Path) -> None:
    """GitHub leaves them out, act leaves the expressions."""
    for job in ({"result": "skipped", "outputs": {}}, {"result": "skipped", "outputs": {"digests": "${{ x }}"}}):
        report = built({**build, "separate": []}, tmp_path, built=json.dumps({"build-1": job}))
        assert report.outputs["digests"] == {"arm": ARM, "api": API}


def test_run_image_that_the_other_job_did_not_name_fails(build: dict[str, Any], tmp_path: Path) -> None:
    for others in ("{}", jobs(x={"x": ARM}), json.dumps({"build-1": {"result": "skipped", "outputs": {}}})):
        with pytest.raises(Failed, match="Could not tell the digest of the image `arm`"):
            built(build, tmp_path, built=others)


SECRETS = "NPM_TOKEN=npm-s3cr3t\nOTHER=other-s3cr3t\n"


def test_run_command_gets_the_secrets_that_its_image_names_and_no_other(build: dict[str, Any], tmp_path: Path) -> None:
    program = tmp_path / "own.py"
    told = "{k: os.environ.get(k) for k in ('NPM_TOKEN', 'OTHER', 'BUILD_ENV')}"
    program.write_text(f"import json, os; print({told}); print(json.dumps({{'digest': '{API}'}}))")
    image = {"repository": "ghcr.io/org/api", "command": f"{sys.executable} {program}", "build-secrets": ["NPM_TOKEN"]}
    log = io.StringIO()
    runtime = Runtime({"RUNNER_TEMP": str(tmp_path), "BUILD_ENV": SECRETS, "GITHUB_ACTIONS": "true"}, log)
    run(load(Inputs, {"build": json.dumps({**build, "images": {"api": image}, "separate": []})}, runtime.redactor), runtime)
    assert "{'NPM_TOKEN': '***', 'OTHER': None, 'BUILD_ENV': None}" in log.getvalue()
    # What a program prints elsewhere is masked by the runner.
    assert "::add-mask::npm-s3cr3t\n" in log.getvalue()


def test_run_secret_that_is_missing_is_one_of_the_repository(build: dict[str, Any], tmp_path: Path) -> None:
    build["images"]["api"]["build-secrets"] = ["NPM_TOKEN"]
    with pytest.raises(UnusableInput) as raised:
        built(build, tmp_path)
    assert "BUILD_ENV of the repository: it does not set NPM_TOKEN" in str(raised.value)
    assert "gh secret set BUILD_ENV < file.env" in str(raised.value)


def test_run_command_that_leaves_a_child_with_its_output_open_is_over_when_it_ends(
    build: dict[str, Any], tmp_path: Path
) -> None:
    pid = tmp_path / "pid"
    leave = f"import pathlib, subprocess; pathlib.Path('{pid}').write_text(str(subprocess.Popen(['sleep', '600']).pid))\n"
    program = tmp_path / "build.py"
    program.write_text(leave + program.read_text())
    try:
        assert Background(lambda: built(build, tmp_path, image="arm")).result(60).outputs["digests"] == {"arm": ARM}
    finally:
        os.kill(int(pid.read_text()), signal.SIGKILL)
