"""What Alembic's command line prints of revisions. Its output is text from an image: read strictly, trusted for nothing else.

https://alembic.sqlalchemy.org/en/latest/tutorial.html#viewing-history-ranges
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

_HEADER = re.compile(r"Rev: (\S+)(?: \([a-z ]+\))*")
_FIELD = re.compile(r"(Parent|Merges|Also depends on|Path): (.+)")
_CURRENT = re.compile(r"([\w.@-]+)(?: \([a-z ]+\))*")
_LOST = re.compile(r"Can't locate revision identified by '([^']+)'")
_PHASE = re.compile(r"(?P<path>.+?):\s*deploy_phase\s*(?::[^=]*)?=\s*(?P<value>.*)")


@dataclass(frozen=True)
class Revision:
    """One revision of an image: those it stands on, the module's path, and its first line for people."""

    revision: str
    parents: tuple[str, ...] = ()
    path: str = ""
    message: str = ""


def history(lines: Iterable[str]) -> dict[str, Revision]:
    """The revisions that `alembic history --verbose` prints, by their id. Lines of anything else are passed over."""
    found: dict[str, Revision] = {}
    current: Revision | None = None
    for line in lines:
        header = _HEADER.fullmatch(line.rstrip())
        if header:
            current = Revision(header[1])
        elif current is not None:
            current = _with(current, line)
        if current is not None:
            found[current.revision] = current
    return found


def _with(revision: Revision, line: str) -> Revision:
    # A module's own words are indented, so none of them can look like a field.
    field = _FIELD.fullmatch(line.rstrip())
    if field is None:
        message = revision.message or (line.strip() if line.startswith("    ") else "")
        return Revision(revision.revision, revision.parents, revision.path, message)
    name, value = field[1], field[2].strip()
    if name == "Path":
        return Revision(revision.revision, revision.parents, value, revision.message)
    parents = tuple(part for part in re.split(r"[,\s]+", value) if part and part != "<base>")
    return Revision(revision.revision, revision.parents + parents, revision.path, revision.message)


def shows(lines: Iterable[str], revision: str) -> bool:
    """Whether `alembic show` printed exactly this revision. It also takes the beginning of an id for the whole."""
    return any(header[1] == revision for header in map(_HEADER.fullmatch, (line.rstrip() for line in lines)) if header)


def current(lines: Iterable[str]) -> tuple[str, ...]:
    """The revisions that `alembic current` printed on its standard output."""
    matches = (_CURRENT.fullmatch(line.strip()) for line in lines)
    return tuple(dict.fromkeys(match[1] for match in matches if match))


def lost(lines: Iterable[str]) -> str:
    """The revision that Alembic says it cannot find: the database, or the question, is ahead of the image."""
    return next((match[1] for match in map(_LOST.search, lines) if match), "")


def newer(of: Sequence[str], image: Mapping[str, Revision], known: Iterable[str]) -> list[Revision] | None:
    """The revisions from `of` downwards that are not `known`, oldest first; `None` when `image` has a gap in them."""
    stop = set(known)
    found: dict[str, Revision] = {}
    waiting = [revision for revision in of if revision not in stop]
    while waiting:
        at = waiting.pop(0)
        if at in found:
            continue
        if at not in image:
            return None
        found[at] = image[at]
        waiting += [parent for parent in image[at].parents if parent not in stop]
    return list(reversed(found.values()))


def deploy_phases(lines: Iterable[str], paths: Iterable[str]) -> dict[str, str]:
    """The phase of each module by its path, from `grep -H '^deploy_phase' PATH…`. One that does not say it is `expand`.

    A value that is not plain text is neither, and comes back empty.
    """
    found = dict.fromkeys(paths, "expand")
    for line in lines:
        match = _PHASE.fullmatch(line)
        if match and match["path"] in found and found[match["path"]] != "contract":
            found[match["path"]] = _literal(match["value"])
    return found


def _literal(text: str) -> str:
    try:
        value = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return ""
    return value if value in ("expand", "contract") else ""
