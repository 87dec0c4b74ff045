"""Holds requests and answers against GitHub's own OpenAPI document (npm `@octokit/openapi`)."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
import tempfile
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from jsonschema import Draft4Validator

PACKAGE = "@octokit/openapi@23.0.2"
MEMBER = "package/generated/api.github.com.json"


class Document:
    """GitHub's description of its API. What does not fit it is said as one line each; an empty list means it fits."""

    def __init__(self, path: Path) -> None:
        self._whole: dict[str, Any] = json.loads(path.read_text("utf-8"))

    def check_request(self, verb: str, template: str, query: dict[str, str], body: Any) -> list[str]:
        operation = self._operation(verb, template)
        if operation is None:
            return [f"{verb} {template}: GitHub has no such operation"]
        declared = [self._followed(parameter) for parameter in operation.get("parameters", [])]
        known = {parameter["name"]: parameter for parameter in declared if parameter["in"] == "query"}
        problems = [f"{verb} {template}: no parameter `{name}`" for name in query if name not in known]
        for name, value in query.items():
            if name in known and known[name]["schema"].get("type") == "integer" and not value.isdigit():
                problems.append(f"{verb} {template}: the parameter `{name}` is not a number")
        described: dict[str, Any] | None = operation.get("requestBody")
        if body is not None and described is None:
            problems.append(f"{verb} {template}: takes no body")
        elif body is not None and described is not None:
            problems += self._misfits(self._json_schema(described), body, f"{verb} {template}: request")
        return problems

    def check_answer(self, verb: str, template: str, status: int, body: Any) -> list[str]:
        operation = self._operation(verb, template)
        if operation is None:
            return []
        described = operation["responses"].get(str(status))
        if described is None:
            return [f"{verb} {template}: GitHub never answers {status}"]
        schema = self._json_schema(described)
        if schema is None:
            return [f"{verb} {template}: {status} has no body"] if body is not None else []
        return self._misfits(schema, body, f"{verb} {template}: answer {status}")

    def _operation(self, verb: str, template: str) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self._whole["paths"].get(template, {}).get(verb.lower())
        return found

    def _followed(self, node: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in node:
            target: Any = self._whole
            for part in node["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            node = target
        return node

    def _json_schema(self, described: dict[str, Any]) -> dict[str, Any] | None:
        content = self._followed(described).get("content", {})
        found: dict[str, Any] | None = content.get("application/json", {}).get("schema")
        return found

    def _misfits(self, schema: dict[str, Any] | None, value: Any, where: str) -> list[str]:
        if schema is None:
            return []
        # OpenAPI 3.0's `nullable` is not JSON Schema: the only difference that matters for these messages.
        validator = Draft4Validator({**_nullable(schema), "components": self._components})
        return [f"{where}: {'/'.join(map(str, error.path))}: {error.message[:300]}" for error in validator.iter_errors(value)]

    @cached_property
    def _components(self) -> dict[str, Any]:
        return {"schemas": _nullable(self._whole["components"]["schemas"])}


def _nullable(node: Any) -> Any:
    if isinstance(node, list):
        return [_nullable(item) for item in node]
    if not isinstance(node, dict):
        return node
    made = {key: _nullable(value) for key, value in node.items() if key not in {"example", "examples"} or "type" not in node}
    if made.pop("nullable", False) is True:
        return {"anyOf": [made, {"type": "null"}]}
    return made


@cache
def read(path: Path) -> Document:
    """The document of a file: to read it takes a second."""
    return Document(path)


def document() -> Document | None:
    """The document: the file that GITHUB_OPENAPI names, else the one an earlier `fetch` kept; `None` when there is none."""
    named = os.environ.get("GITHUB_OPENAPI")
    path = Path(named) if named else kept()
    return read(path) if path.is_file() else None


def kept() -> Path:
    """Where `fetch` keeps the document: outside the tree, for it has 13 MB."""
    return Path(tempfile.gettempdir()) / f"cicd-actions-{PACKAGE.replace('/', '-')}.json"


def fetch() -> Path:
    """Fetch the document with npm, unless an earlier one is kept. Raises `CalledProcessError` when npm cannot."""
    if kept().is_file():
        return kept()
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=folder, check=True, capture_output=True, timeout=120)
        (archive,) = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as package:
            member = package.extractfile(MEMBER)
            assert member is not None
            partial = kept().with_suffix(f".{os.getpid()}")
            partial.write_bytes(member.read())
    partial.replace(kept())
    return kept()
