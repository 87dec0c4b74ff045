"""The SBOM of an image: one that can be attested, of this image, and the one that was made."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import pytest

from cicd_actions.pipeline import check_sbom
from cicd_actions.pipeline.check_sbom import LARGEST, SUBJECT, Inputs, run
from cicd_actions.toolkit.errors import Failed
from cicd_actions.toolkit.inputs import load
from cicd_actions.toolkit.report import Report
from cicd_actions.toolkit.runtime import Runtime

DIGEST, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def sbom(*read: str, **more: Any) -> dict[str, Any]:
    """What trivy 0.70 writes of an image, as far as it counts."""
    properties = [{"name": "aquasecurity:trivy:ImageID", "value": OTHER}, *({"name": SUBJECT, "value": each} for each in read)]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": "urn:uuid:1",
        "metadata": {"component": {"name": "api", "properties": properties}},
        "components": [{"name": "bash"}],
        **more,
    }


def check(folder: Path, text: str | bytes | None, **more: str) -> Report:
    file = folder / "sbom.cdx.json"
    if text is not None:
        file.write_bytes(text.encode() if isinstance(text, str) else text)
    runtime = Runtime({}, io.StringIO())
    return run(load(Inputs, {"sbom": str(file), "image": "api", "digest": DIGEST, **more}, runtime.redactor), runtime)


def refused(folder: Path, text: str | bytes | None, why: str, **more: str) -> Failed:
    with pytest.raises(Failed) as caught:
        check(folder, text, **more)
    assert caught.value.what == f"Refused the SBOM of the image `api`: {why}. Nothing is released without it."
    return caught.value


@pytest.mark.parametrize("read", [[f"ghcr.io/org/api@{DIGEST}"], [f"org/other@{OTHER}", f"org/api@{DIGEST}"]])
def test_run_sbom_of_the_image_gives_its_hash(tmp_path: Path, read: list[str]) -> None:
    """A Docker engine knows an image by several names. trivy shortens those of Docker Hub, so only the digest counts."""
    text = json.dumps(sbom(*read))
    report = check(tmp_path, text)
    assert report.headline == "The SBOM of the image `api` lists 1 component."
    made = report.outputs["sha256"]
    assert made == hashlib.sha256(text.encode()).hexdigest()
    assert check(tmp_path, text, sha256=str(made)).outputs == report.outputs


def test_run_sbom_without_a_hash_to_compare_is_refused(tmp_path: Path) -> None:
    error = refused(tmp_path, json.dumps(sbom(f"api@{DIGEST}")), "the job `image` named no hash of it", sha256="none")
    assert "Run the job `image` of this image again" in error.fix


def test_run_sbom_that_was_not_made_is_refused(tmp_path: Path) -> None:
    text = json.dumps(sbom(f"api@{DIGEST}"))
    error = refused(tmp_path, text, "it is not the one that the job `image` made", sha256="0" * 64)
    assert "The artifact `sbom-api` was replaced" in error.cause
    assert "Run the job `image` of this image again" in error.fix


@pytest.mark.parametrize("read", [[], [f"ghcr.io/org/api@{OTHER}"], [DIGEST[:-1]], [f"{DIGEST}@{OTHER}"]])
def test_run_sbom_of_another_image_is_refused(tmp_path: Path, read: list[str]) -> None:
    error = refused(tmp_path, json.dumps(sbom(*read)), "it is of another image")
    assert f"and the image is {DIGEST}." in error.cause
    assert (read[0] if read else "no digest") in error.cause


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "null", "[" * 100_000, b"\xff\xfe\x00", "1" * 5000,
        *(json.dumps(sbom(f"api@{DIGEST}", bomFormat=each)) for each in (None, "SPDX")),
    ],
)  # fmt: skip
def test_run_file_that_cannot_be_attested_is_refused(tmp_path: Path, text: str | bytes) -> None:
    assert "sbom: false" in refused(tmp_path, text, "it is not CycloneDX in JSON").fix


def test_run_sbom_without_what_an_attestation_needs_says_what_is_missing(tmp_path: Path) -> None:
    one, both = sbom(f"api@{DIGEST}", serialNumber=None), sbom(f"api@{DIGEST}", serialNumber="", specVersion=None)
    assert "sbom: false" in refused(tmp_path, json.dumps(one), "it has no `serialNumber`").fix
    refused(tmp_path, json.dumps(both), "it has no `serialNumber` and no `specVersion`")


@pytest.mark.parametrize(
    "metadata",
    [None, [], {"component": []}, {"component": {"properties": {}}}, {"component": {"properties": [1, {"name": 1}]}}],
)
def test_run_sbom_of_another_shape_is_refused(tmp_path: Path, metadata: object) -> None:
    refused(tmp_path, json.dumps(sbom(metadata=metadata)), "it is of another image")


def test_run_missing_sbom_says_which_job_to_run_again(tmp_path: Path) -> None:
    fix = refused(tmp_path, None, "it is missing", sha256="0" * 64).fix
    assert fix.startswith("Run the failed jobs again. If the artifact `sbom-api` no longer exists, run the job `image`")


def test_run_sbom_is_refused_from_the_first_byte_that_github_does_not_attest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert LARGEST == 16 * 1024 * 1024, "https://github.com/actions/attest"
    text = json.dumps(sbom(f"api@{DIGEST}"))
    monkeypatch.setattr(check_sbom, "LARGEST", len(text))
    check(tmp_path, text)
    assert "sbom: false" in refused(tmp_path, f"{text} ", "it is too large").fix
