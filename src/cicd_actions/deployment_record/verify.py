"""Runs the phase `verify-record`: shows what proves each record, or why it does not count."""

from __future__ import annotations

from cicd_actions.deployment_record.phase import Phase
from cicd_actions.github.release_record import Record, Task
from cicd_actions.toolkit.errors import Failed
from cicd_actions.toolkit.findings import Severity
from cicd_actions.toolkit.report import Code, Report, Table
from cicd_actions.toolkit.verdict import Verdict

MOST = 20
"""Records that are shown, newest first."""


def verify(phase: Phase) -> Report:
    """Returns `pass` when the newest record that passed is proven, else `fail`; of `sha` alone where that is given.

    Raises `Failed` when there is no record.
    """
    wanted = phase.inputs.sha
    shown = phase.records.proofs_of(phase.environment, MOST, wanted)
    newest = next((each for each in shown if each[0].task is Task.PASSED), None)
    if newest is None:
        of = f" of {wanted[:12]}" if wanted else ""
        raise Failed(
            f"Could not verify a record: none{of} says that a release passed in {phase.environment}.",
            fix="Record what runs with `phase: adopt`.",
        )
    record, proof, counts = newest
    for each, why, fits in shown:
        if not fits:
            phase.warn("unproven", f"The record {each.id} of {each.sha[:12]} does not count: {why}.", severity=Severity.WARNING)
    verdict = Verdict.PASS if counts else Verdict.FAIL
    word = f"counts: {proof}" if counts else f"does not count: {proof}"
    headline = f"The record {record.id} of {record.sha[:12]} in {phase.environment} {word}."
    rows = [(str(each.id), _said(each), Code(each.sha[:12]), "yes" if fits else "no", why) for each, why, fits in shown]
    outputs = {"verdict": verdict, "record-id": str(record.id), "reason": headline}
    table = Table(("record", "", "commit", "counts", "proof"), rows)
    return Report(verdict, headline, {**outputs}, phase.findings, [table])


def _said(record: Record) -> str:
    word = "passed" if record.task is Task.PASSED else "quarantined"
    return word if record.kind == "release" else f"{word} ({record.kind})"
