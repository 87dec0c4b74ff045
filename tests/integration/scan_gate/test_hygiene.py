"""What an image says of itself, read from a real registry."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from cicd_actions.toolkit.verdict import Verdict
from tests.unit.scan_gate.gate import document, gate
from tests.unit.scan_gate.samples import TRIVY, changed

CONFIG, MANIFEST, INDEX = (
    f"application/vnd.oci.image.{kind}.v1+json" for kind in ("config", "manifest", "index")
)  # fmt: skip
GOOD = {"User": "10001", "Healthcheck": {"Test": ["CMD", "curl", "-f", "http://localhost"]}, "Cmd": ["uvicorn", "app:app"]}


class Pushed:
    """Pushes images without layers to a registry."""

    def __init__(self, registry: str, name: str) -> None:
        self.repository = f"{registry}/{name}"
        self._url = f"http://{registry}/v2/{name}"

    def _blob(self, content: bytes) -> dict[str, Any]:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        begun = httpx.post(f"{self._url}/blobs/uploads/").raise_for_status()
        place = httpx.URL(begun.headers["Location"]).copy_merge_params({"digest": digest})
        httpx.put(place, content=content).raise_for_status()
        return {"mediaType": CONFIG, "digest": digest, "size": len(content)}

    def _manifest(self, content: dict[str, Any]) -> dict[str, Any]:
        raw = json.dumps(content).encode()
        digest = f"sha256:{hashlib.sha256(raw).hexdigest()}"
        headers = {"Content-Type": content["mediaType"]}
        httpx.put(f"{self._url}/manifests/{digest}", content=raw, headers=headers).raise_for_status()
        return {"mediaType": content["mediaType"], "digest": digest, "size": len(raw)}

    def image(self, config: dict[str, Any]) -> dict[str, Any]:
        blob = self._blob(json.dumps({"architecture": "amd64", "os": "linux", "config": config}).encode())
        return self._manifest({"schemaVersion": 2, "mediaType": MANIFEST, "config": blob, "layers": []})

    def index(self, *configs: dict[str, Any]) -> dict[str, Any]:
        entries = [{**self.image(each), "platform": {"os": "linux", "architecture": "amd64"}} for each in configs]
        entries.append({**self.image({"User": "attestation"}), "platform": {"os": "unknown", "architecture": "unknown"}})
        return self._manifest({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})


def rules(folder: Path, pushed: Pushed, made: dict[str, Any]) -> set[str]:
    image = f"{pushed.repository}@{made['digest']}"
    scanned = changed(changed(TRIVY, "ArtifactName", to=image), "Metadata", "RepoDigests", to=[image])
    report = gate(
        folder, {"trivy.json": changed(scanned, "Results", 0, "Vulnerabilities", to=[])}, images=image, hygiene="true"
    )
    assert "inconclusive" not in str(report.outputs["verdict"]), report.outputs["inconclusive"]
    return {one["rule"] for one in document(report, "report")["findings"] if one["scanners"] == ["image"]}


@pytest.mark.docker
def test_image_says_whether_it_runs_as_root_is_checked_and_migrates(registry: str, tmp_path: Path) -> None:
    pushed = Pushed(registry, "proof/hygiene")
    assert rules(tmp_path, pushed, pushed.image(GOOD)) == set()
    serving = {**GOOD, "Entrypoint": ["sh", "-c", "alembic upgrade head && exec uvicorn app:app"], "Cmd": None}
    assert rules(tmp_path, pushed, pushed.image(serving)) == {"migrates-at-start"}
    assert rules(tmp_path, pushed, pushed.image({**GOOD, "Cmd": ["alembic", "upgrade", "head"]})) == set()
    bare = {"Labels": {"org.opencontainers.image.base.name": "docker.io/library/python:latest"}}
    assert rules(tmp_path, pushed, pushed.image(bare)) == {"runs-as-root", "no-healthcheck", "latest-base"}
    # One platform of an index is enough; what BuildKit lists beside the platforms is not an image.
    assert rules(tmp_path, pushed, pushed.index(GOOD, {**GOOD, "User": "0:0"})) == {"runs-as-root"}


@pytest.mark.docker
def test_image_that_the_registry_does_not_have_is_inconclusive(registry: str, tmp_path: Path) -> None:
    image = f"{registry}/proof/hygiene@sha256:{'e' * 64}"
    scanned = changed(changed(TRIVY, "ArtifactName", to=image), "Metadata", "RepoDigests", to=[image])
    report = gate(tmp_path, {"trivy.json": scanned}, images=image, hygiene="true")
    assert report.verdict is Verdict.INCONCLUSIVE
    assert "Could not find" in str(report.outputs["inconclusive"])
