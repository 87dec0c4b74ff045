"""Joins the three lists by name, and tells what is missing where."""

from __future__ import annotations

import difflib
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field

from cicd_actions.secrets_doc_check.model import (
    DEPENDABOT,
    ORGANISATION,
    REPOSITORY,
    SWITCHES,
    Column,
    Entry,
    Kind,
    Missing,
    Setting,
    Subject,
    Use,
    may_be_a_setting,
)
from cicd_actions.secrets_doc_check.rules import State
from cicd_actions.workflows.place import Place

MOST_COMPARISONS = 20_000
"""Pairs of names that are compared for likeness: a bound for repositories with thousands of names."""


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
    """Whether it is needed and GitHub could not say if it is set."""
    hints: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    """What the input `docs` would be with the file that documents the name; empty where none does."""
    todo: list[Place] = field(default_factory=list)
    """Generated entries that still have their placeholder."""
    ignored: str = ""
    """The reason why it does not count."""

    @property
    def required(self) -> bool:
        return any(use.required for use in self.uses)

    @property
    def defaulted(self) -> bool:
        """Whether it is a setting with a default wherever code reads it: it may stay undocumented."""
        uses = [use for use in self.uses if not use.aside]
        return bool(uses) and all(use.kind is Kind.SETTING and use.optional for use in uses)

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


def compare(
    uses: Iterable[Use], entries: Iterable[Entry], column: Column, ignored: Mapping[str, str], *, code: bool = False
) -> list[Row]:
    """Returns one row a name, worst first. `ignored` gives the names that do not count, with the reasons.

    `code` says that the uses in code are among `uses`: without them, a documented setting cannot be called unused.
    """
    rows: dict[str, Row] = {}
    for use in uses:
        rows.setdefault(use.name.upper(), Row(use.name)).uses.append(use)
    for setting in column.settings:
        rows.setdefault(setting.name.upper(), Row(setting.name)).settings.append(setting)
    listed = list(entries)
    # A list of secrets is one of GitHub's when a workflow uses one of them: other programs have secrets too.
    ours = {entry.section for entry in listed if entry.name in rows}
    for entry in listed:
        if entry.todo:
            if entry.name in rows:
                rows[entry.name].todo.append(entry.place)
        elif entry.name in rows or _counts_alone(entry, ours, code=code):
            rows.setdefault(entry.name, Row(entry.name)).entries.append(entry)
    for name, row in list(rows.items()):
        if not row.entries and all(use.aside for use in row.uses) and not any(_on_github(setting) for setting in row.settings):
            # Set by an image or a compose file, or named in a test: it needs no documentation.
            del rows[name]
    for row in rows.values():
        row.ignored = ignored.get(row.name.upper(), "")
        if not row.ignored:
            _judge(row, column)
    _hint(rows.values())
    return sorted(rows.values(), key=lambda row: row.rank)


def _counts_alone(entry: Entry, ours: Container[str], *, code: bool) -> bool:
    """Whether a name is an entry although nothing uses it: elsewhere a word in capitals may be anything."""
    if entry.subject is Subject.SECRETS:
        return entry.section in ours
    return entry.subject is Subject.GITHUB or (code and entry.subject is Subject.SETTINGS)


def _judge(row: Row, column: Column) -> None:
    if row.uses and not all(use.aside for use in row.uses):
        if not row.entries:
            if not row.defaulted:
                row.states.add(State.UNDOCUMENTED)
        else:
            settled = row.kinds == [Kind.SETTING]
            lacking = set.intersection(*(set() if entry.example and settled else set(entry.missing) for entry in row.entries))
            row.missing = tuple(part for part in Missing if part in lacking)
            if row.missing:
                row.states.add(State.INCOMPLETE)
    elif not row.uses and row.name not in SWITCHES and (_explained(row) or any(_owned(one) for one in row.settings)):
        row.states.add(State.UNUSED)
    for use in row.uses:
        if use.kind is not Kind.SETTING and not use.optional and not use.interface and not use.passes:
            _look_up(row, use, column)
    if row.unset:
        row.states.add(State.UNSET)


def _explained(row: Row) -> bool:
    return bool(row.entries) and may_be_a_setting(row.name)


def _on_github(setting: Setting) -> bool:
    return setting.kind is not Kind.SETTING


def _owned(setting: Setting) -> bool:
    """Whether the repository itself set it on GitHub: an organisation shares names with repositories that do not use them."""
    return _on_github(setting) and setting.level != ORGANISATION


def _look_up(row: Row, use: Use, column: Column) -> None:
    found = {setting.level for setting in row.settings if setting.kind is use.kind}
    if not use.levels:
        # Any environment may be meant: one that has it is enough.
        row.unknown = row.unknown or not found
        return
    for level in use.levels:
        asked = [level] if level == DEPENDABOT else [level, REPOSITORY, ORGANISATION]
        if found & set(asked):
            continue
        if not column.looked or any((use.kind, one) in column.unknown for one in asked):
            row.unknown = True
        elif level not in row.unset:
            row.unset.append(level)


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
        elif setting.level.startswith("environment ") and REPOSITORY in row.unset:
            hints.append(f"set in the {setting.level}, which the job does not name")
    return list(dict.fromkeys(hints))
