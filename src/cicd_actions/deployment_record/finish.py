"""Runs the phase `finish`: records the verdict, and shows the deploy's state to people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from cicd_actions.deployment_record.phase import Phase
from cicd_actions.engines.inputs import connected
from cicd_actions.github.history import History
from cicd_actions.github.release_record import Record, Task, marked, time_of
from cicd_actions.toolkit.errors import ActionError, UnusableInput
from cicd_actions.toolkit.report import Report
from cicd_actions.toolkit.verdict import Verdict

_APART = 2.0
"""Seconds between two moments at which replicas ended. What ends them all at once is the engine, or the node."""

_TASKS = {"pass": Task.PASSED, "fail": Task.QUARANTINED, "staged": Task.DEPLOY}
"""The records that are written. That of a stage is not a verdict: it keeps the migrations for the run that promotes it."""

_STATES = {"pass": "success", "fail": "failure", "staged": "inactive", "inconclusive": "error", "cancelled": "error"}
_SAID = {
    "pass": "passed its gate",
    "fail": "failed, and is quarantined",
    "staged": "stands beside the release before it, and waits to be promoted",
    "inconclusive": "could not be judged, so nothing is recorded of it",
    "cancelled": "was cancelled, so nothing is recorded of it",
}


def finish(phase: Phase) -> Report:
    """Raises `UnusableInput` for an empty verdict, and what `GitHub` raises when the record cannot be written."""
    verdict = _verdict(phase)
    sha, services = phase.sha(), phase.services()
    started = _started(phase, sha)
    reason = phase.inputs.reason
    ends, told = _ended(phase, services, started) if verdict == "pass" else (0, "")
    if ends:
        # Once proves nothing against a release, but neither is it one that stayed up.
        verdict, reason = "fail" if ends > 1 else "inconclusive", f"{told} {reason}".strip()
    deployment = phase.inputs.deployment_id or (started.id if started else 0)
    record = replace(
        phase.record(_TASKS.get(verdict, Task.DEPLOY), sha, services, reason=reason),
        verdict=verdict if verdict in {"pass", "fail"} else "",
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
    headline = " ".join(part for part in (told, f"{sha[:12]} in {phase.environment} {_SAID[verdict]}.") if part)
    for shown in [each for each in (deployment, number if verdict == "staged" else 0) if each]:
        phase.records.status(
            shown,
            _STATES[verdict],
            phase.runtime.redactor(reason) or headline,
            log_url=phase.run.url,
            environment_url=phase.inputs.environment_url,
        )
    if not deployment:
        phase.warn(
            "no-start", "This run has no deploy that was started, so none is shown as ended.", "Use `phase: start` first."
        )
    error = phase.write_audit("finish", record, verdict)
    doubtful = ends == 1 or (error is not None and phase.inputs.audit_required)
    outcome = Verdict.INCONCLUSIVE if doubtful else Verdict.PASS
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
            "ended": told if ends > 1 else "",
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
        else "It is `pass`, `fail`, `staged`, `inconclusive` or `cancelled`.",
        fix="    with:\n      verdict: >-\n        ${{ steps.gate.outputs.verdict || (job.status == 'cancelled' && 'cancelled')"
        " || 'inconclusive' }}",
    )


def _ended(phase: Phase, services: Mapping[str, str], started: Record | None) -> tuple[int, str]:
    """Returns at how many moments replicas of the release ended by themselves since the deploy started, and the sentence.

    A proxy hides that from the gate. 0 also where the engine cannot tell.
    """
    since = time_of(started.at) if started is not None else None
    if not phase.inputs.engine or since is None:
        return 0, ""
    try:
        with connected(phase.inputs, phase.runtime) as engine:
            if engine.own_programs:
                return 0, ""
            now = engine.running(list(services), phase.runtime.deadline(phase.inputs.timeout))
    except ActionError as error:
        phase.warn("ended", f"Could not determine whether replicas ended: {error.what}", error.fix)
        return 0, ""
    for service, here in now.items():
        times = sorted(at for at in here.ended if at > since)
        if times and (here.digest or here.image) == marked(services[service]):
            count = "1 of its replicas" if len(times) == 1 else f"{len(times)} of its replicas"
            return moments(times), f"{service} does not stay up: {count} ended since the deploy started."
    return 0, ""


def moments(times: Sequence[float]) -> int:
    """Returns at how many moments something happened; what happened within two seconds of another is one with it."""
    return sum(before is None or at - before > _APART for before, at in zip([None, *times], times, strict=False))


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
