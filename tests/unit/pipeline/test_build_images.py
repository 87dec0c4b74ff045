"""Which images a job builds, and what becomes of those that were built on another runner."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from cicd_actions.pipeline.build_images import Inputs, run
from cicd_actions.toolkit.errors import Failed
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


def checksums(report: Report) -> str:
    name = str(report.outputs["checksums"])
    return Path(name).read_text() if name else ""


def test_run_image_with_its_own_runner_is_built_alone_and_then_handed_on(build: dict[str, Any], tmp_path: Path) -> None:
    alone = built(build, tmp_path, image="arm")
    assert alone.outputs["digests"] == {"arm": ARM}
    outputs = json.dumps({"image-1": json.dumps(alone.outputs["digests"]), "image-2": ""})
    rest = built(build, tmp_path, built=outputs)
    assert rest.outputs["digests"] == {"arm": ARM, "api": API}
    # Each job attests what it built.
    assert (checksums(alone).split()[1], checksums(rest).split()[1]) == ("ghcr.io/org/arm", "ghcr.io/org/api")
    only = built({**build, "images": {"arm": build["images"]["arm"]}}, tmp_path, built=outputs)
    assert (only.outputs["digests"], checksums(only)) == ({"arm": ARM}, "")


def test_run_image_that_the_other_job_did_not_name_fails(build: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(Failed, match="Could not tell the digest of the image `arm`"):
        built(build, tmp_path, built='{"image-1": ""}')
