"""The rules of the check: what each finding means for the verdict."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from enum import Enum

from cicd_actions.toolkit.findings import Finding, Severity
from cicd_actions.workflows.place import Place

NAME = "secrets-doc-check"


class State(str, Enum):
    """What can be wrong: the words of `fail-on`, worst first."""

    UNDOCUMENTED = "undocumented"
    BROKEN = "broken"
    UNSET = "unset"
    INCOMPLETE = "incomplete"
    UNUSED = "unused"

    def __str__(self) -> str:
        return self.value


BROKEN = frozenset(
    {
        "bad-name",
        "duplicate-key",
        "merge-key",
        "not-handed-over",
        "refused-file",
        "unavailable-context",
        "unknown-name",
        "unknown-secret",
    }
)
"""GitHub refuses the file or the call, or gives an empty value."""

UNREAD = frozenset({"broken-expression", "broken-file", "missing-file", "outside-link", "too-large", "unreadable-file"})
"""A part of the repository could not be read: nothing passes with one of these."""

STALE = "stale"

_WARNINGS = frozenset({"not-analysable", "not-read", "unknown-input", "unreadable-code"})
_NOTICES = frozenset({"dynamic-setting", "idle-ignore", "secret-input", "two-kinds"})


def state_of(rule: str) -> State | None:
    """Returns the word of `fail-on` that a rule belongs to; `None` for rules that never fail the check by themselves."""
    name = rule.removeprefix(f"{NAME}/")
    if name in BROKEN:
        return State.BROKEN
    return State(name) if name in {state.value for state in State} else None


def finding(rule: str, message: str, place: Place, fix: str = "", fingerprint: str = "") -> Finding:
    """Returns a finding of one of the rules, with the severity it has when `fail-on` names nothing."""
    known = BROKEN | UNREAD | _WARNINGS | _NOTICES | {STALE, *(state.value for state in State)}
    if rule not in known:
        raise AssertionError(f"no rule is called {rule}")
    if rule in UNREAD or rule == STALE:
        severity = Severity.ERROR
    elif rule in _NOTICES or rule == State.UNUSED.value:
        severity = Severity.NOTICE
    else:
        severity = Severity.WARNING
    text = message[:1].upper() + message[1:] + ("" if message.endswith(".") else ".")
    return Finding(
        f"{NAME}/{rule}", severity, text, place.file, place.line or None, place.column if place.line else None, fix, fingerprint
    )


def adopted(found: Finding) -> Finding:
    """Returns a finding of the shared reading of workflow files as one of this check."""
    return finding(found.rule, found.message, Place(found.file, found.line or 0))


def judged(found: Finding, failing: Collection[State]) -> Finding:
    """Returns the finding as an error where `fail-on` names its state."""
    return replace(found, severity=Severity.ERROR) if state_of(found.rule) in failing else found


def unread(found: Finding) -> bool:
    """Tells whether the finding says that something could not be read."""
    return found.rule.removeprefix(f"{NAME}/") in UNREAD
