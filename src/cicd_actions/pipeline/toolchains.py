"""Which package manager a lane uses, where its lock file lies, and how it installs."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from dataclasses import dataclass

from cicd_actions.pipeline_file.lanes import Lane, Node, Python

LOCKS = {
    "python": {
        "uv.lock": "uv",
        "poetry.lock": "poetry",
        "pdm.lock": "pdm",
        "requirements-dev.txt": "pip",
        "requirements.txt": "pip",
    },
    "node": {
        "pnpm-lock.yaml": "pnpm",
        "package-lock.json": "npm",
        "yarn.lock": "yarn",
        "bun.lock": "bun",
        "bun.lockb": "bun",
    },
}
"""Lock file → package manager, by language; of two in one folder the first counts."""

USUAL = {"python": "uv", "node": "npm"}

INSTALL = {
    "uv": "uv sync --frozen",
    "pip": "python -m pip install --requirement {lock}",
    "poetry": "poetry install --no-interaction",
    "pdm": "pdm sync",
    "pnpm": "pnpm install --frozen-lockfile",
    "npm": "npm ci",
    "yarn": "yarn install --immutable",
    "bun": "bun install --frozen-lockfile",
}
AT_THE_LOCK = frozenset({"npm", "yarn", "bun", "pnpm"})
"""Managers that install a whole workspace: their command runs where the lock file lies."""


@dataclass(frozen=True)
class Toolchain:
    """A language's manager in one lane. `lock` is from the repository's root, empty where there is none."""

    manager: str
    lock: str
    version: str = ""

    @property
    def folder(self) -> str:
        """Returns the folder of the lock file, from the repository's root."""
        return posixpath.dirname(self.lock) or "."


def nearest_lock(directory: str, files: Iterable[str], language: str, manager: str = "") -> str:
    """Returns the lock file that lies nearest to a folder: in it, else above it. Empty when there is none."""
    known = set(files)
    folder = posixpath.normpath(directory)
    while True:
        for name, owner in LOCKS[language].items():
            path = posixpath.normpath(posixpath.join(folder, name))
            if path in known and manager in {"", owner}:
                return path
        if folder in {".", ""}:
            return ""
        folder = posixpath.dirname(folder) or "."


def toolchain(lane: Lane, files: Iterable[str], language: str) -> Toolchain | None:
    """Returns a lane's manager for a language, `None` where the lane does not use it."""
    asked: Python | Node | None = lane.python if language == "python" else lane.node
    if asked is None:
        return None
    lock = asked.lock or nearest_lock(lane.directory, files, language, asked.manager or "")
    manager = asked.manager or LOCKS[language].get(posixpath.basename(lock), USUAL[language])
    return Toolchain(manager, lock, asked.manager_version or "")


def install(lane: Lane, toolchains: Iterable[Toolchain]) -> list[dict[str, str]]:
    """Returns the commands that install, each with the folder to run in, from the repository's root."""
    if lane.install is not None:
        return [{"run": command, "directory": lane.directory} for command in lane.install]
    found = []
    for each in toolchains:
        if not each.lock and each.manager == "pip":
            continue  # there is nothing to install from
        at_the_lock = each.manager in AT_THE_LOCK and each.lock
        directory = each.folder if at_the_lock else lane.directory
        lock = posixpath.relpath(each.lock or ".", directory)
        found.append({"run": INSTALL[each.manager].replace("{lock}", lock), "directory": directory})
    return found
