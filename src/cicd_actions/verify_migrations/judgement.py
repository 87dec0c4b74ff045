"""Decides what the evidence leads to: the level of each finding, and the verdict."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cicd_actions.toolkit.findings import Finding, Severity
from cicd_actions.toolkit.verdict import Verdict
from cicd_actions.verify_migrations.inputs import Level, Setting
from cicd_actions.verify_migrations.rules import RULES, Trouble
from cicd_actions.verify_migrations.verification import Evidence
from cicd_actions.verify_openapi_client.acknowledge import Acknowledgement

SMALL = 10_000
"""Rows of a table in production below which a lock is short: 10,000 rows are scanned in some 10 ms."""


@dataclass(frozen=True)
class Ruling:
    """A finding with its level, and why that is another than the rule's own."""

    trouble: Trouble
    severity: Severity
    fails: bool
    why: str = ""
    accepted: str = ""
    off: bool = False

    @property
    def fingerprint(self) -> str:
        """Stays the same while the finding stays, though lines move."""
        one = self.trouble
        return hashlib.sha256(f"{one.rule}\0{one.revision}\0{one.place}".encode("utf-8", "surrogatepass")).hexdigest()[:32]

    @property
    def finding(self) -> Finding:
        one, rule = self.trouble, RULES[self.trouble.rule]
        message = f"{one.sentence}. {rule.why}{f' {self.why}' if self.why else ''}"
        return Finding(
            f"verify-migrations/{one.rule}",
            self.severity,
            message,
            one.file,
            one.line or None,
            None,
            rule.told(one.tool),
            self.fingerprint,
        )


@dataclass(frozen=True)
class Judgement:
    """Everything that the report says."""

    evidence: Evidence
    rulings: Sequence[Ruling]
    origin: str

    @property
    def failing(self) -> list[Ruling]:
        return [each for each in self.rulings if each.fails]

    @property
    def verdict(self) -> Verdict:
        return Verdict.FAIL if self.failing else Verdict.PASS

    @property
    def contracts(self) -> list[str]:
        """The new revisions that the running release does not survive."""
        return [revision for revision, (phase, _) in self.evidence.phases.items() if phase == "contract"]

    @property
    def headline(self) -> str:
        """One sentence that sums the result up."""
        count = len(self.evidence.new)
        if not count and not self.failing:
            return "This change has no new migration."
        revisions = f"{count} new {'migration' if count == 1 else 'migrations'}"
        if self.failing:
            first = self.failing[0]
            more = f" ({len(self.failing) - 1} more)" if len(self.failing) > 1 else ""
            return f"{revisions}: {first.trouble.what}{more}."
        if self.contracts:
            return f"{revisions}: the running release does not survive {', '.join(self.contracts)}, which declares `contract`."
        traffic = ", and the traffic goes on" if self.evidence.traffic else ". What happens to the traffic was not judged"
        return f"{revisions}: the running release works with the new schema{traffic}."


def judge(
    evidence: Evidence,
    origin: str,
    *,
    fail_on: Sequence[str],
    settings: Sequence[Setting],
    acknowledged: Sequence[Acknowledgement],
    sizes: Mapping[str, int],
    today: dt.date,
) -> Judgement:
    """Returns what follows from the evidence."""
    declared = {each["revision"] for each in evidence.new if each.get("phase") == "contract"}
    rulings = [_ruling(each, declared, fail_on, settings, sizes) for each in evidence.troubles]
    by_fingerprint = {one.fingerprint: one for one in acknowledged}
    result, used = [], set[str]()
    for ruling in rulings:
        one = by_fingerprint.get(ruling.fingerprint)
        if one is not None:
            used.add(one.fingerprint)
        if one is not None and one.holds(today):
            result.append(Ruling(ruling.trouble, Severity.NOTICE, fails=False, accepted=one.reason))
            continue
        if one is not None:
            result.append(_own("acknowledgement-expired", f"{one.fingerprint} was accepted until {one.expires}"))
        if not ruling.off:
            result.append(ruling)
    result += [
        _own("acknowledgement-unused", f"{one.fingerprint} is accepted, and was not found")
        for one in acknowledged
        if one.fingerprint not in used
    ]
    return Judgement(evidence, sorted(result, key=lambda each: (not each.fails, each.severity.rank)), origin)


def _own(rule: str, what: str) -> Ruling:
    return Ruling(Trouble(rule, what), RULES[rule].severity, fails=False)


def _ruling(
    trouble: Trouble, declared: set[str], fail_on: Sequence[str], settings: Sequence[Setting], sizes: Mapping[str, int]
) -> Ruling:
    group, severity, why = RULES[trouble.rule].group, trouble.level, ""
    given = next((each.level for each in reversed(settings) if each.holds(trouble.rule, trouble.place)), None)
    if given is Level.OFF:
        return Ruling(trouble, severity, fails=False, off=True)
    if given is not None:
        severity = Severity.ERROR if given is Level.ERROR else Severity.WARNING
        return Ruling(trouble, severity, fails=given is Level.ERROR, why="The input `rules` sets its level.")
    table = trouble.place.partition("#")[0]
    if severity is Severity.ERROR and group == "locks" and sizes.get(table, SMALL) < SMALL:
        severity, why = Severity.WARNING, f"In production the table has {sizes[table]} rows."
    if severity is Severity.ERROR and group == "old-code" and trouble.revision in declared:
        severity, why = Severity.WARNING, "The revision declares `contract`: no release from before it can run after it."
    if severity is Severity.ERROR and group not in fail_on:
        severity, why = Severity.WARNING, f"`fail-on` does not have `{group}`."
    return Ruling(trouble, severity, fails=severity is Severity.ERROR, why=why)
