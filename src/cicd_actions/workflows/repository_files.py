"""Workflow and action files by path, those of other repositories included where they can be read."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from cicd_actions.toolkit.findings import Finding
from cicd_actions.workflows.files import read
from cicd_actions.workflows.inspection import Inspection, inspect
from cicd_actions.workflows.place import Place, unread
from cicd_actions.workflows.tree import Tree

_FULL_NAME = re.compile(r"([\w.-]+/[\w.-]+)/(.+)@([^@]+)")
_COMMIT = re.compile(r"[0-9a-f]{40}")

Fetch = Callable[[str, str, str], str]
"""Reads a file of another repository: `owner/name`, path and commit give its text. Raises `Unavailable`."""


class Unavailable(Exception):
    """A file of another repository cannot be read; the text says why."""


@dataclass
class Files:
    """Gives the file at a path; `None` when there is none.

    `repository` is this repository's own `owner/name`, or nothing. With `fetch`, called workflows of other repositories
    are read where they are pinned to a commit; their path is `owner/name/path@commit`.
    """

    tree: Tree
    repository: str = ""
    fetch: Fetch | None = None
    texts: dict[str, str] = field(default_factory=dict)
    """The texts of this repository's files that were read, by path."""
    findings: list[Finding] = field(default_factory=list)
    _read: dict[str, Inspection | None] = field(default_factory=dict)

    def __call__(self, path: str) -> Inspection | None:
        if path not in self._read:
            text = self._fetched(path) if "@" in path else self.tree.read(path)
            self._read[path] = inspect(read(path, text)) if text is not None else None
            if text is not None and "@" not in path:
                self.texts[path] = text
        return self._read[path]

    def path_of(self, uses: str, caller: str) -> str | None:
        """Returns the path that `uses:` in the file `caller` names; `None` for what cannot be read.

        `./…` and GitHub's own `$/…` are of the caller's repository; the full name of this repository is this repository.
        """
        home = _FULL_NAME.fullmatch(caller)
        if uses.startswith(("./", "$/")):
            path = posixpath.normpath(uses[2:])
            if path.startswith(("..", "/")):
                return None
            return f"{home[1]}/{path}@{home[3]}" if home else path
        named = _FULL_NAME.fullmatch(uses)
        if named is None:
            return None
        if self.repository and named[1].lower() == self.repository.lower():
            return posixpath.normpath(named[2])
        workflow = named[2].startswith(".github/workflows/")
        return uses if self.fetch is not None and workflow and _COMMIT.fullmatch(named[3]) else None

    def action(self, uses: str, caller: str) -> Inspection | None:
        """Returns the metadata of a local action; `None` when it is not local or does not exist."""
        path = self.path_of(uses, caller)
        if path is None:
            return None
        folder, at, commit = path.partition("@")
        prefix = "" if folder == "." else f"{folder}/"
        return self(f"{prefix}action.yml{at}{commit}") or self(f"{prefix}action.yaml{at}{commit}")

    def _fetched(self, path: str) -> str | None:
        named = _FULL_NAME.fullmatch(path)
        if named is None or self.fetch is None:
            return None
        try:
            return self.fetch(named[1], named[2], named[3])
        except Unavailable as error:
            if not named[2].endswith(("action.yml", "action.yaml")):
                message = f"{named[1]}/{named[2]} could not be read: {error}"
                self.findings.append(unread("not-read", message, Place("", 0)))
            return None
