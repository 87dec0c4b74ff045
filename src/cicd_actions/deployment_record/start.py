"""Runs the phase `start`: may this commit be deployed here, and can it be rolled back?"""

from __future__ import annotations

from dataclasses import dataclass, replace

from cicd_actions.deployment_record.locks import refuse, refuse_frozen
from cicd_actions.deployment_record.phase import Phase
from cicd_actions.engines.inputs import connected, release_variables
from cicd_actions.engines.protocol import EngineUnreachable, ImageMissing, LoginNeeded, Running
from cicd_actions.github.commits import compare
from cicd_actions.github.history import History, Release
from cicd_actions.github.release_record import Record, Task, digest_of
from cicd_actions.github.statuses import orphans, set_status
from cicd_actions.rollback_to_previous_sha import checks
from cicd_actions.rollback_to_previous_sha.plan import Facts, Left, Plan, target
from cicd_actions.rollback_to_previous_sha.schema_guard import SchemaRefused
from cicd_actions.toolkit.errors import ActionError, Failed, Inconclusive, UnusableInput
from cicd_actions.toolkit.findings import Severity
from cicd_actions.toolkit.report import Block, Code, CodeBlock, Details, Heading, Paragraph, Report, Strong, Table
from cicd_actions.toolkit.verdict import Verdict


@dataclass(frozen=True)
class Rollback:
    """Whether this release could be rolled back: `possible`, `impossible`, `unknown`, `none` (nothing is recorded), or
    `unchecked` (no engine is named)."""

    answer: str
    plan: Plan | None = None
    why: ActionError | None = None

    def blocks(self) -> list[Block]:
        """Returns the answer for people."""
        found: list[Block] = [Heading("The rollback")]
        if self.why is not None:
            found.append(Paragraph([Strong(f"{self.answer.capitalize()}: "), self.why.what]))
            found += [Paragraph(text) for text in (self.why.cause,) if text]
            found += [CodeBlock(text) for text in (self.why.fix,) if text]
        elif self.plan is not None:
            found.append(
                Paragraph([Strong("Possible: "), "to ", Code(self.plan.to.sha[:12]), ", if this release fails its gate."])
            )
        if self.plan is not None:
            found.append(Details("What the rollback would do", self.plan.blocks()))
        return found


def start(phase: Phase) -> Report:
    """Raises `Failed` for a commit that must not be deployed, `Inconclusive` where that is not known."""
    sha, services = phase.sha(), phase.services()
    wanted = phase.record(Task.DEPLOY, sha, services)
    history = phase.records.history(phase.environment, lambda history: _last_good(history, wanted) is not None)
    refuse(phase)
    wanted = replace(wanted, reason=refuse_frozen(phase))
    current = _last_good(history, wanted)
    _refuse_older(phase, history, current, wanted)
    if phase.inputs.require_passed_in:
        _require_passed(phase, wanted)
    _warn_of_another_commit(phase, sha)
    _refuse_missing(phase, wanted)
    rollback = _rollback(phase, wanted, current)
    phase = phase.renewed()
    _tell(phase, history, rollback)
    _close_orphans(phase, history)
    error = phase.write_audit("start", wanted, "")
    if error is not None and phase.inputs.audit_required:
        raise Inconclusive(
            f"{error.what} The deploy does not start, because `audit-required` is true.", cause=error.cause, fix=error.fix
        )
    deployment = phase.records.write(wanted)
    set_status(
        phase.records,
        deployment,
        "in_progress",
        f"Deploying {sha[:12]}",
        log_url=phase.run.url,
        environment_url=phase.inputs.environment_url,
    )
    before = f"the last good release is {current.sha[:12]}" if current else "no release is recorded before it"
    headline = f"The deploy of {sha[:12]} to {phase.environment} is in progress; {before}."
    known = current.services if current else {}
    rows = [(Code(name), Code(known.get(name, "")), Code(image)) for name, image in services.items()]
    return Report(
        Verdict.PASS,
        headline,
        {
            "verdict": Verdict.PASS,
            "deployment-id": str(deployment),
            "previous": {name: digest_of(image) for name, image in known.items()},
            "previous-sha": current.sha if current else "",
            "rollback": rollback.answer,
            "reason": headline,
        },
        phase.findings,
        [Table(("service", "last good", "this release"), rows), *rollback.blocks()],
    )


def _last_good(history: History, wanted: Record) -> Release | None:
    return next(iter(history.good(list(wanted.services))), None)


def _refuse_older(phase: Phase, history: History, current: Release | None, wanted: Record) -> None:
    """Raises `Failed` when the commit is behind the last good one, or behind a newer deploy that was never judged."""
    if phase.inputs.allow_older:
        return
    where, sha = phase.environment, wanted.sha
    if current is not None:
        newest = f"{current.sha[:12]}, the newest that passed its gate in {where}"
        _compare(phase, current.sha, sha, newest, "A newer run overtook this one, or an old run was started again.")
    unjudged = history.unjudged(wanted.services)
    if unjudged is not None and unjudged.sha != sha and (current is None or unjudged.id > current.record.id):
        newest = f"{unjudged.sha[:12]}, whose deploy to {where} has no verdict"
        cause = "It was inconclusive, cancelled or lost, and may run."
        _compare(phase, unjudged.sha, sha, newest, cause, phase.page(unjudged))


def _warn_of_another_commit(phase: Phase, sha: str) -> None:
    """Warns of a deploy whose record will not count: without a key, the run has to be of the same commit."""
    run = phase.runtime.variables.get("GITHUB_SHA", "")
    if not phase.inputs.record_key and run and run != sha:
        phase.warn(
            "unprovable",
            f"The record of {sha[:12]} will not count: this run is of {run[:12]}, and the record is not signed.",
            "Sign the records:\n\n    with:\n      record-key: RECORD_KEY",
        )


def _compare(phase: Phase, base: str, sha: str, newest: str, cause: str, see: str = "") -> None:
    found = compare(phase.github, base, sha)
    if found.status == "behind":
        raise Failed(
            f"Cannot deploy {sha[:12]}: it is {_commits(found.behind)} behind {newest}. Nothing was changed.",
            cause=cause,
            see=see,
            fix="To roll back on purpose, use rollback-to-previous-sha. To deploy the older commit anyway:\n\n"
            "    with:\n      allow-older: true",
        )
    if found.status == "diverged":
        phase.warn(
            "diverged",
            f"{sha[:12]} and {newest}, have diverged: {_commits(found.behind)} of that one are not in this release.",
            "Deploy from the branch that has both, unless you mean to leave them out.",
        )
    if found.status == "unknown":
        phase.warn(
            "unknown-commit",
            f"Could not determine whether {sha[:12]} is older: the commit {newest}, is no longer in the repository.",
            "The branch was rewritten, or the commit was on a branch that is deleted.",
        )


def _require_passed(phase: Phase, wanted: Record) -> None:
    """Raises `Failed` unless exactly these images of this commit passed there, and did not fail later."""
    where = phase.inputs.require_passed_in
    found = phase.records.of_sha(where, wanted.sha)
    names = list(wanted.services)
    if any(release.identity == wanted.identity for release in found.good(names)):
        return
    same = found.of_sha(wanted.sha)
    if not same:
        cause = f"No record says that this commit passed its gate in {where}."
        if found.passed_over:
            cause += f" These do not count: {'; '.join(found.passed_over[:3])}."
    elif any(record.identity == wanted.identity for record in same):
        cause = f"It failed its gate there: {same[0].reason or 'no reason is recorded'}"
    else:
        cause = (
            f"{where} gated other images of this commit: {_listed(same[0])}. A release is built once and moves on unchanged."
        )
    raise Failed(
        f"Cannot deploy {wanted.sha[:12]} to {phase.environment}: exactly these images have not passed in {where}.",
        cause=cause,
        fix=f"Deploy it to {where} first. `services` has to name the same digests in both environments.",
    )


def _listed(record: Record) -> str:
    return ", ".join(f"{name}={image}" for name, image in record.services.items())


def _refuse_missing(phase: Phase, wanted: Record) -> None:
    """Raises `ImageMissing` where the user's own program says that an image of the release does not exist."""
    if phase.inputs.engine != "command" or phase.inputs.image_command is None:
        return
    with connected(phase.inputs, phase.runtime) as engine:
        for image in wanted.services.values():
            if digest_of(image) == image:
                continue  # without its repository, no program can find it
            try:
                engine.resolve(image, phase.runtime.deadline(phase.inputs.timeout))
            except EngineUnreachable as error:
                phase.warn("image", error.what, error.fix)


def _rollback(phase: Phase, wanted: Record, current: Release | None) -> Rollback:
    """Plans the rollback of this release before it is deployed."""
    inputs = phase.inputs
    if current is None:
        return Rollback("none")
    if not inputs.engine:
        return Rollback("unchecked")
    left = Left(wanted.sha, wanted.identity)
    plan: Plan | None = None
    try:
        with connected(inputs, phase.runtime) as engine:
            checks.refuse_engine(engine, inputs.roll_out_command)
            deadline = phase.runtime.deadline(inputs.timeout)
            running = checks.what_runs(engine, inputs.services, deadline)
            facts = _facts(phase, wanted, running)
            if current.identity == wanted.identity and not _others(facts, left):
                return Rollback("none")
            service = inputs.schema_service
            following = Running(service, wanted.services[service], sha=wanted.sha) if service in wanted.services else None
            means = checks.Means(engine, phase.records, deadline, phase.runtime, release_variables(inputs, phase.runtime))
            try:
                to = target(facts, left, "")
                plan = checks.plan(inputs, inputs.services, means, facts, left, to, next_release=following)
                checks.refuse(inputs, plan)
            except Failed as error:
                # The fix of these is for a rollback that is under way.
                error.fix = _REPAIRED.get(type(error), error.fix)
                raise
            # What runs already has to be replaced too, once the next release runs.
            checks.examine(engine, plan.moves, deadline)
    except ActionError as error:
        answer = "unknown" if isinstance(error, Inconclusive) else "impossible"
        return Rollback(answer, plan, error)
    return Rollback("possible", plan)


_REPAIRED: dict[type[Failed], str] = {
    Failed: "",
    ImageMissing: "Push the image again, and keep the images of the last releases.",
    SchemaRefused: "Ship the contract migration in a later release than the code that no longer needs what it removes.",
}
"""What makes a rollback possible, by what forbids it."""


def _facts(phase: Phase, wanted: Record, running: dict[str, Running]) -> Facts:
    """Returns the records back to the release that this one would be rolled back to."""
    left = Left(wanted.sha, wanted.identity)

    def enough(history: History) -> bool:
        good = _others(Facts(phase.environment, running, history), left)
        return bool(good) and len(good[0].sources) == len(running)

    def usable(history: History) -> bool:
        return bool(_others(Facts(phase.environment, running, history), left))

    return Facts(phase.environment, running, phase.records.history(phase.environment, enough, usable))


def _others(facts: Facts, left: Left) -> list[Release]:
    return [each for each in facts.history.good(facts.services) if not left.is_of(each)]


def _tell(phase: Phase, history: History, rollback: Rollback) -> None:
    """Warns of a release that could not be rolled back. Raises where `require-rollback` refuses it."""
    required = phase.inputs.require_rollback
    refused = "Cannot deploy: this release could not be rolled back"
    if rollback.answer == "none":
        fix = "If a release runs there already, record it first with `phase: adopt`."
        if history.apps:
            others = ", ".join(sorted(history.apps)[:5])
            what = f"{phase.records.name} has no record in {phase.environment}, but the app {others} has."
            fix = f"    with:\n      app: {min(history.apps)}"
        elif history.passed_over:
            what = (
                f"No record in {phase.environment} proves that its writer may write it: {'; '.join(history.passed_over[:3])}."
            )
            fix = "`deployment-record` with `phase: verify-record` shows why."
        elif history.good():
            what, fix = f"No other release is recorded for {phase.records.name} in {phase.environment}.", ""
        else:
            what = f"Nothing is recorded for {phase.records.name} in {phase.environment}."
        if required == "true" or (required == "recorded" and history.passed_over):
            if not history.passed_over and not history.apps:
                fix += "\nTo let a first deploy through:\n\n    with:\n      require-rollback: recorded"
            raise Failed(f"{refused}. {what}", fix=fix.strip("\n"))
        phase.warn("no-rollback", f"{what} If this deploy fails, there is no release to roll back to.", fix, Severity.NOTICE)
    elif rollback.answer == "unchecked" and required != "false":
        raise UnusableInput(
            "Cannot tell whether this release could be rolled back: `require-rollback` is set, and `engine` is not.",
            fix="Give `start` the inputs of your roll-out:\n\n    with:\n      engine: swarm\n      stack: shop",
        )
    elif rollback.plan is not None and rollback.plan.local:
        phase.warn(
            "local-image",
            f"The release to roll back to is on this engine only: the registry no longer has {', '.join(rollback.plan.local)}.",
            _REPAIRED[ImageMissing],
        )
    elif rollback.why is not None:
        if required != "false":
            kinds = (kind for kind in (Inconclusive, UnusableInput) if isinstance(rollback.why, kind))
            kind: type[ActionError] = next(kinds, Failed)
            anyway = "To deploy anyway:\n\n    with:\n      require-rollback: false"
            if isinstance(rollback.why, LoginNeeded):
                anyway = ""  # the deploy itself needs the login
            raise kind(
                f"{refused}. {rollback.why.what}",
                cause=rollback.why.cause,
                fix="\n".join(part for part in (rollback.why.fix, anyway) if part),
            )
        phase.warn("no-rollback", f"This release could not be rolled back: {rollback.why.what}", rollback.why.fix)


def _close_orphans(phase: Phase, history: History) -> None:
    """Closes deploys whose run was lost, which would be shown as in progress forever.

    Deploys of an environment wait for each other, so none of another run can be running.
    """
    here = (phase.run.id, phase.run.attempt)
    try:
        for orphan in orphans(phase.records, history):
            if here[0] and here == (orphan.run.id, orphan.run.attempt):
                continue  # another service, which another job of this run deploys
            set_status(
                phase.records, orphan.id, "error", "Its run was lost before it could say how it ended", log_url=orphan.run.url
            )
            phase.warn(
                "orphan",
                f"The deploy of {orphan.sha[:12]} ({orphan.run.url or orphan.id}) never ended. It is closed now.",
                severity=Severity.NOTICE,
            )
    except ActionError as error:
        # What people see of an old run must not stop a new one.
        phase.warn("orphan", f"Could not close deploys of lost runs: {error.what}", error.fix)


def _commits(count: int) -> str:
    return "1 commit" if count == 1 else f"{count} commits"
