"""Runs the phase `finish`: records the verdict, and shows the deploy's state to people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from cicd_actions.deployment_record.phase import Phase
from cicd_actions.github.history import History
from cicd_actions.github.release_record import Record, Task
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


def finish(phase: Phase) -> Report:
    """Raises `UnusableInput` for an empty verdict, and what `GitHub` raises when the record cannot be written."""
    verdict = _verdict(phase)
    sha, services = phase.sha(), phase.services()
    started = _started(phase, sha)
    deployment = phase.inputs.deployment_id or (started.id if started else 0)
    record = replace(
        phase.record(_TASKS.get(verdict, Task.DEPLOY), sha, services, reason=phase.inputs.reason),
        verdict=verdict if verdict in _TASKS else "",
        revisions=phase.inputs.revisions,
        schema=phase.inputs.database_revision,
        deployment=deployment,
        attestations=phase.inputs.attestations,
    )
    if started is not None and started.identity != record.identity:
        raise UnusableInput(
            f"Cannot finish the deploy of {sha[:12]}: `services` differs from what its `phase: start` recorded.",
            cause=f"`start` recorded {_listed(started.services)}; `finish` has {_listed(services)}.",
            fix="Give both phases the same release:\n\n    with:\n      services: |\n"
            + "\n".join(f"        {name}={image}" for name, image in started.services.items()),
        )
    number = phase.records.write(record) if verdict in _TASKS else 0
    headline = f"{sha[:12]} in {phase.environment} {_SAID[verdict]}."
    if deployment:
        phase.records.status(
            deployment,
            _STATES[verdict],
            phase.runtime.redactor(phase.inputs.reason) or headline,
            log_url=phase.run.url,
            environment_url=phase.inputs.environment_url,
        )
    else:
        phase.warn(
            "no-start", "This run has no deploy that was started, so none is shown as ended.", "Use `phase: start` first."
        )
    error = phase.write_audit("finish", record, verdict)
    outcome = Verdict.INCONCLUSIVE if error is not None and phase.inputs.audit_required else Verdict.PASS
    if error is not None and phase.inputs.audit_required:
        phase.warn("audit", error.what, error.fix)
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
        phase.findings,
    )


def _verdict(phase: Phase) -> str:
    verdict = phase.inputs.verdict
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


def _listed(services: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={image}" for name, image in services.items())


def _started(phase: Phase, sha: str) -> Record | None:
    """Returns the deploy that `deployment-id` names, else the newest that this run started of this commit, if any."""

    def ours(history: History) -> Record | None:
        for record in history.records:
            if record.task is Task.DEPLOY and record.kind == "release" and record.sha == sha:
                given = phase.inputs.deployment_id
                if record.id == given if given else record.run.id == phase.run.id:
                    return record
        return None

    return ours(phase.records.history(phase.environment, lambda history: ours(history) is not None))
