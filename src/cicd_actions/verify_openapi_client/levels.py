"""What each rule leads to: `off`, `warn` or `error`, by rule and place."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.toolkit.grammar import NotUnderstood, nearest

if TYPE_CHECKING:  # what defines it is imported while the generator runs
    from cicd_actions.verify_openapi_client.breaking.change import Change


class Level(IntEnum):
    """How much a change counts: not at all, as a warning, or as a failure."""

    OFF = 0
    WARN = 1
    ERROR = 2


_EXAMPLE = "response-property-closed at /internal/*: warn"


@dataclass(frozen=True)
class Setting:
    """One line of the input `rules`. `rule` and `place` may have `*`; an empty place is everywhere."""

    rule: str
    place: str
    level: Level

    def holds(self, change: Change, operation: str) -> bool:
        """Returns whether it is about a change, as far as one of its operations is concerned."""
        return fnmatchcase(change.rule.id, self.rule) and (not self.place or self._here(change, operation))

    def _here(self, change: Change, operation: str) -> bool:
        if self.place.startswith("#"):
            return any(fnmatchcase(where, self.place) for where in (change.pointer, change.place))
        if self.place.startswith("/"):
            return fnmatchcase(operation.partition(" ")[2], self.place)
        if " " in self.place:
            return fnmatchcase(operation, self.place)
        component = re.match(r"#/components/\w+/([^/]+)", change.place)
        return component is not None and fnmatchcase(component[1], self.place)


def setting(line: str) -> Setting:
    """Reads `RULE: LEVEL` or `RULE at PLACE: LEVEL`. Raises `NotUnderstood`."""
    head, colon, word = line.rpartition(":")
    rule, _, place = head.strip().partition(" at ")
    names = [level.name.lower() for level in Level]
    if not colon or not rule.strip():
        raise NotUnderstood(f"`{line}` is not `RULE: LEVEL` or `RULE at PLACE: LEVEL`", example=_EXAMPLE)
    if word.strip() not in names:
        raise NotUnderstood(f"`{word.strip()}` is not one of {', '.join(names)}", example=_EXAMPLE)
    return Setting(rule.strip(), place.strip(), Level[word.strip().upper()])


def check(settings: Iterable[Setting], known: Iterable[str]) -> None:
    """Raises `UnusableInput` for a setting of a rule that does not exist."""
    names = sorted(known)
    for each in settings:
        if not any(fnmatchcase(name, each.rule) for name in names):
            guess = nearest(each.rule, names) or "response-property-closed"
            place = f" at {each.place}" if each.place else ""
            raise UnusableInput(
                f"The input `rules` names the rule `{each.rule}`, which does not exist.",
                fix=f"    rules: |\n      {guess}{place}: {each.level.name.lower()}",
            )


def explicit(settings: Sequence[Setting], change: Change) -> Level | None:
    """Returns the level that the settings give a change; `None` where none is about it.

    The last setting that holds wins. A change of several operations has the highest level that it has for any of them.
    """
    found = [_last(settings, change, operation) for operation in change.operations or ("",)]
    given = [level for level in found if level is not None]
    return max(given) if given and len(given) == len(found) else (Level.ERROR if Level.ERROR in given else None)


def _last(settings: Sequence[Setting], change: Change, operation: str) -> Level | None:
    return next((each.level for each in reversed(settings) if each.holds(change, operation)), None)
