"""The tree of a release commit: actions at the root, launcher, `lib/`, reusable workflows, licences, SBOM; nothing else."""

from __future__ import annotations

import io
import json
import re
import subprocess
import tarfile
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

from tools.release.dependencies import Package, collect
from tools.release.server import for_server

REPOSITORY = "org/cicd-actions"

_OWN_ACTION = re.compile(r"(uses:\s*)\$/actions/")
_FORMS = {
    "version": (r"[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?", "a semantic version such as 1.4.0 (the tag gets the `v`)"),
    "commit": (r"[0-9a-f]{40}([0-9a-f]{24})?", "a full commit SHA"),
    "action": (r"([a-z]+(-[a-z]+)*)?", "an action's name"),
    "image": (r"([a-z0-9][a-z0-9./:_-]*@sha256:[0-9a-f]{64})?", "an image by digest (repository@sha256:…)"),
    "references": (
        r"([A-Za-z0-9._-]+/[A-Za-z0-9._-]+@[0-9a-f]{40})?",
        "a commit of a repository (owner/repository@<40 digits>)",
    ),
}
_LINK = re.compile(r"\]\((\.\./\.\./|\.\./)([^)\s]*)\)")


def checkout(repository: Path, commit: str, folder: Path) -> None:
    """The files of a commit, exactly as git has them: what is not committed is not released."""
    archive = subprocess.run(
        ["git", "-C", repository, "archive", "--format=tar", commit], capture_output=True, check=True
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        for member in files:
            content = files.extractfile(member) if member.isfile() else None
            if content is not None:
                path = folder / member.name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content.read())
                path.chmod(0o755 if member.mode & 0o100 else 0o644)


@dataclass(frozen=True)
class Release:
    """What a release is built as: `version`, the source `commit`, optionally one `action` alone at the root of the tree, as
    the Marketplace wants a repository, the `image` (`repository@sha256:…`) that the Docker variants name, and the
    `references` (`owner/repository@<sha>` of a release commit) with which the tree is one for a server (`server`)."""

    version: str
    commit: str
    action: str = ""
    image: str = ""
    references: str = ""

    def __post_init__(self) -> None:
        """Raises `ValueError` for what is none of these: the values may come from a commit that somebody else made."""
        for name, (pattern, meaning) in _FORMS.items():
            value = getattr(self, name)
            if not isinstance(value, str) or not re.fullmatch(pattern, value):
                raise ValueError(f"{value!r} is not {meaning}")


def build(source: Path, target: Path, release: Release, *, uv: Path, scratch: Path) -> None:
    """Write the release tree of the checkout `source` into the empty folder `target`."""
    packages = collect(source / "requirements" / "runtime.txt", target / "lib", target / "licences", scratch, uv)
    _own_package(source, target)
    _put(target / "bin" / "cicd-actions", (source / "bin" / "cicd-actions").read_text("utf-8"), executable=True)
    _put(target / "bin" / "launch.py", (source / "bin" / "launch.py").read_text("utf-8"))
    _put(target / "LICENSE", (source / "LICENSE").read_text("utf-8"))
    for folder in sorted(path.parent for path in source.glob("actions/*/action.yml")):
        if release.action:
            if folder.name == release.action:
                _action(folder, target, release.commit, depth=0)
            continue
        _action(folder, target / folder.name, release.commit, depth=1)
        if release.image:
            _put(target / "docker" / folder.name / "action.yml", _docker_variant(folder, release.image))
    if not release.action:
        _workflows(source, target, release.references)
        _put(target / "cicd.schema.json", (source / "docs" / "cicd.schema.json").read_text("utf-8"))
    _put(target / "sbom.cdx.json", _sbom(packages, release.version, release.commit))
    _put(target / "release.json", _json(asdict(release)))


def _own_package(source: Path, target: Path) -> None:
    package = source / "src" / "cicd_actions"
    for path in sorted(path for path in package.rglob("*") if path.suffix in {".py", ".html", ".css", ".js"}):
        _put(target / "lib" / "cicd_actions" / path.relative_to(package), path.read_text("utf-8"))


def _action(folder: Path, target: Path, commit: str, *, depth: int) -> None:
    metadata = (folder / "action.yml").read_text("utf-8")
    here = '"$GITHUB_ACTION_PATH/../../bin/cicd-actions"'
    if here not in metadata:
        raise ValueError(f"{folder.name}/action.yml does not start the launcher as expected: {here}")
    _put(target / "action.yml", metadata.replace(here, f'"$GITHUB_ACTION_PATH/{"../" * depth}bin/cicd-actions"'))
    _put(target / "README.md", _absolute((folder / "README.md").read_text("utf-8"), commit, alone=depth == 0))


def _docker_variant(folder: Path, image: str) -> str:
    """The same metadata, run in the image: by digest, so that what runs is settled when the release is made."""
    metadata, _, _ = (folder / "action.yml").read_text("utf-8").partition("\nruns:\n")
    # A container action's outputs need no value: they are the ones that its program writes.
    metadata = re.sub(r"\n    value: [^\n]*", "", metadata)
    return f"""{metadata}
runs:
  using: docker
  image: docker://{image}
  args: [{folder.name}]
  env:
    INPUTS: ${{{{ toJSON(inputs) }}}}
"""


def _absolute(readme: str, commit: str, *, alone: bool) -> str:
    """Links to what a release does not carry lead to the source commit."""

    def link(match: re.Match[str]) -> str:
        if match[1] == "../" and not alone:
            return match[0]
        folder = "actions/" if match[1] == "../" else ""
        return f"](https://github.com/{REPOSITORY}/blob/{commit}/{folder}{match[2]})"

    return _LINK.sub(link, readme)


def _workflows(source: Path, target: Path, references: str) -> None:
    """The reusable workflows and the composites behind them. Those of the project itself stay out of a release."""

    def released(text: str) -> str:
        text = _OWN_ACTION.sub(r"\1$/", text)
        return for_server(text, references) if references else text

    for path in sorted((source / ".github" / "workflows").glob("*.yml")):
        text = path.read_text("utf-8")
        if re.search(r"^\s+workflow_call:", text, re.MULTILINE):
            _put(target / ".github" / "workflows" / path.name, released(text))
    for path in sorted((source / ".github" / "actions").rglob("*")):
        if path.is_file():
            _put(
                target / path.relative_to(source),
                released(path.read_text("utf-8")),
                executable=bool(path.stat().st_mode & 0o100),
            )


def _sbom(packages: list[Package], version: str, commit: str) -> str:
    """CycloneDX 1.5 (https://cyclonedx.org/docs/1.5/json/), without a time: it has to be reproducible.

    Its serial number is made of what it says: actions/attest takes no file without one.
    """
    components = [
        {
            "type": "library",
            "bom-ref": f"pkg:pypi/{package.name}@{package.version}",
            "name": package.name,
            "version": package.version,
            "purl": f"pkg:pypi/{package.name}@{package.version}",
            "licenses": [{"expression": package.licence} if package.expression else {"license": {"name": package.licence}}],
            "properties": [{"name": "cicd-actions:locked-sha256", "value": digest} for digest in package.hashes],
        }
        for package in packages
    ]
    own = {
        "type": "application",
        "bom-ref": f"pkg:github/{REPOSITORY}@{commit}",
        "name": "cicd-actions",
        "version": version,
        "purl": f"pkg:github/{REPOSITORY}@{commit}",
        "licenses": [{"license": {"id": "Apache-2.0"}}],
    }
    content = {
        "version": 1,
        "metadata": {"component": own},
        "components": components,
        "dependencies": [{"ref": own["bom-ref"], "dependsOn": [component["bom-ref"] for component in components]}],
    }
    return _json(
        {
            "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
            "bomFormat": "CycloneDX",
            "specVersion": "1.5",
            "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, _json(content))}",
            **content,
        }
    )


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _put(path: Path, text: str, *, executable: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    path.chmod(0o755 if executable else 0o644)
