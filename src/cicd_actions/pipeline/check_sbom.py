"""`check-sbom`: refuses an SBOM that cannot be attested, or is not of this image.

The job that signs gets the file as an artifact, which any job of the run can replace. So it compares the file with a hash: an
output of the job that made it, which no other job can write.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cicd_actions.toolkit.definition import Action, Output
from cicd_actions.toolkit.errors import Failed
from cicd_actions.toolkit.grammar import string
from cicd_actions.toolkit.inputs import declare
from cicd_actions.toolkit.json_values import members, objects
from cicd_actions.toolkit.report import Report
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.toolkit.verdict import Verdict

LARGEST = 16 * 1024 * 1024
"""Bytes of an SBOM that actions/attest takes."""

SUBJECT = "aquasecurity:trivy:RepoDigest"
"""The property with the image that trivy read, as `repository@digest`. Of several platforms it is the index's digest."""

NEEDED = ("serialNumber", "specVersion")
"""Keys without which actions/attest takes no file for CycloneDX."""

AGAIN = "Run the job `image` of this image again. GitHub then runs `sbom`, and nothing is built again."
OFF = "To release without an attested SBOM:\n    build:\n      sbom: false"


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """The SBOM, and the image that it has to be of."""

    sbom: str = declare(string, "The SBOM, a file.", required=True)
    image: str = declare(string, "Name of the image.", required=True)
    digest: str = declare(string, "Digest of the image.", required=True)
    sha256: str = declare(
        string,
        "Hash of the SBOM that was made, or `none` where it is not known. Default: not compared.",
    )


def run(inputs: Inputs, _runtime: Runtime) -> Report:
    """Checks. Raises `Failed` for an SBOM that must not be attested."""
    data = _read(inputs)
    found = hashlib.sha256(data).hexdigest()
    if inputs.sha256 == "none":
        raise _refused(inputs, "the job `image` named no hash of it", "Its output `sha256` did not reach this job.", AGAIN)
    if inputs.sha256 and found != inputs.sha256:
        raise _refused(
            inputs,
            "it is not the one that the job `image` made",
            f"The artifact `sbom-{inputs.image}` was replaced: any job of the run can do that. Find the job that uploads an"
            " artifact of that name.",
            AGAIN,
        )
    document = _document(data, inputs)
    read = _subjects(document)
    if not any(each.rpartition("@")[2] == inputs.digest for each in read):
        named = ", ".join(read)[:500] or "no digest"
        raise _refused(
            inputs, "it is of another image", f"It names {named}, and the image is {inputs.digest}.", f"{AGAIN}\n{OFF}"
        )
    components = document.get("components")
    count = len(components) if isinstance(components, list) else 0
    listed = "1 component" if count == 1 else f"{count} components"
    return Report(Verdict.PASS, f"The SBOM of the image `{inputs.image}` lists {listed}.", {"sha256": found})


def _read(inputs: Inputs) -> bytes:
    """Returns the file's bytes, at most as many as can be attested."""
    try:
        with Path(inputs.sbom).open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        fix = (
            f"Run the failed jobs again. If the artifact `sbom-{inputs.image}` no longer exists, {AGAIN[0].lower()}{AGAIN[1:]}"
        )
        raise _refused(inputs, "it is missing", f"Could not read {inputs.sbom}: {error.strerror}.", fix) from None
    if len(data) > LARGEST:
        raise _refused(inputs, "it is too large", f"GitHub attests one of at most {LARGEST // 1024**2} MiB.", OFF)
    return data


def _document(data: bytes, inputs: Inputs) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or found.get("bomFormat") != "CycloneDX":
        raise _refused(inputs, "it is not CycloneDX in JSON", "trivy wrote something else.", f"{AGAIN}\n{OFF}")
    if missing := [f"`{key}`" for key in NEEDED if not found.get(key)]:
        raise _refused(inputs, f"it has no {' and no '.join(missing)}", "actions/attest takes none without.", f"{AGAIN}\n{OFF}")
    return found


def _subjects(document: dict[str, Any]) -> list[str]:
    """Returns the images that trivy read, each as `repository@digest`."""
    component = members(members(document.get("metadata")).get("component"))
    return [str(each.get("value", "")) for each in objects(component.get("properties")) if each.get("name") == SUBJECT]


def _refused(inputs: Inputs, why: str, cause: str, fix: str) -> Failed:
    return Failed(
        f"Refused the SBOM of the image `{inputs.image}`: {why}. Nothing is released without it.", cause=cause, fix=fix
    )


ACTION = Action(
    name="check-sbom",
    summary="Refuses an SBOM that cannot be attested, or is not of this image.",
    inputs=Inputs,
    outputs=(Output("sha256", "Hash of the SBOM, in hexadecimal digits."),),
    run="cicd_actions.pipeline.check_sbom.run",
    icon="list",
    color="blue",
)
