"""Compares the regenerated client with the one in git."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cicd_actions.verify_openapi_client import generation
from cicd_actions.verify_openapi_client.client import within
from cicd_actions.verify_openapi_client.repository import Repository, split
from cicd_actions.verify_openapi_client.shadow import Shadow

_KINDS = {
    "M": "changed",
    "T": "changed",
    "A": "added",
    "D": "deleted",
    "R": "renamed",
    "?": "untracked",
    "!": "ignored",
}


@dataclass(frozen=True)
class ChangedFile:
    """One file of the client that differs from the last commit. `was` is the old name of a renamed one."""

    path: str
    kind: str
    was: str = ""


@dataclass(frozen=True)
class Drift:
    """What a fresh generation changes in the client. `unstable` files differ between two generations."""

    files: tuple[ChangedFile, ...] = ()
    patch: bytes = b""
    unstable: tuple[str, ...] = ()
    first_lines: tuple[tuple[str, int], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.files)


def find(shadow: Shadow, repository: Repository, generator: generation.Generator) -> Drift:
    """Generate the client in the copy and compare it with the last commit; a second time when it differs."""
    client = tuple(generator.client)
    ignored_before = {name for name in shadow.snapshot() if within(name, client)}
    generator.run(shadow)
    files = _status(shadow, client, ignored_before)
    if not files:
        return Drift()
    patch = shadow.git("diff", "--no-ext-diff", "--no-textconv", "--no-color", "--binary", "-M", "--", *client)
    first = generation.copied(shadow.tree, client, shadow.folder / "first")
    generation.original(shadow, repository, client)
    generator.run(shadow)
    second = generation.copied(shadow.tree, client, shadow.folder / "second")
    unstable = tuple(sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name)))
    lines = tuple((name, first_difference(first.get(name, b""), second.get(name, b""))) for name in unstable)
    _restore(shadow, client)
    return Drift(tuple(files), patch, unstable, lines)


def _status(shadow: Shadow, client: Sequence[str], ignored_before: set[str]) -> list[ChangedFile]:
    status = ("status", "-z", "--untracked-files=all", "--ignored=matching", "--ignore-submodules=all")
    found = _parsed(shadow.git(*status, "--", *client), ignored_before)
    new = [file.path for file in found if file.kind == "untracked"]
    if not new:
        return found
    # git follows renames, and shows new files in a diff, only for those that it is told to add.
    paths = b"\0".join(map(os.fsencode, new))
    shadow.git("add", "--intent-to-add", "--pathspec-from-file=-", "--pathspec-file-nul", stdin=paths)
    followed = _parsed(shadow.git(*status, "--renames", "--", *client), ignored_before)
    untracked = set(new)
    return [
        ChangedFile(file.path, "untracked") if file.kind == "added" and file.path in untracked else file for file in followed
    ]


def _parsed(output: bytes, ignored_before: set[str]) -> list[ChangedFile]:
    """The entries of `git status -z`: two letters, a space, the path; the old path of a renamed one follows."""
    found: list[ChangedFile] = []
    entries = iter(split(output))
    for entry in entries:
        letters, path = entry[:2], entry[3:]
        letter = letters.strip()[-1:]
        was = next(entries) if "R" in letters else ""
        folder = path if path.endswith("/") else f"{path}/"
        if letter == "!" and any(f"{name}/".startswith(folder) for name in ignored_before):
            continue
        found.append(ChangedFile(path, _KINDS.get(letter, "changed"), was))
    return found


def _restore(shadow: Shadow, client: Sequence[str]) -> None:
    """Leave the first generation in the copy: it is the one that the patch shows and that `fix` writes."""
    for path in client:
        shadow.remove(path)
    saved = shadow.folder / "first"
    for path in client:
        source, target = saved / path, shadow.tree / path
        if source.is_dir():
            shutil.copytree(source, target)
        elif source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)


def first_difference(one: bytes, other: bytes) -> int:
    """The first line, from 1, in which two texts differ."""
    lines, others = one.splitlines(), other.splitlines()
    for number, (line, theirs) in enumerate(zip(lines, others, strict=False), 1):
        if line != theirs:
            return number
    return min(len(lines), len(others)) + 1


def write(shadow: Shadow, repository: Repository, drift: Drift) -> list[str]:
    """Writes the regenerated files into the work tree, each whole or not at all. Returns their paths."""
    written: list[str] = []
    for file in drift.files:
        if file.was:
            (repository.root / file.was).unlink(missing_ok=True)
        source, target = shadow.tree / file.path, repository.root / file.path
        if file.kind == "deleted":
            target.unlink(missing_ok=True)
        elif source.is_file():
            _replace(source, target)
        written.append(file.path)
    return written


def _replace(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        shutil.copyfile(source, beside)
        shutil.copymode(source, beside)
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)
