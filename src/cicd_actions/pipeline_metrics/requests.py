"""The requests of a collection: counted, and asked conditionally where a list may not have changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cicd_actions.github.client import GitHub
from cicd_actions.github.errors import Permission


@dataclass
class Budget:
    """Requests that are left, for all repositories together."""

    left: int
    used: int = 0

    def take(self) -> None:
        """Raises `Spent` when none is left."""
        if self.left <= 0:
            raise Spent
        self.left -= 1
        self.used += 1


class Spent(Exception):
    """The budget of requests is used up."""


@dataclass(frozen=True)
class Requests:
    """Asks GitHub within a budget. `marks` keeps the tags of what was read, for the next collection."""

    github: GitHub
    budget: Budget
    marks: dict[str, Any]

    def get(self, path: str, what: str, needs: Permission, query: Mapping[str, str | int]) -> Any:
        """Returns what GitHub answers. Raises `Spent`, and what the client raises."""
        self.budget.take()
        return self.github.changed(path, what, "", needs=needs, **query)[1]

    def changed(self, name: str, path: str, what: str, needs: Permission, query: Mapping[str, str | int]) -> Any:
        """Returns the first page of a list; `None` when it is what it was at the last collection.

        Raises as `get` does.
        """
        self.budget.take()
        etags: dict[str, Any] = self.marks.setdefault("etags", {})
        known = etags.get(name)
        # A tag belongs to one question.
        same = isinstance(known, list) and known[1:] == [dict(query)]
        tag, found = self.github.changed(path, what, str(known[0]) if known and same else "", needs=needs, **query)
        if found is not None and tag:
            etags[name] = [tag, dict(query)]
        return found
