"""Runs the phase `abandoned`: ends the deploy whose stage was abandoned by hand."""

from __future__ import annotations

from dataclasses import replace

from cicd_actions.deployment_record.phase import Phase
from cicd_actions.github.history import History
from cicd_actions.github.release_record import ABANDONED, Record
from cicd_actions.github.statuses import set_status
from cicd_actions.toolkit.report import Report
from cicd_actions.toolkit.verdict import Verdict


def abandoned(phase: Phase) -> Report:
    """Writes a record for the newest staged deploy without a verdict; nothing without one.

    Only its stage was moved, so nothing of it runs. A deploy that was lost while it moved services stays without a verdict.
    Raises what `GitHub` raises.
    """
    history = phase.records.history(phase.environment, lambda history: bool(history.outcomes) or _staged(history) is not None)
    found = _staged(history)
    if found is None:
        headline = f"No staged release waits in {phase.environment}."
        return Report(Verdict.PASS, headline, {"verdict": Verdict.PASS, "reason": headline}, phase.findings)
    record = replace(found, kind=ABANDONED, reason=phase.runtime.redactor(phase.inputs.reason), revisions=(), run=phase.run)
    number = phase.records.write(record)
    headline = (
        f"The stage of {found.sha[:12]} in {phase.environment} was abandoned, and what ran before has all of the traffic."
    )
    for shown in (found.deployment, found.id, number):
        set_status(phase.records, shown, "inactive", headline, log_url=phase.run.url)
    outputs = {"verdict": Verdict.PASS, "deployment-id": str(found.deployment), "record-id": str(number), "reason": headline}
    return Report(Verdict.PASS, headline, dict(outputs), phase.findings)


def _staged(history: History) -> Record | None:
    """Returns the newest deploy without a verdict, where it left a stage and moved nothing else.

    A verdict since then stands for what runs.
    """
    found = history.unjudged()
    judged = history.outcomes
    staged = found is not None and found.deployment and not (judged and judged[0].id > found.id)
    return found if staged else None
