"""Stages on both Docker engines, whatever divides the traffic: the order of the calls, and what each way fills in."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from cicd_actions.engines import stage_labels
from cicd_actions.engines.docker_api import DockerApi
from cicd_actions.engines.protocol import ChangedMeanwhile, Engine, Image, Refused, RolledOut, Running, Target
from cicd_actions.engines.release import settled
from cicd_actions.engines.staged_protocol import Stage
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.runtime import Runtime

DRAIN = 10.0
"""Seconds in which requests to the new release may end before it is removed."""

DRAIN_SHORTLY = 1.5
"""The same for a cancelled step, which has 7.5 s in all."""


@dataclass(frozen=True)
class Standing:
    """A stage as the engine has it: its `image`, its labels, and the addresses at which this machine reaches its replicas."""

    image: str
    labels: Mapping[str, str]
    addresses: tuple[str, ...]


class Hooks:
    """What a way of dividing the traffic may add; most have nothing to do."""

    def _refuse(self, target: Target) -> None:
        """Raises where the traffic cannot be divided between the service and a stage of it. Nothing has started yet."""

    def _await_seen(self, service: str, deadline: Deadline, *, new: bool) -> None:
        """Waits until what divides the traffic reaches the replicas of one release, and no others in their place."""

    def _lead_past(self, stage: Stage, deadline: Deadline) -> None:
        """Leads the traffic past the service itself before its image changes, where that can be done."""


class Beside(Hooks, abc.ABC):
    """Fills `staged_protocol.Staged` for an engine whose class comes first among the bases."""

    divided_by: ClassVar[str]
    """What divides the traffic, as the stage's label says it: one way cannot take back what another one gave."""

    name: str
    _api: DockerApi
    _runtime: Runtime

    def prepare(self, target: Target, before: Running, deadline: Deadline, *, run: str, until: float) -> Stage:
        self._api.deadline = deadline
        marks = stage_labels.written(target, before, run=run, until=until) | {stage_labels.DIVIDED_BY: self.divided_by}
        self._api.pull(target.image, deadline)
        self._refuse(target)
        self._stand(target, before, marks, deadline)
        try:
            self._await_seen(target.service, deadline, new=True)
        except BaseException:
            self._remove_stage(target.service)
            raise
        return self._stage(target.service)

    def staged(self, services: Sequence[str], deadline: Deadline) -> Mapping[str, Stage]:
        self._api.deadline = deadline
        return {service: self._stage(service) for service in services if self._own(service) is not None}

    def switch(self, stage: Stage, deadline: Deadline) -> Stage:
        raise Refused(f"Cannot give the new release of {stage.service} all of the traffic while the old one stands.")

    def finish(self, stage: Stage, deadline: Deadline) -> RolledOut:
        self._api.deadline = deadline
        now = self._settled(stage.service, deadline)
        if now.digest != stage.target.image.digest or now.ready != now.wanted or now.unfinished:
            self._same(stage)
            self._lead_past(stage, deadline)
            arrived = self.roll_out(stage.target, now, deadline)
        else:
            arrived = RolledOut(stage.service, 0.0, replicas=now.ready)
        self._await_seen(stage.service, deadline, new=False)
        self._take_away(stage.service, DRAIN)
        return arrived

    def abandon(self, stage: Stage, deadline: Deadline, *, wait: bool = True) -> None:
        self._api.deadline = deadline
        service = stage.service
        now = self.running([service], deadline).get(service)
        stands = self._own(service) is not None
        if stands and now is not None and now.digest == stage.target.image.digest and now.image != stage.before:
            # The promotion was interrupted: the service itself has the new image already, or is about to.
            old = Target(service, self.resolve(stage.before, deadline), stage.before_sha)
            self.roll_out(old, self._settled(service, deadline), deadline, rollback=False)
            self._await_seen(service, deadline, new=False)
        self._take_away(service, DRAIN if wait else DRAIN_SHORTLY)

    @abc.abstractmethod
    def running(self, services: Sequence[str], deadline: Deadline) -> Mapping[str, Running]: ...

    @abc.abstractmethod
    def resolve(self, image: str, deadline: Deadline) -> Image: ...

    @abc.abstractmethod
    def roll_out(self, target: Target, before: Running, deadline: Deadline, *, rollback: bool = True) -> RolledOut: ...

    @abc.abstractmethod
    def _stand(self, target: Target, before: Running, labels: Mapping[str, str], deadline: Deadline) -> None:
        """Starts the stage under `SERVICE-next` and waits until it is healthy; leaves nothing where it is not."""

    @abc.abstractmethod
    def _standing(self, service: str) -> Standing | None:
        """Returns the stage; `None` where there is none, or where something else has its name."""

    @abc.abstractmethod
    def _remove_stage(self, service: str) -> None:
        """Removes the stage, where there is one."""

    @abc.abstractmethod
    def _share(self, service: str) -> float:
        """Returns the new release's share of the traffic in percent, as it is now."""

    def _take_away(self, service: str, patience: float) -> None:
        """Gives the service itself all of the traffic, and removes the stage."""
        if self._own(service) is not None:
            self._remove_stage(service)

    def _settled(self, service: str, deadline: Deadline) -> Running:
        assert isinstance(self, Engine)  # noqa: S101 - see the class
        return settled(self, [service], deadline, self._runtime)[service]

    def _own(self, service: str) -> Standing | None:
        """Returns the stage, as long as the traffic is divided in this way."""
        found = self._standing(service)
        return found if found is not None and stage_labels.divided_by(found.labels) == self.divided_by else None

    def _stage(self, service: str) -> Stage:
        standing = self._own(service)
        if standing is None:
            raise self._gone(service)
        return stage_labels.read(service, standing.image, standing.labels, self._share(service), standing.addresses)

    def _same(self, stage: Stage) -> Standing:
        standing = self._own(stage.service)
        if standing is None or standing.image != stage.target.image.pinned:
            raise self._gone(stage.service)
        return standing

    def _gone(self, service: str) -> ChangedMeanwhile:
        return ChangedMeanwhile(
            service,
            f"Something else removed or replaced the stage of {service}.",
            fix="The old release has the traffic. Run the roll-out again if this release should replace it.",
        )
