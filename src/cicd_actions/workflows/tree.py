"""The files of the repository: found by globs, and read only when they lie within it and have a sensible size."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from cicd_actions.toolkit import git
from cicd_actions.toolkit.findings import Finding
from cicd_actions.toolkit.grammar import NotUnderstood
from cicd_actions.toolkit.path_patterns import path_pattern
from cicd_actions.workflows.place import Place, unread

LONGEST = 1024 * 1024
"""Bytes of a file that is read."""

MOST_FILES = 200_000

_PASSED_OVER = frozenset({".git", "node_modules", ".venv", "venv", "__pycache__", ".tox", ".mypy_cache"})


@dataclass(frozen=True)
class Glob:
    """A pattern of paths from the repository's root (`path_pattern`); `!` in front excludes."""

    text: str
    pattern: re.Pattern[str]
    excludes: bool = False


def glob(text: str) -> Glob:
    """Read a pattern. Raises `NotUnderstood` for one that leads out of the repository."""
    excludes = text.startswith("!")
    path = text[1:] if excludes else text
    path = path.removeprefix("./")
    if path.startswith("/") or ".." in path.split("/") or not path:
        raise NotUnderstood(f"`{text}` is not a path within the repository", example=".github/workflows/*.yml")
    return Glob(text, path_pattern(path), excludes)


class _Unread(Exception):
    def __init__(self, rule: str, message: str, line: int = 1) -> None:
        super().__init__(message)
        self.rule = rule
        self.line = line


@dataclass
class Tree:
    """The repository's files. `findings` tells what could not be read."""

    root: Path
    findings: list[Finding] = field(default_factory=list)
    _paths: list[str] | None = None

    def __post_init__(self) -> None:
        self._real = os.path.realpath(self.root).rstrip(os.sep)
        self._folders: dict[str, bool] = {}

    @property
    def paths(self) -> list[str]:
        """The files that git knows or would add, sorted; without git, all files but those of well-known caches."""
        if self._paths is None:
            listed = self._listed_by_git()
            self._paths = sorted(self._walked() if listed is None else listed)
            if len(self._paths) > MOST_FILES:
                message = f"the repository has {len(self._paths)} files; only the first {MOST_FILES} were read"
                self.findings.append(unread("too-large", message, Place("", 0)))
                del self._paths[MOST_FILES:]
        return self._paths

    def matching(self, globs: tuple[Glob, ...]) -> list[str]:
        """The paths that a pattern matches and none that excludes does, sorted."""
        wanted = [one.pattern for one in globs if not one.excludes]
        spared = [one.pattern for one in globs if one.excludes]
        return [
            path
            for path in self.paths
            if any(pattern.fullmatch(path) for pattern in wanted) and not any(pattern.fullmatch(path) for pattern in spared)
        ]

    def read(self, path: str, *, longest: int = LONGEST) -> str | None:
        """Returns the text of a file; `None` when there is none, or when it cannot be read, which `findings` tells.

        It does not read a link that leads out of the repository, anything but a plain file, a file that is too large, or
        one that is not UTF-8.
        """
        # pathlib costs more than the reading itself where there are a thousand files.
        full = os.path.join(self.root, path)
        try:
            kind = os.lstat(full).st_mode
            if stat.S_ISDIR(kind) or (stat.S_ISLNK(kind) and os.path.isdir(full)):
                return None
            return self._text(full, kind, longest)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except _Unread as refused:
            found = unread(refused.rule, f"`{path}` {refused}", Place(path, refused.line))
        except (OSError, RuntimeError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
            found = unread("unreadable-file", f"cannot read `{path}`: {reason}", Place(path, 1))
        self.findings.append(found)
        return None

    def glance(self, path: str) -> str | None:
        """Returns the text of a file that is read only for a hint; `None`, without a finding, for what cannot be read."""
        before = len(self.findings)
        text = self.read(path)
        del self.findings[before:]
        return text

    def origin(self) -> str:
        """Returns the `owner/name` of the checkout's remote `origin`; nothing where there is none."""
        told = self._git(["config", "--local", "--get", "remote.origin.url"])
        parts = (told or b"").decode("utf-8", "replace").strip().removesuffix(".git").replace(":", "/").split("/")
        return "/".join(parts[-2:]) if len(parts) > 2 else ""

    def marked(self, paths: list[str]) -> set[str]:
        """Returns the paths that `.gitattributes` marks as generated or vendored (GitHub's linguist reads the same marks)."""
        if not paths or ".gitattributes" not in {path.rpartition("/")[2] for path in self.paths}:
            return set()
        words = ["check-attr", "-z", "--stdin", "linguist-generated", "linguist-vendored"]
        told = self._git(words, b"".join(os.fsencode(path) + b"\0" for path in paths))
        parts = [os.fsdecode(part) for part in (told or b"").split(b"\0")]
        return {path for path, _, value in zip(parts[::3], parts[1::3], parts[2::3], strict=False) if value in {"set", "true"}}

    def grep(self, words: list[str]) -> set[str] | None:
        """Returns the paths that a `git grep -z --name-only` with these words lists; `None` where git cannot tell."""
        told = self._git(words, allowed=(0, 1))
        return None if told is None else {os.fsdecode(name) for name in told.split(b"\0") if name}

    def _text(self, full: str, kind: int, longest: int) -> str:
        folder = os.path.dirname(full)
        if folder not in self._folders:
            self._folders[folder] = self._within(os.path.realpath(folder))
        if not self._folders[folder] or (stat.S_ISLNK(kind) and not self._within(os.path.realpath(full))):
            raise _Unread("outside-link", "is a link that leads out of the repository")
        if not stat.S_ISREG(kind) and not os.path.isfile(full):
            raise _Unread("outside-link", "is not a plain file")
        with open(full, "rb") as file:
            raw = file.read(longest + 1)
        if len(raw) > longest:
            raise _Unread("too-large", f"has more than {longest // 1024} KiB")
        try:
            return raw.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise _Unread("unreadable-file", "is not UTF-8", raw.count(b"\n", 0, error.start) + 1) from None

    def _within(self, target: str) -> bool:
        """Whether a path without links is the repository or lies in it, outside of git's own folder."""
        git = os.path.join(self._real, ".git")
        return (target + os.sep).startswith(self._real + os.sep) and not (target + os.sep).startswith(git + os.sep)

    def _listed_by_git(self) -> set[str] | None:
        told = self._git(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        return None if told is None else {os.fsdecode(name) for name in told.split(b"\0") if name}

    def _git(self, words: list[str], given: bytes = b"", allowed: tuple[int, ...] = (0,)) -> bytes | None:
        command, variables = git.command(*words), git.variables(os.environ)
        try:
            done = subprocess.run(
                command, cwd=self.root, env=variables, input=given, capture_output=True, timeout=60, check=False
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout if done.returncode in allowed else None

    def _walked(self) -> set[str]:
        found: set[str] = set()
        for folder, folders, files in os.walk(self.root):
            folders[:] = [name for name in folders if name not in _PASSED_OVER]
            relative = Path(folder).relative_to(self.root)
            found.update((relative / name).as_posix() for name in files)
            if len(found) > MOST_FILES:
                break
        return found
