"""Joins the three lists by name, and says what is missing where."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from cicd_actions.secrets_doc_check.records import SWITCHES, Column, Entry, Kind, Missing, Setting, Use

MOST_COMPARISONS = 20_000
"""Pairs of names that are compared for likeness: a bound for repositories with thousands of names."""


class State(str, Enum):
    """What can be wrong with a name: the words of `fail-on`, worst first."""

    UNDOCUMENTED = "undocumented"
    UNSET = "unset"
    INCOMPLETE = "incomplete"
    UNUSED = "unused"

    def __str__(self) -> str:
        return self.value


@dataclass
class Row:
    """Everything about one name."""

    name: str
    uses: list[Use] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    settings: list[Setting] = field(default_factory=list)
    states: set[State] = field(default_factory=set)
    missing: tuple[Missing, ...] = ()
    """What no entry says."""
    unset: list[str] = field(default_factory=list)
    """Where it should be set and is not: `repository`, `environment production`."""
    unknown: bool = False
    """Whether it is needed and nobody may say if it is set."""
    hints: list[str] = field(default_factory=list)
    ignored: str = ""
    """The reason why it does not count."""

    @property
    def required(self) -> bool:
        return any(not use.optional and not use.aside for use in self.uses)

    @property
    def kinds(self) -> list[Kind]:
        """The kinds it is used as, secrets first; what it is set as where it is not used."""
        found = {use.kind for use in self.uses if not use.aside} or {use.kind for use in self.uses}
        found = found or {setting.kind for setting in self.settings}
        return [kind for kind in Kind if kind in found]

    @property
    def rank(self) -> tuple[int, str]:
        """Worst first: what is used and required before what is optional, then by name."""
        worst = min((list(State).index(state) for state in self.states), default=9)
        if self.ignored:
            return (100, self.name)
        return (worst * 2 + (not self.required) if self.states else 50 if self.unknown else 60, self.name)


def compare(uses: Iterable[Use], entries: Iterable[Entry], column: Column, ignored: Mapping[str, str]) -> list[Row]:
    """One row a name, worst first. `ignored` gives the names that do not count, with the reasons."""
    rows: dict[str, Row] = {}
    for use in uses:
        rows.setdefault(use.name.upper(), Row(use.name)).uses.append(use)
    for setting in column.settings:
        rows.setdefault(setting.name.upper(), Row(setting.name)).settings.append(setting)
    for entry in entries:
        # A word in capitals somewhere in a text is an entry only when it is a name that is used or set.
        if entry.certain or entry.name in rows:
            rows.setdefault(entry.name, Row(entry.name)).entries.append(entry)
    for name, row in list(rows.items()):
        if not row.entries and all(use.aside for use in row.uses) and not any(_on_github(setting) for setting in row.settings):
            # Set by an image or a compose file, or named in a test: nobody has to know.
            del rows[name]
    for row in rows.values():
        row.ignored = ignored.get(row.name.upper(), "")
        if not row.ignored:
            _judge(row, column)
    _hint(rows.values())
    return sorted(rows.values(), key=lambda row: row.rank)


def _judge(row: Row, column: Column) -> None:
    if row.uses and not all(use.aside for use in row.uses):
        if not row.entries:
            row.states.add(State.UNDOCUMENTED)
        else:
            lacking = set.intersection(*(set(entry.missing) for entry in row.entries))
            row.missing = tuple(part for part in Missing if part in lacking)
            if row.missing:
                row.states.add(State.INCOMPLETE)
    elif not row.uses and row.name not in SWITCHES and (row.entries or any(_owned(one) for one in row.settings)):
        row.states.add(State.UNUSED)
    for use in row.uses:
        if use.kind is not Kind.SETTING and not use.optional and not use.interface:
            _look_up(row, use, column)
    if row.unset:
        row.states.add(State.UNSET)


def _on_github(setting: Setting) -> bool:
    return setting.kind is not Kind.SETTING


def _owned(setting: Setting) -> bool:
    """Whether the repository itself set it on GitHub: what an organisation shares is nobody's mistake here."""
    return _on_github(setting) and setting.level != "organisation"


def _look_up(row: Row, use: Use, column: Column) -> None:
    levels = {setting.level for setting in row.settings if setting.kind is use.kind}
    shared = ["repository", "organisation"]
    if use.environments is None:
        # Any environment may be meant: one that has it is enough.
        if not levels:
            row.unknown = True
        return
    for environment in use.environments or ("",):
        asked = [*([f"environment {environment}"] if environment else []), *shared]
        if levels & set(asked):
            continue
        if not column.looked or any((use.kind, level) in column.unknown for level in asked):
            row.unknown = True
        elif asked[0] not in row.unset:
            row.unset.append(asked[0])


def _hint(rows: Iterable[Row]) -> None:
    rows = list(rows)
    spare = {row.name: row for row in rows if not row.uses and row.entries and not row.ignored}
    left = {row.name: row for row in rows if not row.uses and not row.entries and row.settings}
    compared = 0
    for row in rows:
        if row.ignored or not row.states & {State.UNDOCUMENTED, State.UNSET}:
            continue
        compared += len(spare) + len(left)
        if compared > MOST_COMPARISONS:
            return
        for like in difflib.get_close_matches(row.name, [*spare], n=1, cutoff=0.75):
            row.hints.append(f"documented {like}, used {row.name}")
        for like in difflib.get_close_matches(row.name, [*left], n=1, cutoff=0.75):
            row.hints.append(f"set {like}, used {row.name}")
        if State.UNSET in row.states:
            row.hints += _elsewhere(row)


def _elsewhere(row: Row) -> list[str]:
    """Set, but not where it is read, or not as what it is read."""
    hints: list[str] = []
    used = {use.kind for use in row.uses}
    for setting in row.settings:
        if setting.kind not in used and setting.kind is not Kind.SETTING:
            hints.append(f"set as a {setting.kind}, used as a {next(iter(used))}")
        elif setting.level.startswith("environment ") and "repository" in row.unset:
            hints.append(f"set in the {setting.level}, which the job does not name")
    return list(dict.fromkeys(hints))
