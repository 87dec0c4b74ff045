"""Tells who owns paths, by a CODEOWNERS file.

https://docs.github.com/repositories/managing-your-repositorys-settings-and-features/customizing-your-repository/about-code-owners
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

PLACES = (".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS")
"""Where GitHub looks for the file; the first one counts."""

_OWNER = re.compile(r"@[A-Za-z0-9][\w-]*(?:/[\w.-]+)?|[^@\s]{1,64}@[^@\s]{1,255}")
_MOST_STARS = 8
"""Wildcards of one pattern: a file from outside must not make the search slow."""


def of_paths(codeowners: str, paths: Iterable[str]) -> list[str]:
    """Returns the owners of the paths, those of most paths first. The last pattern that matches a path decides."""
    rules = list(_rules(codeowners))[::-1]
    counted: dict[str, int] = {}
    for path in paths:
        owners = next((owners for pattern, owners in rules if pattern.fullmatch(path)), ())
        for owner in owners:
            counted[owner] = counted.get(owner, 0) + 1
    return sorted(counted, key=lambda owner: -counted[owner])


def _rules(codeowners: str) -> Iterator[tuple[re.Pattern[str], tuple[str, ...]]]:
    """Yields pattern and owners of each line. GitHub skips a line with syntax that CODEOWNERS does not have: `!`, `[`."""
    for line in codeowners.splitlines():
        words = [word.replace(r"\ ", " ") for word in re.split(r"(?<!\\)\s+", re.sub(r"(^|\s)#.*", "", line).strip())]
        pattern, owners = words[0], words[1:]
        if not pattern or pattern.startswith("!") or "[" in pattern or pattern.count("*") > _MOST_STARS:
            continue
        if all(_OWNER.fullmatch(owner) for owner in owners):
            yield _compiled(pattern), tuple(dict.fromkeys(owners))


def _compiled(pattern: str) -> re.Pattern[str]:
    """Returns what matches the whole path of a file. As in .gitignore, but `docs/*` owns no folder below `docs`."""
    body = pattern.strip("/")
    anchored = "/" in pattern.rstrip("/")
    below = "/.*" if pattern.endswith("/") else "" if anchored and re.search(r"(?:^|/)\*$", body) else "(?:/.*)?"
    parts = {"**/": "(?:.*/)?", "/**": "/.*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    found = re.sub(r"\*\*/|/\*\*$|\*\*|\*|\?|[^*?/]+|/", lambda match: parts.get(match[0]) or re.escape(match[0]), body)
    return re.compile(("" if anchored else "(?:.*/)?") + found + below, re.DOTALL)
