"""Moves all services of a release, or none: the order, the way back, and what a cancelled run leaves to the engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from cicd_actions.engines.protocol import Engine, ImageMissing, RolledOut, RollOutFailed, Running, ServiceMissing, Target
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import ActionError, UnusableInput
from cicd_actions.toolkit.runtime import Runtime

_BEFORE_ANYTHING = (UnusableInput, ImageMissing, ServiceMissing)
"""What an engine raises before it changes a service."""

POLL = 0.5
"""Seconds between two looks at an update that somebody else started."""


@dataclass
class Progress:
    """What has happened so far; kept up to date, so that a cancelled run can say what stands.

    `before` is what ran when the roll-out began. `touched` are the services whose change was begun, in order; `arrived`
    those that came to their target; `unchanged` those that ran it already. After a failure `returned` are the services
    that went back, and `stranded` those that did not, each with the reason. `handed_over` went back without being
    waited for.
    """

    before: Mapping[str, Running]
    targets: Sequence[Target]
    touched: list[str] = field(default_factory=list)
    arrived: dict[str, RolledOut] = field(default_factory=dict)
    unchanged: list[str] = field(default_factory=list)
    failure: ActionError | None = None
    returned: list[str] = field(default_factory=list)
    stranded: dict[str, str] = field(default_factory=dict)
    handed_over: list[str] = field(default_factory=list)

    def state(self, service: str) -> str:
        """What stands of one service, in a few words for a table."""
        if service in self.stranded:
            return "not back"
        if service in self.returned:
            return "back on what ran before"
        if service in self.handed_over:
            return "going back, not waited for"
        if service in self.arrived:
            return "arrived"
        if service in self.unchanged:
            return "ran already"
        return "not known" if service in self.touched else "untouched"


def settled(engine: Engine, services: Sequence[str], deadline: Deadline, runtime: Runtime) -> dict[str, Running]:
    """What runs, once no earlier update is on its way any more. Raises `ServiceMissing`, and `Failed` at the deadline."""
    told = False
    while True:
        now = dict(engine.running(services, deadline))
        missing = [service for service in services if service not in now]
        if missing and engine.opaque_images:
            # The user's own programs may create what is not there: a first deployment. Nothing is known of what ran before.
            now |= {service: Running(service) for service in missing}
        elif missing:
            raise ServiceMissing(
                f"There is no service {', '.join(missing)} on this {engine.name} engine.",
                cause="A roll-out changes the image of services that exist; their ports and networks are described elsewhere.",
                fix="Create it once (`docker stack deploy`, `docker compose up`, `kubectl apply`), or correct its name. For"
                " Swarm, the input `stack` stands before it.",
            )
        moving = [service for service in services if not now[service].settled]
        if not moving:
            return now
        if not told:
            runtime.log(f"Waiting for an earlier update of {', '.join(moving)} to come to its end.")
            told = True
        deadline.check(f"waiting for an earlier update of {', '.join(moving)}")
        runtime.sleep(deadline.timeout(POLL))


def roll_out(
    engine: Engine, progress: Progress, deadline: Deadline, way_back: Callable[[], Deadline], runtime: Runtime
) -> None:
    """Move the targets in their order; if one fails, take back those that moved, the last one first.

    `progress` says how it went, whatever ends the call. `way_back` makes the deadline of the way back, when it begins.
    `Cancelled` passes through after every touched service was handed back to the engine.
    """
    try:
        for target in progress.targets:
            if _runs_already(target, progress.before[target.service]):
                runtime.log(f"{target.service}: runs {target.image.pinned} already.")
                progress.unchanged.append(target.service)
                continue
            runtime.log(f"{target.service}: rolling out {target.image.pinned}.")
            progress.touched.append(target.service)
            arrived = engine.roll_out(target, progress.before[target.service], deadline)
            progress.arrived[target.service] = arrived
            runtime.log(f"{target.service}: arrived after {arrived.seconds:.1f} s.")
    except ActionError as failure:
        progress.failure = failure
        if isinstance(failure, _BEFORE_ANYTHING):
            progress.touched.pop()
        runtime.log(f"{failure.what}")
        _take_back(engine, progress, failure, way_back(), runtime)
    except BaseException:
        _hand_over(engine, progress, runtime)
        raise


def _runs_already(target: Target, before: Running) -> bool:
    same = bool(target.image.digest) and before.digest == target.image.digest and target.sha in {"", before.sha}
    # Where the engine tells no replicas, nobody knows whether it is up: then it is rolled out again.
    return same and before.wanted is not None and before.ready == before.wanted


def _take_back(engine: Engine, progress: Progress, failure: ActionError, deadline: Deadline, runtime: Runtime) -> None:
    try:
        for service in reversed(progress.touched):
            if isinstance(failure, RollOutFailed) and failure.service == service and failure.reverted:
                progress.returned.append(service)
                continue
            runtime.log(f"{service}: going back to {progress.before[service].image or 'what ran before'}.")
            try:
                engine.revert(progress.before[service], deadline)
            except ActionError as error:
                progress.stranded[service] = error.what
                runtime.log(f"{service}: {error.what}")
            else:
                progress.returned.append(service)
    except BaseException:
        _hand_over(engine, progress, runtime)
        raise


def _hand_over(engine: Engine, progress: Progress, runtime: Runtime) -> None:
    """Cancelled: seconds are left. Each service that was touched is told to go back, and nobody waits for it."""
    seconds = Deadline(5.0)
    for service in reversed(progress.touched):
        if service in progress.returned:
            continue
        try:
            engine.revert(progress.before[service], seconds, wait=False)
        except ActionError as error:
            progress.stranded[service] = error.what
        else:
            progress.handed_over.append(service)
            runtime.log(f"{service}: handed back to the engine; nobody waits for it.")
