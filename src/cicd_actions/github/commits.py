"""Tells which of two commits is ahead, by GitHub's compare API."""

from __future__ import annotations

from dataclasses import dataclass

from cicd_actions.github.client import GitHub, segment
from cicd_actions.github.errors import NotFound, Permission
from cicd_actions.toolkit.errors import Inconclusive
from cicd_actions.toolkit.json_values import members, objects

CONTENTS = Permission("Contents", "read", job="contents")

_STATUSES = {"ahead", "behind", "identical", "diverged"}


@dataclass(frozen=True)
class Commit:
    sha: str
    title: str
    author: str
    parents: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """How `head` relates to `base`: `ahead`, `behind`, `identical` or `diverged`; `unknown` when `base` no longer exists.

    `commits` are those of `head` that `base` has not, oldest first, at most a hundred of `total`.
    """

    status: str
    commits: tuple[Commit, ...] = ()
    total: int = 0
    behind: int = 0

    def mainline(self) -> list[Commit]:
        """Returns the commits along the first parents, newest first: what `git revert` takes. Empty when not all are known."""
        if self.total > len(self.commits):
            return []
        known = {each.sha: each for each in self.commits}
        found: list[Commit] = []
        at = self.commits[-1].sha if self.commits else ""
        while at in known:
            found.append(known.pop(at))
            at = found[-1].parents[0] if found[-1].parents else ""
        return found


def compare(github: GitHub, base: str, head: str, *, commits: int = 1) -> Comparison:
    """Compares two commits by their full SHAs. Raises what `GitHub` raises, `NotFound` only when `head` is not visible.

    https://docs.github.com/rest/commits/commits#compare-two-commits
    """
    if base == head:
        return Comparison("identical")
    what = f"compare {base[:12]} with {head[:12]}"
    try:
        found = github.get(
            f"{github.repo}/compare/{segment(base)}...{segment(head)}", what, needs=CONTENTS, per_page=min(commits, 100)
        )
    except NotFound:
        # A rewritten history and a missing permission answer alike; the commit that is deployed tells them apart.
        github.get(f"{github.repo}/commits/{segment(head)}", f"read the commit {head[:12]}", needs=CONTENTS, per_page=1)
        return Comparison("unknown")
    if not isinstance(found, dict) or str(found.get("status")) not in _STATUSES:
        raise Inconclusive(f"Could not {what}: GitHub's answer has no status of the comparison.")
    return Comparison(
        status=str(found["status"]),
        commits=tuple(map(_commit, objects(found.get("commits")))),
        total=_count(found, "total_commits"),
        behind=_count(found, "behind_by"),
    )


def _count(found: dict[str, object], key: str) -> int:
    value = found.get(key)
    return value if isinstance(value, int) else 0


def _commit(found: dict[str, object]) -> Commit:
    details = members(found.get("commit"))
    name = members(details.get("author")).get("name")
    message = str(details.get("message") or "")
    before = tuple(str(each.get("sha", "")) for each in objects(found.get("parents")))
    return Commit(str(found.get("sha", "")), message.partition("\n")[0], str(name or ""), before)
