"""The jobs of one image, run by act: what they attest, and what they say when they attest nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from demo.picture import Picture
from tests.e2e.workflows.conftest import Consumer, sboms

HEX = "b" * 64
REPOSITORY = "127.0.0.1:1/api"
SCANS = {"any": True, "images": ["api"], "scan": False, "check": "fail"}
BUILD = {
    "runs-on": "ubuntu-latest",
    "registry": "ghcr.io",
    "registry-username": "",
    "registry-token": False,
    "images": {"api": {"repository": REPOSITORY, "platforms": ["linux/amd64"]}},
    "attest": True,
    "sbom": True,
    "scans": SCANS,
}
TRIVY = """\
for name in "$LOCAL_ARTIFACTS"/sbom-api; do {command}; done
echo '{{}}'
"""
"""Runs once the artifact is there, as another job of the run can."""


def run(consumer: Consumer, folder: Path, around: Mapping[str, str] | None = None, **build: Any) -> Picture:
    consumer.calls("image.yml", {"build": json.dumps({**BUILD, **build}), "image": "api", "digest": f"sha256:{HEX}"})
    consumer.commit({})
    return consumer.run(step_environment={"ATTESTATIONS": str(folder / "known.json"), **(around or {})})


def jobs(picture: Picture) -> dict[str, str]:
    return {name.rpartition(" / ")[2]: result for name, result in picture.results().items()}


def test_an_sbom_is_attested_where_nothing_is_scanned(consumer: Consumer, tmp_path: Path) -> None:
    assert jobs(run(consumer, tmp_path)) == {"image": "success", "sbom": "success"}
    assert sboms(tmp_path) == {HEX: f"{REPOSITORY}@sha256:{HEX}"}


def test_no_sbom_is_attested_where_the_file_turns_it_off(consumer: Consumer, tmp_path: Path) -> None:
    assert jobs(run(consumer, tmp_path, sbom=False)) == {"image": "success"}
    assert sboms(tmp_path) == {}


@pytest.mark.parametrize(
    ("around", "ended", "told"),
    [
        (
            {"TRIVY_FAILS": "cyclonedx"},
            {"image": "failure"},
            "Could not make the SBOM of the image `api`, so nothing is released.",
        ),
        (
            {"ATTEST_FAILS": "sbom"},
            {"image": "success", "sbom": "failure"},
            "Could not attest the SBOM of the image `api`, so nothing is released.",
        ),
        ({"TRIVY_READS": "127.0.0.1:1/web@sha256:" + "c" * 64}, {"image": "failure"}, "it is of another image"),
    ],
)
def test_a_missing_sbom_is_told_with_what_to_do(
    consumer: Consumer, tmp_path: Path, around: dict[str, str], ended: dict[str, str], told: str
) -> None:
    picture = run(consumer, tmp_path, around)
    assert jobs(picture) == ended
    (message,) = [each for each in picture.errors() if told in each]
    assert "again" in message
    assert "sbom: false" in message
    assert sboms(tmp_path) == {}


@pytest.mark.parametrize(
    ("command", "told"),
    [
        # A forged list, of the right image.
        (
            'sed -i \'s/"components": \\[\\]/"components": [{}]/\' "$name/sbom.cdx.json"',
            "it is not the one that the job `image` made",
        ),
        ('rm -r "$name"', "it is missing"),
    ],
)
def test_an_artifact_that_another_job_changed_is_not_attested(
    consumer: Consumer, tmp_path: Path, command: str, told: str
) -> None:
    trivy = tmp_path / "programs" / "trivy"
    trivy.parent.mkdir()
    trivy.write_text(f"#!/bin/sh\n{TRIVY.format(command=command)}")
    trivy.chmod(0o755)
    found = consumer.act.environment
    consumer.act = replace(consumer.act, environment={**found, "PATH": f"{trivy.parent}:{found['PATH']}"})
    picture = run(consumer, tmp_path, scans={**SCANS, "scan": True, "check": "warn"})
    assert jobs(picture) == {"image": "success", "sbom": "failure"}
    assert any(f"Refused the SBOM of the image `api`: {told}." in each for each in picture.errors()), picture.errors()
    assert sboms(tmp_path) == {}
