"""Asks git about the repository without changing it: no lock, no index, no object is written."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from cicd_actions.toolkit import git
from cicd_actions.toolkit.errors import Inconclusive, UnusableInput

_SETTINGS = (
    ("core.untrackedCache", "false"),
    ("core.splitIndex", "false"),
    ("core.quotePath", "false"),
    ("diff.renameLimit", "5000"),
    ("diff.noprefix", "false"),
    ("diff.mnemonicPrefix", "false"),
)
"""What the repository's own settings could change: caches are written beside the private index, and output would differ."""

NOT_LITERAL = {"GIT_LITERAL_PATHSPECS": "0"}
"""For `check-ignore`, which refuses the setting; a leading `./` keeps a name from being taken for a pattern."""

TIMEOUT = 120.0
"""Seconds for one call of git."""


class GitFailed(Exception):
    """git ended with an exit code that was not expected."""

    def __init__(self, words: Iterable[str], code: int, message: str) -> None:
        super().__init__(f"git {' '.join(words)} ended with {code}: {message.strip()}")
        self.code = code
        self.message = message.strip()


@dataclass(frozen=True)
class Repository:
    """A work tree and its `.git`. `variables` are the step's; git gets the few that it needs."""

    root: Path
    git_dir: Path
    objects: Path
    head: str
    variables: Mapping[str, str]

    def git(
        self,
        *words: str,
        ok: Iterable[int] = (0,),
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> bytes:
        """What git prints. Raises `GitFailed`, and `Inconclusive` when it takes too long."""
        return _git(words, self.variables, cwd or self.root, ok=ok, stdin=stdin, env=env)

    def names(self, *words: str) -> list[str]:
        """The names that git prints, each ended by NUL."""
        return split(self.git(*words))

    def commit(self, revision: str) -> str | None:
        """The full id of a commit that is here; `None` when it is not."""
        try:
            found = self.git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
        except GitFailed:
            return None
        return found.decode().strip()

    def show(self, commit: str, path: str) -> bytes | None:
        """The content of a file in a commit; `None` when it is not there."""
        try:
            return self.git("cat-file", "blob", f"{commit}:{path}")
        except GitFailed:
            return None

    def size(self, commit: str, path: str) -> int | None:
        """How many bytes a file in a commit has; `None` when it is not there."""
        try:
            return int(self.git("cat-file", "-s", f"{commit}:{path}"))
        except GitFailed:
            return None

    def relative(self, path: Path) -> str | None:
        """The path as git writes it; `None` when it lies outside of the work tree."""
        whole = Path(os.path.normpath(path))
        if not whole.is_relative_to(self.root):
            # git says the root with links followed (`/private/var` for `/var`).
            whole = Path(os.path.realpath(whole.parent), whole.name)
        return whole.relative_to(self.root).as_posix() if whole.is_relative_to(self.root) else None

    def tracked(self, path: Path) -> str:
        """The path as git writes it, if the last commit has it; else empty."""
        name = self.relative(path)
        return name if name and self.git("ls-tree", "-z", "--name-only", "HEAD", "--", name) else ""


def find(folder: Path, variables: Mapping[str, str]) -> Repository:
    """The repository that the folder lies in. Raises `UnusableInput` when there is none, or no commit."""
    words = ("rev-parse", "--path-format=absolute", "--show-toplevel", "--git-dir", "--git-path", "objects")
    try:
        answer = _git((*words, "HEAD^{commit}"), variables, folder)
    except GitFailed:
        _explain(words, variables, folder)
    *paths, head = answer.rstrip(b"\n").split(b"\n")
    root, git_dir, objects = (Path(os.fsdecode(line)) for line in paths)
    return Repository(root, git_dir, objects, head.decode(), variables)


def _explain(words: Iterable[str], variables: Mapping[str, str], folder: Path) -> NoReturn:
    try:
        _git(words, variables, folder)
    except GitFailed as error:
        raise UnusableInput(
            f"{folder} is not in a git repository: {error.message.splitlines()[0] if error.message else error}",
            cause="The action compares the client in git with the generated one, so it needs a checkout of the repository.",
            fix="    - uses: actions/checkout@<sha>",
        ) from None
    raise UnusableInput("The repository has no commit yet, so there is no client in git to compare with.")


def split(output: bytes) -> list[str]:
    """The names in an output with `-z`."""
    return [os.fsdecode(name) for name in output.split(b"\0") if name]


def _git(
    words: Iterable[str],
    variables: Mapping[str, str],
    cwd: Path,
    *,
    ok: Iterable[int] = (0,),
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
) -> bytes:
    started = git.command(*(word for key, value in _SETTINGS for word in ("-c", f"{key}={value}")), *words)
    whole = git.variables(variables) | {"GIT_LITERAL_PATHSPECS": "1", "LC_ALL": "C", **(env or {})}
    try:
        done = subprocess.run(started, cwd=cwd, env=whole, input=stdin, capture_output=True, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        raise Inconclusive(f"git {' '.join(words)} was not finished after {TIMEOUT:g} s.") from None
    except OSError as error:
        raise UnusableInput(f"Could not start git: {error.strerror}.", cause="It is not installed, or not on PATH.") from None
    if done.returncode not in ok:
        raise GitFailed(words, done.returncode, done.stderr.decode("utf-8", "replace"))
    return done.stdout
