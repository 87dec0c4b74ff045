"""Moves all services of a release, or none: the order, the revert after a failure, and what a cancelled run hands over."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from cicd_actions.engines.protocol import (
    ChangedMeanwhile,
    Engine,
    EngineUnreachable,
    ImageMissing,
    NothingRuns,
    Refused,
    RolledOut,
    RollOutFailed,
    Running,
    ServiceMissing,
    Target,
)
from cicd_actions.engines.reference import is_digest
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import ActionError, Inconclusive, UnusableInput
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.toolkit.verdict import Verdict

BEFORE_ANYTHING = (UnusableInput, ImageMissing, ServiceMissing, Refused)
"""The errors that an engine raises before it changes a service."""

POLL = 0.5
"""Seconds between two looks at an update that somebody else started."""


@dataclass
class Progress:
    """The state of a roll-out, kept up to date so that a cancelled run can report it.

    - `before`: what ran when the roll-out began.
    - `touched`: the services whose change was begun, in order.
    - `arrived`: those that run their target. `unchanged`: those that ran it already.
    - `returned`: after a failure, the services that were rolled back.
    - `stranded`: those that were not, each with the reason.
    - `left`: those that something else changed in the meantime, each with what it was; they were left alone.
    - `handed_over`: those that the engine is taking back without being waited for.
    - `by_programs`: whether the user's own programs roll out, so that their word is all that is known.
    """

    before: Mapping[str, Running]
    targets: Sequence[Target]
    touched: list[str] = field(default_factory=list)
    arrived: dict[str, RolledOut] = field(default_factory=dict)
    unchanged: list[str] = field(default_factory=list)
    failure: ActionError | None = None
    returned: list[str] = field(default_factory=list)
    stranded: dict[str, str] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)
    handed_over: list[str] = field(default_factory=list)
    by_programs: bool = False

    @property
    def verdict(self) -> Verdict:
        """The failure's verdict, but inconclusive where something was refused, which proves nothing against the release.

        Also once something else changed a service: a rollback would undo that.
        """
        if self.left or isinstance(self.failure, (Refused, ServiceMissing)):
            return Verdict.INCONCLUSIVE
        return self.failure.verdict if self.failure else Verdict.PASS

    @property
    def empty(self) -> list[str]:
        """The services of the release that run no replica, so that nothing proves their image."""
        found = {name for name in self.unchanged if self.before[name].empty}
        found |= {name for name, arrived in self.arrived.items() if arrived.replicas == 0}
        return [target.service for target in self.targets if target.service in found]

    def state(self, service: str) -> str:
        """Returns the state of one service in a few words for a table."""
        states = (
            (self.left, "changed by something else, left"),
            (self.stranded, "not rolled back"),
            (self.returned, "rolled back"),
            (self.handed_over, "rolling back, not waited for"),
            (self.arrived, "arrived"),
            (self.unchanged, "ran already"),
            (self.touched, "not known"),
        )
        return next((words for services, words in states if service in services), "untouched")


def settled(engine: Engine, services: Sequence[str], deadline: Deadline, runtime: Runtime) -> dict[str, Running]:
    """Returns what runs, once no earlier update is under way. Raises `ServiceMissing`, and `Failed` at the deadline."""
    told = False
    while True:
        now = dict(engine.running(services, deadline))
        missing = [service for service in services if service not in now]
        if missing and engine.own_programs:
            # The user's programs may create a missing service: a first deployment, with nothing to roll back to.
            now |= {service: Running(service) for service in missing}
        elif missing:
            raise ServiceMissing(
                f"Could not find the service {', '.join(missing)} on this {engine.name} engine.",
                cause="A roll-out changes the image of services that exist. It does not know their ports and networks.",
                fix="Create it once (`docker stack deploy`, `docker compose up`, `kubectl apply`), or correct its name."
                " On Swarm, its full name begins with the input `stack`.",
            )
        moving = [service for service in services if not now[service].settled]
        if not moving:
            return now
        if not told:
            runtime.log(f"Waiting for an earlier update of {', '.join(moving)} to finish.")
            told = True
        deadline.check(f"waiting for an earlier update of {', '.join(moving)}")
        runtime.sleep(deadline.timeout(POLL))


def examine(engine: Engine, progress: Progress, deadline: Deadline, *, allow_empty: bool) -> None:
    """Refuses a release that the engine cannot roll out whole, or that nothing would prove. Changes nothing.

    Raises `Refused`, `NothingRuns` unless `allow_empty`, and what the engine raises.
    """
    for target in progress.targets:
        if not runs_already(target, progress.before[target.service]):
            engine.examine(target, progress.before[target.service], deadline)
    empty = [target.service for target in progress.targets if progress.before[target.service].empty]
    if empty and not allow_empty:
        raise _nothing_runs(empty, "Nothing was changed.")


def _nothing_runs(services: Sequence[str], consequence: str) -> NothingRuns:
    return NothingRuns(
        f"Could not prove the release: {', '.join(services)} runs no replica. {consequence}",
        cause="The service is scaled to 0, or no node matches its placement, so no container starts from the new image.",
        fix="Scale the service up. If it is meant to run nothing here:\n\n    with:\n      allow-empty: true",
    )


def roll_out(
    engine: Engine,
    progress: Progress,
    deadline: Deadline,
    revert_deadline: Callable[[], Deadline],
    runtime: Runtime,
    *,
    allow_empty: bool = False,
) -> None:
    """Moves the targets in their order; if one fails, reverts those that moved, the last one first.

    `progress` holds the outcome, whatever ends the call. `revert_deadline` makes the revert's deadline when the revert begins.
    `Cancelled` passes through after every touched service was handed back to the engine.
    """
    try:
        for target in progress.targets:
            if runs_already(target, progress.before[target.service]):
                runtime.log(f"{target.service}: runs {target.image.pinned} already.")
                progress.unchanged.append(target.service)
                continue
            runtime.log(f"{target.service}: rolling out {target.image.pinned}.")
            progress.touched.append(target.service)
            arrived = engine.roll_out(target, progress.before[target.service], deadline)
            progress.arrived[target.service] = arrived
            if arrived.replicas == 0 and not allow_empty:
                raise _nothing_runs([target.service], "It was scaled to 0 during the roll-out.")
            if arrived.unproven:
                raise Inconclusive(
                    f"Could not prove that {target.service} runs {target.image.pinned}: {arrived.unproven}.",
                    cause="The program that rolled it out exited with code 0, but did not change what runs, or something else"
                    " took it back.",
                    fix="Let `roll-out-command` end only when the service runs the release, and exit with 1 when it does not."
                    " Let `running-command` report what runs at that time.",
                )
            runtime.log(f"{target.service}: arrived after {arrived.seconds:.1f} s.")
        _look_again(engine, progress, deadline, runtime)
    except ActionError as failure:
        progress.failure = failure
        if isinstance(failure, BEFORE_ANYTHING):
            progress.touched.pop()
        runtime.log(f"{failure.what}")
        _take_back(engine, progress, failure, revert_deadline(), runtime)
    except BaseException:
        _hand_over(engine, progress, runtime)
        raise


def _look_again(engine: Engine, progress: Progress, deadline: Deadline, runtime: Runtime) -> None:
    """Raises `ChangedMeanwhile` where a service was changed while the ones after it moved."""
    earlier = [target for target in progress.targets if target.service != progress.touched[-1]] if progress.touched else []
    if not earlier:
        return
    try:
        now = engine.running([target.service for target in earlier], deadline)
    except EngineUnreachable as error:
        # Each was proven when its turn came.
        runtime.log(f"Could not look at {', '.join(target.service for target in earlier)} again: {error.what}")
        return
    for target in earlier:
        here = now.get(target.service)
        if here is None and engine.own_programs:
            continue  # the user's programs may not report a service that is down
        arrived = progress.arrived.get(target.service)
        expected = (arrived and arrived.runs) or target.image.digest
        if here is not None and (not expected or (here.digest if is_digest(expected) else here.image) in {"", expected}):
            continue
        runs = f"it runs {here.image} now" if here else "somebody removed it"
        what = f"{target.service} was changed by something else during the roll-out: {runs}. It was left as it is."
        progress.left[target.service] = what
        raise ChangedMeanwhile(target.service, what, fix="Run the roll-out again if this release should replace it.")


def runs_already(target: Target, before: Running) -> bool:
    same = bool(target.image.digest) and before.digest == target.image.digest and target.sha in {"", before.sha}
    # An engine that reports no replicas cannot tell whether the service is up, so the service is rolled out again.
    return same and not before.unfinished and before.wanted is not None and before.ready == before.wanted


def _take_back(engine: Engine, progress: Progress, failure: ActionError, deadline: Deadline, runtime: Runtime) -> None:
    targets = {target.service: target for target in progress.targets}
    try:
        for service in reversed(progress.touched):
            if isinstance(failure, RollOutFailed) and failure.service == service and failure.reverted:
                progress.returned.append(service)
                continue
            if isinstance(failure, ChangedMeanwhile) and failure.service == service:
                progress.left[service] = failure.what
                continue
            runtime.log(f"{service}: rolling back to {progress.before[service].image or 'what ran before'}.")
            try:
                engine.revert(targets[service], progress.before[service], deadline)
            except ChangedMeanwhile as error:
                progress.left[service] = error.what
                runtime.log(error.what)
            except ActionError as error:
                progress.stranded[service] = error.what
                runtime.log(f"{service}: {error.what}")
            else:
                progress.returned.append(service)
    except BaseException:
        _hand_over(engine, progress, runtime)
        raise


def _hand_over(engine: Engine, progress: Progress, runtime: Runtime) -> None:
    """Tells the engine to take back each touched service, without waiting: a cancelled step has seconds."""
    targets = {target.service: target for target in progress.targets}
    seconds = Deadline(5.0)
    for service in reversed(progress.touched):
        if service in progress.returned or service in progress.left:
            continue
        try:
            engine.revert(targets[service], progress.before[service], seconds, wait=False)
        except ChangedMeanwhile as error:
            progress.left[service] = error.what
        except ActionError as error:
            progress.stranded[service] = error.what
        else:
            progress.handed_over.append(service)
            runtime.log(f"{service}: handed back to the engine, which rolls it back without this step.")
