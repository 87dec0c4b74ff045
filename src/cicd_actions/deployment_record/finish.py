"""The phase `finish`: the verdict is recorded, and the deploy's state is shown to people."""

from __future__ import annotations

from dataclasses import replace

from cicd_actions.deployment_record.desk import Desk
from cicd_actions.github.history import History
from cicd_actions.github.release_record import Task
from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.toolkit.report import Report
from cicd_actions.toolkit.verdict import Verdict

_TASKS = {"pass": Task.PASSED, "fail": Task.QUARANTINED}
_STATES = {"pass": "success", "fail": "failure", "inconclusive": "error", "cancelled": "error"}
_SAID = {
    "pass": "passed its gate",
    "fail": "failed, and is quarantined",
    "inconclusive": "could not be judged, so nothing is recorded of it",
    "cancelled": "was cancelled, so nothing is recorded of it",
}


def finish(desk: Desk) -> Report:
    """Raises `UnusableInput` for an empty verdict, and what `GitHub` raises when the record cannot be written."""
    verdict = _verdict(desk)
    sha, services = desk.sha(), desk.services()
    deployment = desk.inputs.deployment_id or _started(desk, sha)
    record = replace(
        desk.record(_TASKS.get(verdict, Task.DEPLOY), sha, services, reason=desk.inputs.reason),
        verdict=verdict if verdict in _TASKS else "",
        revisions=desk.inputs.revisions,
        schema=desk.inputs.database_revision,
        deployment=deployment,
    )
    number = desk.records.write(record) if verdict in _TASKS else 0
    headline = f"{sha[:12]} in {desk.environment} {_SAID[verdict]}."
    if deployment:
        desk.records.status(
            deployment,
            _STATES[verdict],
            desk.runtime.redactor(desk.inputs.reason) or headline,
            log_url=desk.run.url,
            environment_url=desk.inputs.environment_url,
        )
    else:
        desk.warn(
            "no-start", "This run has no deploy that was started, so none is shown as ended.", "Use `phase: start` first."
        )
    error = desk.write_audit("finish", record, verdict)
    outcome = Verdict.INCONCLUSIVE if error is not None and desk.inputs.audit_required else Verdict.PASS
    if error is not None and desk.inputs.audit_required:
        desk.warn("audit", error.what, error.fix)
        headline += f" {error.what}"
    return Report(
        outcome,
        headline,
        {
            "verdict": outcome,
            "deployment-id": str(deployment) if deployment else "",
            "record-id": str(number) if number else "",
            "reason": headline,
        },
        desk.findings,
    )


def _verdict(desk: Desk) -> str:
    verdict = desk.inputs.verdict
    if verdict in _STATES:
        return verdict
    raise UnusableInput(
        f"The input `verdict` is `{verdict[:80]}`." if verdict else "The input `verdict` is empty.",
        cause="The outputs of a step that was skipped are empty: then there is no verdict to record."
        if not verdict
        else "It is `pass`, `fail`, `inconclusive` or `cancelled`.",
        fix="    with:\n      verdict: >-\n        ${{ steps.gate.outputs.verdict || (job.status == 'cancelled' && 'cancelled')"
        " || 'inconclusive' }}",
    )


def _started(desk: Desk, sha: str) -> int:
    """The newest deploy that this run started of this commit; 0 when there is none."""

    def ours(history: History) -> int:
        for record in history.records:
            if record.task is Task.DEPLOY and (record.sha, record.run.id) == (sha, desk.run.id):
                return record.id
        return 0

    return ours(desk.records.history(desk.environment, lambda history: ours(history) > 0))
