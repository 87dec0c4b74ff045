"""Runs the phase `finish`: records the verdict, and shows the deploy's state to people."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from cicd_actions.deployment_record.phase import Phase
from cicd_actions.engines.inputs import connected
from cicd_actions.engines.staying_up import Cause, End, Remembers, proven
from cicd_actions.github.history import History
from cicd_actions.github.release_record import ABANDONED, Record, Task, marked, time_of
from cicd_actions.github.statuses import set_status
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import ActionError, UnusableInput
from cicd_actions.toolkit.printable import shortened, visible
from cicd_actions.toolkit.report import Report
from cicd_actions.toolkit.verdict import Verdict

WATCH = 30.0
"""Seconds for which a doubtful release is watched at most: replicas that fail one after the other prove what one alone does
not. It is never more than half of `timeout`."""

POLL = 1.0

_TASKS = {"pass": Task.PASSED, "fail": Task.QUARANTINED, "staged": Task.DEPLOY, "abandoned": Task.DEPLOY}
"""The records that are written. That of a stage is not a verdict: it keeps the migrations for the run that promotes it. One
that was abandoned ends the deploy without a verdict."""

_STATES = {
    "pass": "success",
    "fail": "failure",
    "staged": "inactive",
    "abandoned": "inactive",
    "inconclusive": "error",
    "cancelled": "error",
}
_SAID = {
    "pass": "passed its gate",
    "fail": "failed, and is quarantined",
    "staged": "stands beside the release before it, and waits to be promoted",
    "abandoned": "was abandoned without a verdict, and what ran before has all of the traffic",
    "inconclusive": "could not be judged, so nothing is recorded of it",
    "cancelled": "was cancelled, so nothing is recorded of it",
}


def finish(phase: Phase) -> Report:
    """Raises `UnusableInput` for an empty verdict, and what `GitHub` raises when the record cannot be written."""
    verdict = _verdict(phase)
    sha, services = phase.sha(), phase.services()
    started = _started(phase, sha, services)
    reason = phase.inputs.reason
    stayed, told = _stayed_up(phase, services, started) if verdict == "pass" else ("pass", "")
    if stayed != "pass":
        verdict, reason = stayed, f"{told} {reason}".strip()
    phase = phase.renewed()
    deployment = phase.inputs.deployment_id or (started.id if started else 0)
    record = replace(
        phase.record(_TASKS.get(verdict, Task.DEPLOY), sha, services, reason=reason),
        verdict=verdict if verdict in {"pass", "fail"} else "",
        revisions=phase.inputs.revisions,
        schema=phase.inputs.database_revision,
        deployment=deployment,
        attestations=phase.inputs.attestations,
    )
    record = replace(record, kind=ABANDONED) if verdict == "abandoned" else record
    if started is not None and started.identity != record.identity:
        raise UnusableInput(
            f"Cannot finish the deploy of {sha[:12]}: `services` differs from what its `phase: start` recorded.",
            cause=f"`start` recorded {_listed(started.services)}; `finish` has {_listed(services)}.",
            fix="Give both phases the same release:\n\n    with:\n      services: |\n"
            + "\n".join(f"        {name}={image}" for name, image in started.services.items()),
        )
    number = phase.records.write(record) if verdict in _TASKS else 0
    headline = " ".join(part for part in (told, f"{sha[:12]} in {phase.environment} {_SAID[verdict]}.") if part)
    for shown in [each for each in (deployment, number if _TASKS.get(verdict) is Task.DEPLOY else 0) if each]:
        set_status(
            phase.records,
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
    elif started is None and verdict == "pass":
        phase.warn(
            "unproven-start",
            f"The deploy {deployment} was not found among the records that count, so `finish` compared no services with it, and"
            " did not check whether replicas ended.",
            "`deployment-record` with `phase: verify-record` shows which records count, and why others do not.",
        )
    error = phase.write_audit("finish", record, verdict)
    doubtful = stayed == "inconclusive" or (error is not None and phase.inputs.audit_required)
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
            "ended": told if stayed == "fail" else "",
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
        else f"It is one of {', '.join(_STATES)}.",
        fix="    with:\n      verdict: >-\n        ${{ steps.gate.outputs.verdict || (job.status == 'cancelled' && 'cancelled')"
        " || 'inconclusive' }}",
    )


def _stayed_up(phase: Phase, services: Mapping[str, str], started: Record | None) -> tuple[str, str]:
    """Returns `pass`, `fail` or `inconclusive`, and the sentence that says which service does not stay up.

    A proxy hides from a gate that replicas end. `pass` also where the engine cannot tell.
    """
    since = time_of(started.at) if started is not None else None
    if not phase.inputs.engine or since is None:
        return "pass", ""
    deadline = phase.runtime.deadline(phase.inputs.timeout)
    try:
        with connected(phase.inputs, phase.runtime) as engine:
            if not isinstance(engine, Remembers):
                return "pass", ""
            now = engine.running(list(services), deadline)
            here = [name for name, each in now.items() if (each.digest or each.image) == marked(services[name])]
            return _watched(phase, engine, here, since, deadline)
    except ActionError as error:
        phase.warn("ended", f"Could not determine whether replicas ended: {error.what}", error.fix)
        return "pass", ""


def _watched(phase: Phase, engine: Remembers, services: Sequence[str], since: float, deadline: Deadline) -> tuple[str, str]:
    """Watches a doubtful release: one end proves nothing against it, but it did not stay up either."""
    ends: dict[str, set[End]] = {service: set() for service in services}
    unhealthy, told = set(services), ""
    patience = phase.runtime.deadline(min(WATCH, phase.inputs.timeout / 2))
    while True:
        failing: dict[str, int] = {}
        for service in services:
            uptime = engine.uptime(service, deadline)
            failing[service] = uptime.failing
            ends[service] |= {end for end in uptime.ended if end.at >= since}
            if proven(ends[service]):
                return "fail", f"{service} does not stay up: {_told(ends[service])}"
        unhealthy &= {service for service in services if failing[service]}
        doubtful = [service for service in services if failing[service] or any(map(_telling, ends[service]))]
        if not doubtful or patience.expired:
            break
        if told != (told := f"Watching {', '.join(doubtful)}: a replica ended, or its health check fails."):
            phase.runtime.log(told)
        phase.runtime.sleep(patience.timeout(POLL))
    for service in services:
        if ends[service]:
            return "inconclusive", f"{service} did not stay up: {_told(ends[service])}"
        if failing[service]:
            told = f"{service} does not stay healthy: the health check of {failing[service]} of its replicas fails."
            return "fail" if service in unhealthy else "inconclusive", told
    return "pass", ""


def _telling(end: End) -> bool:
    return end.cause is not Cause.OUTSIDE


def _told(ends: Collection[End]) -> str:
    count = "1 of its replicas" if len(ends) == 1 else f"{len(ends)} of its replicas"
    last = max(ends, key=lambda end: (end.cause is Cause.MEMORY, end.at))
    return f"{count} ended since the deploy started ({shortened(visible(last.why), 100)})."


def _listed(services: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={image}" for name, image in services.items())


def _started(phase: Phase, sha: str, services: Mapping[str, str]) -> Record | None:
    """Returns the deploy that `deployment-id` names, else the newest that this run started of this commit, if any.

    A run may deploy several services, each by itself: one of exactly these services comes before others.
    """
    given = phase.inputs.deployment_id

    def ours(history: History) -> list[Record]:
        deploys = (each for each in history.records if each.task is Task.DEPLOY and each.kind == "release" and each.sha == sha)
        return [each for each in deploys if (each.id == given if given else each.run.id == phase.run.id)]

    def same(history: History) -> Record | None:
        return next((each for each in ours(history) if given or each.services.keys() == services.keys()), None)

    history = phase.records.history(
        phase.environment, lambda history: same(history) is not None, lambda history: bool(ours(history))
    )
    return same(history) or next(iter(ours(history)), None)
