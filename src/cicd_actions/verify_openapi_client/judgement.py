"""What was found, and what follows from it: the verdict and the findings."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field

from cicd_actions.toolkit.findings import Finding, Severity
from cicd_actions.toolkit.verdict import Verdict
from cicd_actions.verify_openapi_client.acknowledge import Acknowledgement
from cicd_actions.verify_openapi_client.breaking.change import Change
from cicd_actions.verify_openapi_client.breaking.rules import Effect
from cicd_actions.verify_openapi_client.diagnosis import Cause
from cicd_actions.verify_openapi_client.drift import Drift
from cicd_actions.verify_openapi_client.overview import Overview

DRIFT = "client-drift"
NONDETERMINISTIC = "nondeterministic-generator"
SKIPPED = "comparison-skipped"
EXPIRED = "acknowledgement-expired"
UNUSED = "acknowledgement-unused"


@dataclass(frozen=True)
class Compared:
    """The comparison with what callers have: the changes, or why there was none.

    `unfinished` says that it began and came to no end.
    """

    origin: str = ""
    skipped: str = ""
    changes: tuple[Change, ...] = ()
    overview: Overview = field(default_factory=lambda: Overview((), ()))
    unfinished: bool = False


@dataclass(frozen=True)
class Judgement:
    """Everything that the report says. `lines` are the specification's lines by pointer, `spec_file` its path in git."""

    drift: Drift
    causes: Sequence[Cause]
    touched: Overview
    client: Sequence[str]
    mend: str
    fixed: Sequence[str]
    first_line: int
    compared: Compared
    acknowledged: Sequence[Acknowledgement]
    acknowledge_file: str
    today: dt.date
    fail_on: Sequence[str]
    spec_file: str
    lines: dict[str, int]

    def accepted(self, change: Change) -> Acknowledgement | None:
        """The acknowledgement that holds for a change today."""
        for one in self.acknowledged:
            if one.fingerprint == change.fingerprint and one.holds(self.today):
                return one
        return None

    def open(self, effect: Effect) -> list[Change]:
        """The changes of that effect that nobody has accepted."""
        return [change for change in self.compared.changes if change.rule.effect is effect and self.accepted(change) is None]

    @property
    def drifted(self) -> bool:
        """Whether the client differs in a way that two generations agree on."""
        return bool(self.drift) and not self.drift.unstable

    @property
    def failing(self) -> list[str]:
        """The classes of `fail-on` that were found."""
        found = {
            "drift": self.drifted,
            "nondeterministic": bool(self.drift.unstable),
            "breaking": bool(self.open(Effect.BREAKING)),
            "generated-symbol": bool(self.open(Effect.GENERATED_SYMBOL)),
        }
        return [name for name, there in found.items() if there and name in self.fail_on]

    @property
    def verdict(self) -> Verdict:
        """A client that comes out differently each time can be neither up to date nor out of date."""
        if self.failing:
            return Verdict.FAIL
        untold = (self.drift.unstable and "drift" in self.fail_on) or (
            self.compared.unfinished and {"breaking", "generated-symbol"} & set(self.fail_on)
        )
        return Verdict.INCONCLUSIVE if untold else Verdict.PASS

    def severity(self, name: str) -> Severity:
        return Severity.ERROR if name in self.fail_on else Severity.WARNING

    def findings(self) -> list[Finding]:
        """Everything as findings, for annotations, JSON and SARIF."""
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
                    " so whether the client in git is up to date cannot be told.",
                    name,
                    line,
                    fix="Take out of the generator what differs each time: a date, a random name, an order of files.",
                    fingerprint="",
                )
            ]
        what = f"The client in git is not the one this backend generates: {files(self.drift)}."
        why = " ".join(cause.message for cause in self.causes)
        return [
            Finding(
                DRIFT,
                self.severity("drift"),
                f"{what} {why}".strip(),
                first.was or first.path,
                self.first_line,
                fix=self.causes[0].fix if self.causes and self.causes[0].certain else self.mend,
            )
        ]

    def _changes(self) -> list[Finding]:
        found: list[Finding] = []
        for change in self.compared.changes:
            rule, accepted = change.rule, self.accepted(change)
            severity = Severity.NOTICE if accepted else self.severity(rule.effect.value)
            note = f" Accepted: {accepted.reason}" if accepted else ""
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
            wanted = {"breaking", "generated-symbol"} & set(self.fail_on)
            severity = Severity.WARNING if wanted else Severity.NOTICE
            message = f"What the change breaks was not looked at: {self.compared.skipped}."
            found.append(Finding(SKIPPED, severity, message))
        now = {change.fingerprint for change in self.compared.changes}
        for one in self.acknowledged:
            place = {"file": self.acknowledge_file, "line": one.line}
            if one.fingerprint in now and not one.holds(self.today):
                message = f"The acknowledgement of {one.fingerprint} ended on {one.expires}."
                fix = "Make the change compatible, or write a later day with the reason for it."
                found.append(Finding(EXPIRED, Severity.WARNING, message, fix=fix, **place))  # type: ignore[arg-type]
            elif one.fingerprint not in now and not self.compared.skipped:
                message = f"The acknowledgement of {one.fingerprint} is of no change any more."
                found.append(Finding(UNUSED, Severity.NOTICE, message, fix="Remove it.", **place))  # type: ignore[arg-type]
        return found


def subject(change: Change) -> str:
    """The operations of a change, as the beginning of a sentence."""
    if not change.operations:
        return ""
    more = f" and {len(change.operations) - 1} more" if len(change.operations) > 1 else ""
    return f"{change.operations[0]}{more}: "


def files(drift: Drift) -> str:
    """What happened to which files, in a few words."""
    first = drift.files[0]
    more = f" and {len(drift.files) - 1} more" if len(drift.files) > 1 else ""
    was = f" (was {first.was})" if first.was else ""
    return f"{first.path}{was} {first.kind}{more}"
