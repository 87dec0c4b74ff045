"""The phase `start`: may this commit be deployed here, and what is there to go back to."""

from __future__ import annotations

from cicd_actions.deployment_record.desk import Desk
from cicd_actions.github.comparison import compare
from cicd_actions.github.history import History
from cicd_actions.github.release_record import Record, Task
from cicd_actions.toolkit.errors import ActionError, Failed, Inconclusive
from cicd_actions.toolkit.findings import Severity
from cicd_actions.toolkit.report import Code, Report, Table
from cicd_actions.toolkit.verdict import Verdict


def start(desk: Desk) -> Report:
    """Raises `Failed` for a commit that must not be deployed, `Inconclusive` where that cannot be told."""
    sha, services = desk.sha(), desk.services()
    history = desk.records.history(desk.environment, _has_last_good)
    current = history.last_good()
    if current is not None:
        _refuse_older(desk, current, sha)
    wanted = desk.record(Task.DEPLOY, sha, services)
    if desk.inputs.require_passed_in:
        _require_passed(desk, wanted)
    if current is None:
        desk.warn(
            "no-way-back",
            f"Nothing is recorded for {desk.records.app} in {desk.environment}: if this deploy fails, there is no release to"
            " go back to.",
            "If a release runs there already, record it first with `phase: adopt`.",
            Severity.NOTICE,
        )
    _close_orphans(desk, history)
    error = desk.write_audit("start", wanted, "")
    if error is not None and desk.inputs.audit_required:
        raise Inconclusive(
            f"{error.what} The deploy does not start, because `audit-required` is true.", cause=error.cause, fix=error.fix
        )
    deployment = desk.records.write(wanted)
    desk.records.status(
        deployment,
        "in_progress",
        f"Deploying {sha[:12]}",
        log_url=desk.run.url,
        environment_url=desk.inputs.environment_url,
    )
    before = f"last good is {current.sha[:12]}" if current else "no release is recorded before it"
    headline = f"The deploy of {sha[:12]} to {desk.environment} is in progress; {before}."
    known = current.services if current else {}
    rows = [(Code(name), Code(known.get(name, "")), Code(image)) for name, image in services.items()]
    return Report(
        Verdict.PASS,
        headline,
        {
            "verdict": Verdict.PASS,
            "deployment-id": str(deployment),
            "previous": dict(current.digests) if current else {},
            "previous-sha": current.sha if current else "",
            "reason": headline,
        },
        desk.findings,
        [Table(("service", "last good", "this release"), rows)],
    )


def _has_last_good(history: History) -> bool:
    return history.last_good() is not None


def _refuse_older(desk: Desk, current: Record, sha: str) -> None:
    if desk.inputs.allow_older:
        return
    newest = f"{current.sha[:12]}, the newest that passed its gate in {desk.environment}"
    found = compare(desk.github, current.sha, sha)
    if found.status == "behind":
        raise Failed(
            f"{sha[:12]} is {_commits(found.behind)} behind {newest}. Nothing was changed.",
            cause="A newer run overtook this one, or an old run was started again.",
            fix="To go back on purpose, use rollback-to-previous-sha; to deploy the older commit all the same:\n\n"
            "    with:\n      allow-older: true",
        )
    if found.status == "diverged":
        desk.warn(
            "diverged",
            f"{sha[:12]} and {newest}, have diverged: {_commits(found.behind)} that passed there are not in this release.",
            "Deploy from the branch that holds both, unless this is meant.",
        )
    if found.status == "unknown":
        desk.warn(
            "unknown-commit",
            f"The commit {newest}, is not in the repository any more, so whether {sha[:12]} is older cannot be told.",
            "The branch was rewritten, or the commit was on a branch that is deleted.",
        )


def _require_passed(desk: Desk, wanted: Record) -> None:
    """Exactly these images, of this commit, and the newest word on them there is a pass."""
    where = desk.inputs.require_passed_in
    found = desk.records.of_sha(where, wanted.sha)
    if any(record.identity == wanted.identity for record in found.good()):
        return
    same = found.of_sha(wanted.sha)
    if not same:
        cause = f"No record says that this commit was gated in {where}."
    elif any(record.identity == wanted.identity for record in same):
        cause = f"It failed its gate there: {same[0].reason or 'no reason is recorded'}"
    else:
        cause = (
            f"{where} gated other images of this commit: {_listed(same[0])}. A release is built once, and moves on as it is."
        )
    raise Failed(
        f"{wanted.sha[:12]} with exactly these images has not passed in {where}, so it does not go to {desk.environment}.",
        cause=cause,
        fix=f"Deploy it to {where} first; `services` has to name the same digests in both places.",
    )


def _listed(record: Record) -> str:
    return ", ".join(f"{name}={image}" for name, image in record.services.items())


def _close_orphans(desk: Desk, history: History) -> None:
    """Deploys whose run was lost would be shown as in progress for ever. Deploys of an environment wait for each other, so
    none of them can be running."""
    try:
        for orphan in desk.records.orphans(history):
            desk.records.status(orphan.id, "error", "Its run was lost before it could say how it ended", log_url=orphan.run.url)
            desk.warn(
                "orphan",
                f"The deploy of {orphan.sha[:12]} ({orphan.run.url or orphan.id}) never ended; it is closed now.",
                severity=Severity.NOTICE,
            )
    except ActionError as error:
        # What people see of an old run must not stop a new one.
        desk.warn("orphan", f"Deploys of lost runs could not be closed: {error.what}", error.fix)


def _commits(count: int) -> str:
    return "1 commit" if count == 1 else f"{count} commits"
