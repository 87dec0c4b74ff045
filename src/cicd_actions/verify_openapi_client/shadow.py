"""A copy of the work tree in which programs may write, with a separate index and object store.

The work tree and `.git` stay as they are, also when the run is killed. Ignored folders (`node_modules`, `.venv`) are
folders of links: what is installed can be used, and what is created beside it stays in the copy.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeAlias

from cicd_actions.toolkit.background import Background
from cicd_actions.verify_openapi_client.repository import NOT_LITERAL, GitFailed, Repository, split

_CACHES = {"__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis", ".cache", ".vite", ".vite-temp", ".git"}
"""Not needed for a generation, and written to by everybody: the copy does without."""

_DEPENDENCIES = {"node_modules", ".venv", "venv", "vendor", ".pnpm-store", ".yarn", "site-packages", "target", ".gradle"}
"""Installed things, too many to watch."""

_MOST_WATCHED = 20_000

Stamp: TypeAlias = "tuple[int, int, int, int]"
"""What tells that a file was written: time, size, inode, mode."""


@dataclass
class Shadow:
    """`tree` is the copy; `scratch` a folder beside it that goes with it."""

    repository: Repository
    folder: Path
    linked: list[str] = field(default_factory=list)
    _watched: dict[str, Stamp] = field(default_factory=dict)

    @property
    def tree(self) -> Path:
        return self.folder / "tree"

    def git(self, *words: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> bytes:
        """git on the copy, with the private index and object store."""
        whole = {
            "GIT_DIR": str(self.repository.git_dir),
            "GIT_WORK_TREE": str(self.tree),
            "GIT_INDEX_FILE": str(self.folder / "index"),
            "GIT_OBJECT_DIRECTORY": str(self.folder / "objects"),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(self.repository.objects),
            # The index is ours, so it may be refreshed.
            "GIT_OPTIONAL_LOCKS": "1",
            **(env or {}),
        }
        return self.repository.git(*words, env=whole, cwd=self.tree, stdin=stdin)

    def environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        """The variables for programs that run in the copy.

        Package managers that would first bring an environment up to date are told not to: behind the links are the real ones.
        """
        found = {name: value for name, value in variables.items() if not name.startswith("GIT_")}
        found["PYTHONDONTWRITEBYTECODE"] = "1"
        # pnpm 10 and newer: https://pnpm.io/settings#verifydepsbeforerun
        found["pnpm_config_verify_deps_before_run"] = found["npm_config_verify_deps_before_run"] = "false"
        if any(name.rsplit("/", 1)[-1] == ".venv" for name in self.linked):
            found["UV_NO_SYNC"] = "1"
        return found

    def put(self, name: str) -> None:
        """Copy one file or link of the work tree as it is now; what is not there is passed over."""
        source, target = self.repository.root / name, self.tree / name
        if target.is_symlink() or target.exists():
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink():
            target.symlink_to(source.readlink())
        elif source.is_dir():  # a submodule, or a repository within
            shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns(".git", *_CACHES))
        elif source.is_file():
            shutil.copy2(source, target)

    def remove(self, name: str) -> None:
        """Remove a file or folder of the copy."""
        target = self.tree / name
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)

    def fill(self) -> None:
        """Copy the work tree as it is: tracked, untracked and ignored files."""
        ignored = ("ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory")
        # None of the three needs another: git works on them while the files are copied.
        listing = Background(partial(self.repository.names, *ignored))
        reading = Background(partial(self.git, "read-tree", "HEAD"))
        for name in self.repository.names("ls-files", "-z", "--cached", "--others", "--exclude-standard"):
            self.put(name.rstrip("/"))
        for name in listing.result():
            if name.rstrip("/").rsplit("/", 1)[-1] in _CACHES:
                continue
            if name.endswith("/"):
                self._link(name.rstrip("/"))
            else:
                self.put(name)
        reading.result()

    def _link(self, name: str) -> None:
        source, target = self.repository.root / name, self.tree / name
        if source.is_symlink() or target.exists():
            self.put(name)
            return
        target.mkdir(parents=True)
        self.linked.append(name)
        with os.scandir(source) as entries:
            for entry in entries:
                if entry.name not in _CACHES:
                    (target / entry.name).symlink_to(entry.path)
        if name.rsplit("/", 1)[-1] not in _DEPENDENCIES:
            self._watched |= self._behind(name)

    def _behind(self, name: str) -> dict[str, Stamp]:
        root = self.repository.root
        found: dict[str, Stamp] = {}
        for path, stamp in _stamps(root / name):
            found[Path(path).relative_to(root).as_posix()] = stamp
            if len(found) > _MOST_WATCHED:
                break
        return found

    def written_through(self) -> list[str]:
        """Files of ignored folders of the work tree itself that changed since the copy was made."""
        watched = [name for name in self.linked if name.rsplit("/", 1)[-1] not in _DEPENDENCIES]
        now = {path: stamp for name in watched for path, stamp in self._behind(name).items()}
        if len(now) > _MOST_WATCHED or len(self._watched) > _MOST_WATCHED:
            return []
        return sorted(path for path in now.keys() | self._watched.keys() if now.get(path) != self._watched.get(path))

    def snapshot(self) -> dict[str, Stamp]:
        """Every file of the copy by its path; links are not followed."""
        start = len(str(self.tree)) + 1
        return {path[start:]: stamp for path, stamp in _stamps(self.tree)}

    def unignored(self, names: Iterable[str]) -> list[str]:
        """Those of the names that git does not ignore."""
        given = list(names)
        if not given:
            return []
        paths = b"\0".join(os.fsencode(f"./{name}") for name in given) + b"\0"
        try:
            ignored = split(self.git("check-ignore", "-z", "--stdin", stdin=paths, env=NOT_LITERAL))
        except GitFailed as error:
            if error.code != 1:
                raise
            return given  # 1 means that none is
        return [name for name in given if f"./{name}" not in set(ignored)]


def _stamps(folder: Path) -> Iterator[tuple[str, Stamp]]:
    stack = [str(folder)]
    while stack:
        try:
            entries = list(os.scandir(stack.pop()))
        except FileNotFoundError:
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                stack.append(entry.path)
                continue
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            yield entry.path, (status.st_mtime_ns, status.st_size, status.st_ino, status.st_mode)


@contextmanager
def shadow(repository: Repository, scratch: Path | None) -> Iterator[Shadow]:
    """A filled copy below `scratch` (else the system's temporary folder); it is gone at the end, also of a cancelled run."""
    folder = Path(tempfile.mkdtemp(prefix="openapi-client-", dir=scratch))
    made = Shadow(repository, folder)
    try:
        made.tree.mkdir()
        (folder / "objects").mkdir()
        made.fill()
        yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)
