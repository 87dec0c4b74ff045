"""Says why a client differs where the API did not change: Git LFS, file modes, line endings, a formatter, another generator."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cicd_actions.verify_openapi_client import packages
from cicd_actions.verify_openapi_client.drift import Drift
from cicd_actions.verify_openapi_client.repository import GitFailed, Repository
from cicd_actions.verify_openapi_client.specification import LFS_POINTER

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
    """Returns the causes that show, the certain ones first; empty when the content differs and nothing else explains it."""
    pairs = [_contents(file.path, file.was, client) for file in drift.files if file.kind in {"changed", "renamed"}]
    only_changed = len(pairs) == len(drift.files) and bool(pairs)
    found: list[Cause] = []
    filtered = _filtered(drift, client, pairs)
    if filtered is not None:
        found.append(filtered)
    elif only_changed and all(old == new for old, new in pairs):
        found.append(_mode(drift))
    elif only_changed and all(_lines(old) == _lines(new) for old, new in pairs):
        found.append(_line_endings(drift, pairs))
    elif only_changed and all(_bare(old) == _bare(new) for old, new in pairs):
        found.append(_formatter(client))
    found += _versions(drift, client, pairs)
    return found


def _contents(path: str, was: str, client: Client) -> tuple[bytes, bytes]:
    old = client.repository.show(client.repository.head, was or path) or b""
    new = client.tree / path
    return old, new.read_bytes() if new.is_file() else b""


def _filtered(drift: Drift, client: Client, pairs: list[tuple[bytes, bytes]]) -> Cause | None:
    """The client is not in git as it is: a filter of `.gitattributes` did not run here."""
    if any(old.startswith(LFS_POINTER) and not new.startswith(LFS_POINTER) for old, new in pairs):
        return Cause(
            "git-lfs",
            "git has a Git LFS pointer in place of the client, and Git LFS did not run in this checkout.",
            "Check out with Git LFS, or remove the generated client from it:\n\n"
            "    - uses: actions/checkout@<full commit sha>\n      with:\n        lfs: true",
            True,
        )
    path = drift.files[0].path
    try:
        _, _, name = client.repository.git("check-attr", "filter", "--", path).decode().strip().rpartition(": ")
        if name in {"unspecified", "set", "unset", "lfs"}:
            return None
        configured = client.repository.git("config", "--get-regexp", f"^filter\\.{re.escape(name)}\\.", ok=(0, 1))
    except GitFailed:
        return None
    if configured:
        return None
    return Cause(
        "git-filter",
        f"`.gitattributes` gives {path} the filter `{name}`, and git has no such filter in this checkout.",
        f"Configure the filter before this step, or take the client out of it:\n\n    {path} -filter",
        False,
    )


def _mode(drift: Drift) -> Cause:
    modes = re.search(rb"^old mode (\d+)\nnew mode (\d+)$", drift.patch, re.MULTILINE)
    was, now = (match.decode() for match in modes.groups()) if modes else ("another mode", "its own")
    sign, path = "+" if now == "100755" else "-", shlex.quote(drift.files[0].path)
    return Cause(
        "file-mode",
        f"Only the executable bit differs: git has {was}, the generator writes {now}.",
        f"Commit the mode that the generator writes:\n\n    git update-index --chmod={sign}x {path}",
        True,
    )


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
        "Set the line endings of the client in `.gitattributes`, and commit it again:\n\n"
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
        f"Format the result before it is compared:\n\n    format-command: {command}",
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
        what = f"{name} {installed} is installed, but {file} locks {locked}."
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
