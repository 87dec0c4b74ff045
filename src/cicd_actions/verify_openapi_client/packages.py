"""Which program generates the client, and which version of it: by its command, what is installed, and the lock files."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

_PACKAGES = {
    "openapi-typescript": "openapi-typescript",
    "openapi-ts": "@hey-api/openapi-ts",
    "orval": "orval",
    "openapi": "openapi-typescript-codegen",
    "openapi-generator-cli": "@openapitools/openapi-generator-cli",
    "swagger-typescript-api": "swagger-typescript-api",
    "sta": "swagger-typescript-api",
    "kubb": "@kubb/cli",
    "openapi-zod-client": "openapi-zod-client",
    "openapi-python-client": "openapi-python-client",
    "oazapfts": "oazapfts",
    "prettier": "prettier",
    "biome": "@biomejs/biome",
    "dprint": "dprint",
}
"""Programs to the packages they come in."""

_RUNNERS = {"pnpm", "npm", "npx", "yarn", "bun", "bunx", "uv", "uvx"}

LOCK_FILES = ("pnpm-lock.yaml", "package-lock.json", "yarn.lock", "bun.lock", "uv.lock", "poetry.lock")

_LARGEST = 8 * 1024 * 1024

Read = Callable[[str], "bytes | None"]
"""A file of the repository, or of one of its commits, by its path; `None` when it is not there."""


def package(words: Sequence[str], folder: str, read: Read) -> str:
    """The package that a generator's command runs; empty when it is not known. A script of `package.json` is looked into."""
    for word in words:
        name = PurePosixPath(word).name
        if name in _PACKAGES:
            return _PACKAGES[name]
        if word in _PACKAGES.values():
            return word
    if words and words[0] in _RUNNERS:
        scripts = _scripts(folder, read)
        # Options such as `--dir web` come before the script's name.
        text = next((scripts[word] for word in words[1:] if word in scripts), "")
        try:
            return package(shlex.split(text), folder, lambda _path: None)
        except ValueError:
            return ""
    return ""


def _scripts(folder: str, read: Read) -> dict[str, str]:
    content = read(str(PurePosixPath(folder, "package.json")))
    try:
        found = json.loads(content or b"{}")
    except ValueError:
        return {}
    scripts = found.get("scripts") if isinstance(found, dict) else None
    return {name: text for name, text in scripts.items() if isinstance(text, str)} if isinstance(scripts, dict) else {}


def installed(name: str, folder: Path, root: Path) -> str:
    """The version of a package in the nearest `node_modules`; empty when there is none."""
    for parent in (folder, *folder.parents):
        try:
            found = json.loads((parent / "node_modules" / name / "package.json").read_bytes())
        except (OSError, ValueError):
            found = None
        if isinstance(found, dict) and isinstance(found.get("version"), str):
            return str(found["version"])
        if parent == root:
            break
    return ""


def locked(name: str, folder: str, read: Read) -> tuple[str, str]:
    """The version of a package in the nearest lock file, and that file's path; empty texts when there is none."""
    at = PurePosixPath(folder)
    for parent in (at, *at.parents):
        for file in LOCK_FILES:
            path = str(parent / file)
            content = read(path)
            if content is not None and len(content) <= _LARGEST:
                version = _version(name, file, content.decode("utf-8", "replace"))
                if version:
                    return version, path
    return "", ""


def _version(name: str, file: str, text: str) -> str:
    if file == "package-lock.json":
        try:
            packages = json.loads(text).get("packages", {})
        except (ValueError, AttributeError):
            return ""
        entry = packages.get(f"node_modules/{name}") if isinstance(packages, dict) else None
        return str(entry.get("version", "")) if isinstance(entry, dict) else ""
    quoted = re.escape(name)
    if file == "pnpm-lock.yaml":
        # `packages:` has one key for each version: `  openapi-typescript@7.13.0:`, older ones `  /openapi-typescript@7.13.0:`.
        pattern = rf"^  '?/?{quoted}[@/](\d[^:('\s]*)"
    elif file == "yarn.lock":
        pattern = rf'^"?{quoted}@[^\n]*:\n  version:? "?([^"\n]+)'
    elif file == "bun.lock":
        pattern = rf'"{quoted}": \["{quoted}@([^"]+)"'
    else:
        pattern = rf'^name = "{quoted}"\nversion = "([^"]+)"'
    match = re.search(pattern, text, re.MULTILINE)
    return match[1] if match else ""


_HEADER = re.compile(
    r"(?:generat\w*\s+(?:by|with|using)|orval|openapi-typescript|openapi-ts|Generator version:|VERSION)"
    r"[^\n]{0,60}?\bv?(\d+\.\d+\.\d+[\w.-]*)",
    re.IGNORECASE,
)


def in_header(content: bytes) -> str:
    """The generator's version in a file's first 2,000 bytes, where generators say it; empty when it does not say."""
    match = _HEADER.search(content[:2000].decode("utf-8", "replace"))
    return match[1] if match else ""
