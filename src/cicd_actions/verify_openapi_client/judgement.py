"""Decides what follows from what was found: the verdict and the findings."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field

from cicd_actions.toolkit.findings import Finding, Severity
from cicd_actions.toolkit.verdict import Verdict
from cicd_actions.verify_openapi_client import levels
from cicd_actions.verify_openapi_client.acknowledge import Acknowledgement
from cicd_actions.verify_openapi_client.breaking.change import Change
from cicd_actions.verify_openapi_client.breaking.rules import Effect
from cicd_actions.verify_openapi_client.diagnosis import Cause
from cicd_actions.verify_openapi_client.drift import Drift
from cicd_actions.verify_openapi_client.levels import Level
from cicd_actions.verify_openapi_client.overview import Overview

DRIFT = "client-drift"
NONDETERMINISTIC = "nondeterministic-generator"
SKIPPED = "comparison-skipped"
EXPIRED = "acknowledgement-expired"
UNUSED = "acknowledgement-unused"


@dataclass(frozen=True)
class Compared:
    """The comparison with the current API: the changes, or why there was none.

    `undecided` says that there should have been a result; `fix` is what to write to get one.
    """

    origin: str = ""
    skipped: str = ""
    fix: str = ""
    changes: tuple[Change, ...] = ()
    overview: Overview = field(default_factory=lambda: Overview((), ()))
    undecided: bool = False


@dataclass(frozen=True)
class Ruling:
    """What a change leads to. An accepted one has the `reason`, and perhaps its last day."""

    level: Level
    reason: str = ""
    until: str = ""

    @property
    def open(self) -> bool:
        return self.level is not Level.OFF and not self.reason


@dataclass(frozen=True)
class Judgement:
    """Everything that the report says. `lines` are the specification's lines by pointer, `spec_file` its path in git."""

    drift: Drift
    causes: Sequence[Cause]
    touched: Overview
    client: Sequence[str]
    fix_command: str
    fixed: Sequence[str]
    first_line: int
    compared: Compared
    acknowledged: Sequence[Acknowledgement]
    acknowledge_file: str
    today: dt.date
    fail_on: Sequence[str]
    rules: Sequence[levels.Setting]
    spec_file: str
    lines: dict[str, int]

    def ruling(self, change: Change) -> Ruling:
        """Returns what a change leads to: by `rules`, by the file of accepted changes, by its deprecation, by `fail-on`."""
        given = levels.explicit(self.rules, change)
        if given is Level.OFF:
            return Ruling(Level.OFF)
        level = given or (Level.ERROR if change.rule.effect.value in self.fail_on else Level.WARN)
        for one in self.acknowledged:
            if one.fingerprint == change.fingerprint and one.holds(self.today):
                return Ruling(level, one.reason, str(one.expires or ""))
        if given is not Level.ERROR and change.deprecated and _past(change.sunset, self.today):
            ended = f", with `x-sunset: {change.sunset}`" if change.sunset else ""
            return Ruling(level, f"The base had marked it as `deprecated`{ended}.")
        return Ruling(level)

    def open(self, effect: Effect) -> list[Change]:
        """Returns the changes of that effect that count: not turned off, and not accepted."""
        return [change for change in self.compared.changes if change.rule.effect is effect and self.ruling(change).open]

    def fails(self, change: Change) -> bool:
        """Returns whether a change fails the check by itself."""
        ruling = self.ruling(change)
        return ruling.open and ruling.level is Level.ERROR

    @property
    def drifted(self) -> bool:
        """Returns whether the client differs in a way that two generations agree on."""
        return bool(self.drift) and not self.drift.unstable

    @property
    def failing(self) -> list[str]:
        """Returns the classes of `fail-on` that were found, and those of a rule at the level `error`."""
        found = {
            "drift": self.drifted and "drift" in self.fail_on,
            "nondeterministic": bool(self.drift.unstable) and "nondeterministic" in self.fail_on,
            **{effect.value: any(map(self.fails, self.open(effect))) for effect in Effect},
        }
        return [name for name, there in found.items() if there]

    @property
    def compares(self) -> bool:
        """Returns whether the comparison can fail the check."""
        wanted = {effect.value for effect in Effect}
        return bool(wanted & set(self.fail_on)) or any(each.level is Level.ERROR for each in self.rules)

    @property
    def verdict(self) -> Verdict:
        """Returns the verdict. A client that comes out differently each time is neither up to date nor out of date."""
        if self.failing:
            return Verdict.FAIL
        untold = (self.drift.unstable and "drift" in self.fail_on) or (self.compared.undecided and self.compares)
        return Verdict.INCONCLUSIVE if untold else Verdict.PASS

    def severity(self, name: str) -> Severity:
        return Severity.ERROR if name in self.fail_on else Severity.WARNING

    def findings(self) -> list[Finding]:
        """Returns everything as findings, for annotations, JSON and SARIF."""
        return [*self._drift(), *self._changes(), *self._remarks()]

    def _drift(self) -> list[Finding]:
        if not self.drift:
            return []
        first = self.drift.files[0]
        if self.drift.unstable:
            name = self.drift.unstable[0]
            line = dict(self.drift.first_lines).get(name)
            return [
                Finding(
                    NONDETERMINISTIC,
                    Severity.ERROR if self.verdict is not Verdict.PASS else Severity.WARNING,
                    f"Two generations of the client differ ({len(self.drift.unstable)} files, first in line {line} of {name}),"
                    " so it is unknown whether the client in git is up to date.",
                    name,
                    line,
                    fix="Make the generator deterministic: remove dates and random names, and sort its files.",
                )
            ]
        what = f"The client in git differs from the one this backend generates: {files(self.drift)}."
        why = " ".join(cause.message for cause in self.causes)
        return [
            Finding(
                DRIFT,
                self.severity("drift"),
                f"{what} {why}".strip(),
                first.was or first.path,
                self.first_line,
                fix=self.causes[0].fix if self.causes and self.causes[0].certain else self.fix_command,
            )
        ]

    def _changes(self) -> list[Finding]:
        found: list[Finding] = []
        for change in self.compared.changes:
            rule, ruling = change.rule, self.ruling(change)
            if ruling.level is Level.OFF:
                continue
            counts = Severity.ERROR if ruling.level is Level.ERROR else Severity.WARNING
            severity = Severity.NOTICE if ruling.reason else counts
            note = f" Accepted: {ruling.reason}" if ruling.reason else ""
            in_file = bool(self.spec_file)
            found.append(
                Finding(
                    rule.id,
                    severity,
                    f"{subject(change)}{change.what} This breaks {rule.whom}: {rule.why}{note}",
                    self.spec_file if in_file else (self.client[0] if self.client else ""),
                    self.lines.get(change.pointer) if in_file and not change.in_base else None,
                    fix=rule.compatibly,
                    fingerprint=change.fingerprint,
                    pointer=change.pointer,
                )
            )
        return found

    def _remarks(self) -> list[Finding]:
        found: list[Finding] = []
        if self.compared.skipped:
            asked = Severity.ERROR if self.compared.undecided else Severity.WARNING
            message = f"Could not check for breaking changes: {self.compared.skipped}."
            found.append(Finding(SKIPPED, asked if self.compares else Severity.NOTICE, message, fix=self.compared.fix))
        now = {change.fingerprint for change in self.compared.changes}
        for one in self.acknowledged:
            place = {"file": self.acknowledge_file, "line": one.line}
            if one.fingerprint in now and not one.holds(self.today):
                message = f"The acknowledgement of {one.fingerprint} ended on {one.expires}."
                fix = "Make the change compatible, or write a later day with the reason for it."
                found.append(Finding(EXPIRED, Severity.WARNING, message, fix=fix, **place))  # type: ignore[arg-type]
            elif one.fingerprint not in now and not self.compared.skipped:
                message = f"The acknowledgement of {one.fingerprint} no longer matches a change."
                found.append(Finding(UNUSED, Severity.NOTICE, message, fix="Remove it.", **place))  # type: ignore[arg-type]
        return found


def _past(sunset: str, today: dt.date) -> bool:
    """Returns whether the day is over, or there is none; a text that is not a date is never over."""
    try:
        return not sunset or dt.date.fromisoformat(sunset[:10]) <= today
    except ValueError:
        return False


def subject(change: Change) -> str:
    """Returns the operations of a change, as the beginning of a sentence."""
    if not change.operations:
        return ""
    more = f" and {len(change.operations) - 1} more" if len(change.operations) > 1 else ""
    return f"{change.operations[0]}{more}: "


def files(drift: Drift) -> str:
    """Says what happened to which files, in a few words."""
    first = drift.files[0]
    more = f" and {len(drift.files) - 1} more" if len(drift.files) > 1 else ""
    was = f" (was {first.was})" if first.was else ""
    return f"{first.path}{was} {first.kind}{more}"
