"""Runs the phases `lock`, `unlock` and `announce-rollback`, and refuses the deploys that these or a freeze forbid."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone

from cicd_actions.deployment_record.phase import Phase
from cicd_actions.github.client import segment
from cicd_actions.github.proof import RUNS, default_branch
from cicd_actions.github.release_record import Record, Task, lock_described, time_of, who, written
from cicd_actions.toolkit.errors import ActionError, Failed, Inconclusive, UnusableInput
from cicd_actions.toolkit.findings import Severity
from cicd_actions.toolkit.json_values import members
from cicd_actions.toolkit.report import Block, OutputValue, Paragraph, Report
from cicd_actions.toolkit.verdict import Verdict

_OVERRIDE = 2 * 3600.0
"""Seconds that a suggested override lasts."""


def lock(phase: Phase) -> Report:
    """Forbids deploys until a time or until `unlock`. The newest lock replaces those before it.

    Raises `UnusableInput` without a reason, and for an `until` that has passed.
    """
    if not phase.inputs.reason:
        raise UnusableInput(
            "Cannot lock without a reason: the input `reason` is empty.",
            fix='    with:\n      phase: lock\n      reason: "database maintenance, ask @alice"\n      until: 4h',
        )
    until = phase.inputs.until.moment
    if phase.inputs.until.seconds:
        until = written(math.ceil(time.time() + phase.inputs.until.seconds))  # in whole seconds, and never shorter than asked
    before = _standing(phase)
    record = replace(_record(phase, "lock"), until=until)
    if until and not record.locks(time.time()):
        raise UnusableInput(
            f"Cannot lock {phase.environment} until {until}: that time has passed.", fix="    with:\n      until: 4h"
        )
    headline = f"{phase.environment} is locked {_until(record)}."
    if before is not None:
        headline += f" This replaces the lock that {who(before)} set."
    return _write(phase, "lock", record, headline)


def unlock(phase: Phase) -> Report:
    """Allows deploys again. It succeeds, and writes nothing, where no lock stands."""
    before = _standing(phase)
    if before is None:
        headline = f"{phase.environment} was not locked. Nothing was changed."
        return Report(Verdict.PASS, headline, {"verdict": Verdict.PASS, "reason": headline}, phase.findings)
    headline = f"{phase.environment} is unlocked. {lock_described(before)}"
    run = Paragraph(["The lock was set by ", phase.link(before)])
    return _write(phase, "unlock", _record(phase, "unlock"), headline, [run])


def announce(phase: Phase) -> Report:
    """Ends the deploys that wait: those whose run began before now are refused. A rollback follows."""
    where = phase.environment
    headline = f"A rollback of {where} is announced: deploys whose run began before this end without changing anything."
    return _write(phase, "announce-rollback", _record(phase, "rollback"), headline)


def refuse(phase: Phase) -> None:
    """Raises `Failed` where a lock stands, or a rollback was announced after this run began."""
    _refuse_locked(phase)
    announced = phase.records.announced(phase.environment)
    if announced is None or not phase.run.id:
        return
    record, at = announced
    path = f"{phase.github.repo}/actions/runs/{segment(phase.run.id)}"
    run = phase.github.get(path, "read when this run began", needs=RUNS)
    began = time_of(members(run).get("run_started_at"))
    if began is None:
        raise Inconclusive("Could not determine when this run began: GitHub's answer has no `run_started_at`.")
    if began < at:
        raise Failed(
            f"Cannot deploy to {phase.environment}: a rollback was started after this run began. Nothing was changed.",
            cause=f"{who(record)} started it at {record.at}.",
            see=phase.page(record),
            fix="If this commit should be deployed after the rollback, run the failed jobs of this run again.",
        )


def _refuse_locked(phase: Phase) -> None:
    standing = _standing(phase)
    if standing is not None:
        raise Failed(
            f"Cannot deploy to {phase.environment}: it is locked {_until(standing)}. Nothing was changed.",
            cause=lock_described(standing),
            see=phase.page(standing),
            fix="A rollback passes through a lock. When the lock's reason is gone, unlock it:\n\n"
            f"    with:\n      phase: unlock\n      environment: {phase.environment}",
        )


def refuse_frozen(phase: Phase) -> str:
    """Raises `Failed` in a freeze window that nothing overrides. Returns why it was overridden; empty where none is open."""
    now = time.time()
    moment = datetime.fromtimestamp(now, timezone.utc)
    frozen = [(end, window) for window in phase.inputs.freeze if (end := window.open_until(moment)) is not None]
    if not frozen:
        return ""
    end, window = max(frozen, key=lambda each: each[0])
    until = f"{end.astimezone(window.zone):%Y-%m-%d %H:%M %Z}"
    override = phase.inputs.freeze_override
    if override is not None and now < override.until:
        why = phase.runtime.redactor(override.why)
        phase.warn("freeze", f"{phase.environment} is frozen until {until} ({window.why}). It was overridden: {why}")
        return f"Freeze overridden: {why}"
    raise Failed(
        f"Cannot deploy to {phase.environment}: it is frozen until {until}. Nothing was changed.",
        cause=f"{window.why} ({window.begin.text} to {window.end.text}, {window.zone.key})."
        + (f" The override ended at {written(override.until)}." if override is not None else ""),
        fix="A rollback passes through a freeze. To deploy anyway, say why, and until when:\n\n"
        f'    with:\n      freeze-override: "until {written(now + _OVERRIDE)}: a fix for the outage"',
    )


def _standing(phase: Phase) -> Record | None:
    found = phase.records.lock(phase.environment)
    return found if found is not None and found.locks(time.time()) else None


def _record(phase: Phase, kind: str) -> Record:
    sha = phase.runtime.variables.get("GITHUB_SHA") or phase.inputs.sha
    return replace(phase.record(Task.LOCK, phase.sha(sha), {}, reason=phase.inputs.reason), kind=kind)


def _until(record: Record) -> str:
    return f"until {record.until}" if record.until else "until it is unlocked"


def _warn_of_another_branch(phase: Phase, name: str) -> None:
    """Warns of a record that deploys of the default branch do not see: without a key, they count only its records."""
    here, default = phase.runtime.variables.get("GITHUB_REF_NAME", ""), default_branch(phase.runtime.variables)
    if not (phase.inputs.record_key or phase.inputs.records_refs) and default not in {"", here}:
        phase.warn(
            "unseen",
            f"Deploys of `{default}` will not see this {name}: this run is on `{here}`, and the record is not signed.",
            f"Run it on `{default}`, or sign the records, here and in the deploys:\n\n    with:\n      record-key: RECORD_KEY",
        )


def _write(phase: Phase, name: str, record: Record, headline: str, blocks: Sequence[Block] = ()) -> Report:
    _warn_of_another_branch(phase, name)
    number = phase.records.write(record)
    error: ActionError | None = phase.write_audit(name, record, "")
    verdict = Verdict.PASS
    if error is not None and phase.inputs.audit_required:
        verdict = Verdict.INCONCLUSIVE
        phase.warn("audit", error.what, error.fix, Severity.ERROR)
        headline += f" {error.what}"
    outputs: dict[str, OutputValue] = {"verdict": verdict, "record-id": str(number), "reason": headline}
    return Report(verdict, headline, outputs, phase.findings, [*blocks])
