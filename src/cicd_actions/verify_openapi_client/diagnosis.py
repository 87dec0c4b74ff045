"""Says why a client differs where the API did not change: line endings, a formatter that was not run, another generator."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cicd_actions.verify_openapi_client import packages
from cicd_actions.verify_openapi_client.drift import Drift
from cicd_actions.verify_openapi_client.repository import GitFailed, Repository

_FORMATTERS = {
    "prettier": (
        "pnpm exec prettier --write {client}",
        (".prettierrc", ".prettierrc.json", ".prettierrc.yaml", ".prettierrc.yml", ".prettierrc.js", "prettier.config.js",
         "prettier.config.mjs", ".prettierrc.toml", ".prettierrc.mjs", ".prettierrc.cjs", "prettier.config.cjs"),
    ),
    "biome": ("pnpm exec biome check --write {client}", ("biome.json", "biome.jsonc")),
    "dprint": ("dprint fmt {client}", ("dprint.json", ".dprint.json")),
    "ruff": ("ruff format {client}", ("ruff.toml", ".ruff.toml")),
}  # fmt: skip
"""Formatters: the command that runs each, and the files that configure it."""


@dataclass(frozen=True)
class Cause:
    """Why the client differs: `id` for machines, a sentence, and what to do. `certain` when nothing else differs."""

    id: str
    message: str
    fix: str
    certain: bool


@dataclass(frozen=True)
class Client:
    """What the diagnosis looks at: the regenerated tree, the commands, and where they ran."""

    repository: Repository
    tree: Path
    folder: str
    generate: Sequence[str]
    format: Sequence[str]


def causes(drift: Drift, client: Client) -> list[Cause]:
    """The causes that show, the certain ones first; empty when the content differs and nothing else explains it."""
    pairs = [_contents(file.path, file.was, client) for file in drift.files if file.kind in {"changed", "renamed"}]
    only_changed = len(pairs) == len(drift.files) and bool(pairs)
    found: list[Cause] = []
    if only_changed and all(_lines(old) == _lines(new) for old, new in pairs):
        found.append(_line_endings(drift, pairs))
    elif only_changed and all(_bare(old) == _bare(new) for old, new in pairs):
        found.append(_formatter(client))
    found += _versions(drift, client, pairs)
    return found


def _contents(path: str, was: str, client: Client) -> tuple[bytes, bytes]:
    old = client.repository.show(client.repository.head, was or path) or b""
    new = client.tree / path
    return old, new.read_bytes() if new.is_file() else b""


def _lines(content: bytes) -> list[bytes]:
    return content.replace(b"\r\n", b"\n").removeprefix(b"\xef\xbb\xbf").rstrip(b"\n").split(b"\n")


def _line_endings(drift: Drift, pairs: list[tuple[bytes, bytes]]) -> Cause:
    committed, generated = pairs[0]
    if (b"\r\n" in committed) != (b"\r\n" in generated):
        kinds = ["CRLF" if b"\r\n" in content else "LF" for content in pairs[0]]
        what = f"Only the line endings differ: git has {kinds[0]}, the generator writes {kinds[1]}."
    else:
        what = "Only the beginning or the end of the file differs (a byte order mark, the last line's end)."
    return Cause(
        "line-endings",
        what,
        "Say in `.gitattributes` how the client's lines end, and commit it anew:\n\n"
        + "\n".join(f"    {file.path} text eol=lf" for file in drift.files[:3])
        + "\n\n    git add --renormalize .",
        True,
    )


def _bare(content: bytes) -> str:
    """The text without what formatters change: white space, quotes, semicolons, trailing commas, leading bars, parentheses."""
    text = content.decode("utf-8", "replace")
    text = re.sub(r"([:=(<,\[]|=>)\s*\|", r"\1", text)
    return re.sub(r"[\s\"'`;,()]+", "", text)


def _formatter(client: Client) -> Cause:
    if client.format:
        what = "Only the formatting differs: another formatter ran, or another version, than for the client in git."
        return Cause("formatter", what, "Install from the lock file, and format with the same configuration.", True)
    name = _configured(client)
    command = _FORMATTERS[name][0] if name else _FORMATTERS["prettier"][0]
    by = f" (this repository has {name})" if name else ""
    return Cause(
        "formatter",
        f"Only the formatting differs: the client in git was formatted{by}, the generated one was not.",
        f"Have the result formatted before it is compared:\n\n    format-command: {command}",
        True,
    )


def _configured(client: Client) -> str:
    at = PurePosixPath(client.folder)
    for parent in (at, *at.parents):
        for name, (_, files) in _FORMATTERS.items():
            if any((client.repository.root / parent / file).is_file() for file in files):
                return name
    return ""


def _versions(drift: Drift, client: Client, pairs: list[tuple[bytes, bytes]]) -> list[Cause]:
    """Three witnesses: the file's own header, the lock file when the client was last committed, and what is installed."""
    repository = client.repository

    def now(path: str) -> bytes | None:
        file = repository.root / path
        return file.read_bytes() if file.is_file() else None

    name = packages.package(client.generate, client.folder, now)
    label = name or "the generator"
    for old, new in pairs:
        before, after = packages.in_header(old), packages.in_header(new)
        if before and after and before != after:
            what = f"The client in git was made by {label} {before}; this one by {after}."
            return [Cause("generator-version", what, _commit_together(), False)]
    if not name:
        return []
    installed = packages.installed(name, repository.root / client.folder, repository.root)
    locked, file = packages.locked(name, client.folder, now)
    if installed and locked and installed != locked:
        what = f"Installed is {name} {installed}, but {file} says {locked}."
        fix = "Install what is locked, and generate again:\n\n    pnpm install --frozen-lockfile"
        return [Cause("generator-version", what, fix, False)]
    commit = _last_commit(repository, [file.was or file.path for file in drift.files])
    then, _ = packages.locked(name, client.folder, lambda path: repository.show(commit, path)) if commit else ("", "")
    version = installed or locked
    if then and version and then != version:
        what = f"The client was last committed with {name} {then} in the lock file ({commit[:12]}); now it is {version}."
        return [Cause("generator-version", what, _commit_together(), False)]
    return []


def _commit_together() -> str:
    return "Generate the client with the new version in the same commit that changes it."


def _last_commit(repository: Repository, paths: list[str]) -> str:
    try:
        return repository.git("log", "-1", "--format=%H", "HEAD", "--", *paths).decode().strip()
    except GitFailed:
        return ""  # a shallow history may end before it
