"""Staged releases on Kubernetes: a second Deployment beside the first, and Services that choose the pods of one or of both.

The order keeps three promises, wherever a run is killed:

- A Service always chooses a ready pod: it is pinned to a release only while that one has ready pods.
- The second Deployment is made first and removed last. Its name can exist once, so it is the lock, and shows what is left.
- The first Deployment is paused while a Service may be pinned to it: a change of its template would replace the pods that the
  Service chooses by others that it does not.
"""

from __future__ import annotations

import dataclasses
import json
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from cicd_actions.engines import kubernetes_route as routes
from cicd_actions.engines import kubernetes_stage as stages
from cicd_actions.engines import kubernetes_workload as workloads
from cicd_actions.engines import replica_share, stage_labels
from cicd_actions.engines.kubectl import Json, NotFound
from cicd_actions.engines.kubernetes_stage import Both
from cicd_actions.engines.kubernetes_stage_objects import POLL, ROLLING, StageObjects, first_ref, gone, pin_patch, ref, route_of
from cicd_actions.engines.protocol import (
    Evidence,
    Image,
    Refused,
    RolledOut,
    RollOutFailed,
    Running,
    Target,
)
from cicd_actions.engines.release import settled
from cicd_actions.engines.stage_labels import STAGE, SUFFIX
from cicd_actions.engines.staged_protocol import Stage
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import ActionError, Cancelled, Failed
from cicd_actions.toolkit.runtime import Runtime

DRAIN = 5.0
"""Seconds between the end of the traffic to pods and their own end: each node learns by itself what a Service chooses."""

DRAIN_SHORTLY = 1.0
"""The same for a cancelled step, which has 7.5 s in all."""

CLEAN_UP = 60.0
"""Seconds for the removal of a stage that did not become healthy."""

LEAVING = 5.0
"""The same for a cancelled step."""


class StagedKubernetes(StageObjects):
    """See `staged_protocol.Weighted`.

    The share of the new release is that of its ready pods, or that of its weights in the HTTPRoute `route`.
    """

    strategies: tuple[str, ...] = ("blue-green", "canary")
    without_bake = ""

    def __init__(self, runtime: Runtime, *, route: str = "", **options: Any) -> None:
        super().__init__(runtime, **options)
        self._route = route

    def examine(self, target: Target, before: Running, deadline: Deadline) -> None:
        if not stages.is_held(self._deployment(target.service, deadline)):
            super().examine(target, before, deadline)

    def roll_out(self, target: Target, before: Running, deadline: Deadline, *, rollback: bool = True) -> RolledOut:
        self._release_what_is_left(target.service, deadline)
        return super().roll_out(target, before, deadline, rollback=rollback)

    def logs(self, service: str, deadline: Deadline, *, lines: int = 50) -> Evidence:
        """Returns the evidence of a service, or of its stage where the name ends in `-next`."""
        staged = service.removesuffix(SUFFIX)
        if staged != service and self._standing(staged, deadline) is not None:
            service = self._named(staged, deadline)
        return super().logs(service, deadline, lines=lines)

    def prepare(self, target: Target, before: Running, deadline: Deadline, *, run: str, until: float) -> Stage:
        service = target.service
        first = self._first(service, deadline)
        if self._look(service, deadline) is not None:
            raise self._is_there(service, "")
        self._refuse(service, first, deadline)
        images = dict.fromkeys(workloads.with_image_of(first, self._name_of(service, first)), target.image.pinned)
        marks = stage_labels.written(target, before, run=run, until=until)
        expires = {stage_labels.UNTIL: marks.pop(stage_labels.UNTIL)}
        marks |= {stages.IMAGE: target.image.pinned, stages.TOKEN: uuid.uuid4().hex}
        if self._route:
            services = stages.services_of(first, self._all_services(deadline))
            found = self._kubectl.get(routes.Route(self._route, [], []).ref, deadline=deadline)
            route = routes.route_of(found, [str(each["metadata"]["name"]) for each in services])
            marks[routes.ROUTE] = routes.written(route)
        self._make(service, stages.beside(first, images, target.sha, marks), deadline)
        try:
            self._hold(service, deadline)
            both = self._both(service, deadline)
            self._pin(both, both.old_hash, deadline)
            self._make_services(both, deadline)
            self._scale(service, workloads.wanted(first) or 0, deadline)
            named = self._named(service, deadline)
            self._prove(dataclasses.replace(target, service=named), self._deployment(named, deadline), deadline)
            # Only a whole stage gets its time: until then it counts as expired, and any later run removes it.
            self._set(ref(service), lambda _: {"metadata": {"annotations": expires}}, deadline)
        except BaseException as error:
            self._clean_up(service, LEAVING if isinstance(error, Cancelled) else CLEAN_UP)
            if isinstance(error, RollOutFailed):
                raise RollOutFailed(
                    service,
                    f"The new release of {service} did not come up healthy. It never had traffic.",
                    reverted=True,
                    evidence=error.evidence,
                    cause=error.cause or error.what,
                    fix=error.fix,
                ) from None
            raise
        return self._stage(self._both(service, deadline), service, deadline)

    def staged(self, services: Sequence[str], deadline: Deadline) -> Mapping[str, Stage]:
        found: dict[str, Stage] = {}
        for service in services:
            if (both := self._found(service, deadline)) is not None:
                found[service] = self._stage(both, service, deadline)
        return found

    def smallest(self, stage: Stage, deadline: Deadline) -> float:
        if (route := route_of(self._same(stage, deadline))) is not None:
            return routes.smallest(route)
        return replica_share.smallest(workloads.wanted(self._first(stage.service, deadline)) or 0)

    def switch(self, stage: Stage, deadline: Deadline) -> Stage:
        return self.weigh(stage, 100, deadline)

    def weigh(self, stage: Stage, percent: float, deadline: Deadline) -> Stage:
        service = stage.service
        both = self._same(stage, deadline)
        route, whole = route_of(both), percent == 100
        self._hold(service, deadline, both.first)
        if percent == 0 or not both.new:
            # The pods that are about to start get nothing before all of them are ready.
            self._pin(both, both.old_hash, deadline)
            self._divide(route, 0, deadline)
        if percent:
            old = workloads.wanted(both.first) or 0
            # After a step of more than 50 %, more pods stand than the first Deployment has.
            most = max(old, workloads.wanted(both.standing) or 0)
            self._make_services(both, deadline)
            self._scale(service, replica_share.replicas(percent, old) if route is None and not whole else most, deadline)
            both = self._same(stage, deadline)
            if not both.new:
                raise RollOutFailed(service, f"No pod of the new release of {service} is ready.", reverted=False)
            if whole:
                self._divide(route, percent, deadline)
                self._pin(both, both.new_hash, deadline)
            else:
                self._pin(both, both.old_hash if route else "", deadline)
                self._divide(route, percent, deadline)
        return self._stage(self._both(service, deadline), service, deadline)

    def finish(self, stage: Stage, deadline: Deadline) -> RolledOut:
        service = stage.service
        both = self._same(stage, deadline)
        self._refuse_another_image(stage, both)
        now = self.running([service], deadline)[service]
        if not _arrived(stage, now):
            if any(stages.pin_of(each) != both.new_hash for each in both.services) or not both.new:
                self.weigh(stage, 100, deadline)
            self._resume(service, deadline, whole=False)
            now = settled(self, [service], deadline, self._runtime)[service]
        if _arrived(stage, now):
            arrived = RolledOut(service, 0.0, replicas=now.ready)
        else:
            arrived = super().roll_out(stage.target, now, deadline)
        self._take_away(self._both(service, deadline), service, deadline, DRAIN)
        return arrived

    def abandon(self, stage: Stage, deadline: Deadline, *, wait: bool = True) -> None:
        service = stage.service
        both = self._found(service, deadline)
        if both is None:
            self._release_what_is_left(service, deadline)
            return
        if self._runs_target(stage, both.first):
            self._roll_back(stage, both, deadline, wait=wait)
            both = self._both(service, deadline)
        # Killed from here on, it counts as expired: the next run does not go on with it.
        self._take_away(both, service, deadline, DRAIN if wait else DRAIN_SHORTLY, expires=True, whole=wait)

    def _roll_back(self, stage: Stage, both: Both, deadline: Deadline, *, wait: bool) -> None:
        """Rolls the first Deployment back, after a promotion was interrupted, while the Services choose other pods too."""
        service = stage.service
        if not stage.before:
            raise Failed(f"Cannot abandon the stage of {service}: it does not say what ran before.", fix="Promote it.")
        whole = both.new and len(both.new) >= (workloads.wanted(both.standing) or 0)
        self._pin(both, both.new_hash if whole else "", deadline)
        self._resume(service, deadline, whole=False)
        name, _, digest = stage.before.partition("@")
        old = Target(service, Image(name, digest, opaque=not digest), stage.before_sha)
        now = self.running([service], deadline)[service]
        try:
            super().roll_out(old, now, deadline if wait else Deadline(DRAIN_SHORTLY), rollback=False)
        except RollOutFailed:
            if wait:
                raise
            raise Failed(
                f"The old release of {service} is still coming up. The new release has its traffic until then.",
                fix="Run the roll-out again: it finds the stage, and finishes or abandons it.",
            ) from None

    def _take_away(
        self, both: Both, service: str, deadline: Deadline, patience: float, *, expires: bool = False, whole: bool = True
    ) -> None:
        """Gives the first Deployment all of the traffic, and removes the stage. Any part of it may be done already.

        Without `whole` the stage may stay, where the time is too short to remove it.
        """
        if both.live or not stages.is_empty(both.standing):
            both = dataclasses.replace(both, first=self._hold(service, deadline, both.first))
            both = self._until_first_is_ready(both, service, deadline)
            both = self._pin(both, both.old_hash, deadline)
            self._divide(route_of(both), 0, deadline)
        try:
            self._remove(both, service, deadline, patience, expires=expires)
        except ActionError as error:
            if whole:
                raise
            self._runtime.log(f"{service}: the stage has no traffic, and the next roll-out removes it. {error.what}")

    def _remove(self, both: Both, service: str, deadline: Deadline, patience: float, *, expires: bool) -> None:
        """Ends the pods of a stage that has no traffic, lets the first Deployment go on, and removes the stage."""
        if both.live or not stages.is_empty(both.standing):
            if both.new:
                self._runtime.sleep(deadline.timeout(patience))
            marks: Json = {"metadata": {"annotations": {stage_labels.UNTIL: None}}} if expires else {}
            nothing = {**marks, "spec": {"replicas": 0}}
            found = self._set(ref(service), lambda _: nothing, deadline, now=both.standing)
            while not stages.is_empty(found) or self._still_live(both, deadline):
                deadline.check(f"waiting for the pods of the stage of {service} to end")
                self._runtime.sleep(deadline.timeout(POLL))
                found = self._look(service, deadline) or found
        self._release(service, both.services, deadline, both.first)
        if route_of(both) is not None:
            mark = f"{STAGE}={both.first['metadata']['name']}"
            self._removed("delete", "services", "-l", mark, "--wait=false", deadline=deadline)
        self._removed("delete", ref(service), "--ignore-not-found", "--cascade=background", "--wait=false", deadline=deadline)

    def _still_live(self, both: Both, deadline: Deadline) -> int:
        return stages.both(both.first, both.standing, [], self._owned(both.first, deadline)).live

    def _until_first_is_ready(self, both: Both, service: str, deadline: Deadline) -> Both:
        while workloads.wanted(both.first) and not all(stages.chosen(each, both.old, both.old_hash) for each in both.services):
            if deadline.remaining <= POLL:
                raise RollOutFailed(
                    service,
                    f"Cannot give {service} its traffic back: no pod of the Deployment itself is ready.",
                    reverted=False,
                    cause="Its Services would choose no pod at all. The stage stands, with the traffic that it has.",
                    fix="See why its pods are not ready, then run the roll-out again:\n\n    "
                    + self._kubectl.by_hand("describe", first_ref(service)),
                )
            self._runtime.sleep(deadline.timeout(POLL))
            both = self._both(service, deadline)
        return both

    def _release_what_is_left(self, service: str, deadline: Deadline) -> None:
        """Ends the hold and the pins of a stage that somebody removed by hand."""
        first = self._deployment(service, deadline)
        if stages.is_held(first) and self._standing(service, deadline) is None:
            self._release(service, stages.services_of(first, self._all_services(deadline)), deadline, first)

    def _release(self, service: str, services: Sequence[Json], deadline: Deadline, first: Json) -> None:
        for each in services:  # before the Deployment may replace its pods
            self._set_pin(each, "", deadline)
        self._resume(service, deadline, whole=True, first=first)

    def _clean_up(self, service: str, seconds: float) -> None:
        """Removes a stage that did not come up; what cannot be removed now counts as expired."""
        try:
            deadline = Deadline(seconds, self._runtime.clock)
            if (both := self._found(service, deadline)) is not None:
                self._take_away(both, service, deadline, 0)
        except ActionError as error:
            self._runtime.log(f"{service}: could not remove the stage: {error.what} The next roll-out removes it.")

    def _refuse(self, service: str, first: Json, deadline: Deadline) -> None:
        """Raises `Refused` where Services cannot say which release gets traffic."""
        if (first["metadata"].get("labels") or {}).get(STAGE):
            raise Refused(f"Cannot stage {service}: {workloads.ref(first)} is itself the stage of another service.")
        services = stages.services_of(first, self._all_services(deadline))
        if not services:
            raise Refused(
                f"Cannot stage {service}: no Service chooses the pods of {workloads.ref(first)}.",
                cause="The Services divide the traffic between two releases.",
                fix=ROLLING,
            )
        own = {pod["metadata"]["uid"] for pod in self._pods(first, deadline)}
        for each in services:
            name = str(each["metadata"]["name"])
            if stages.pin_of(each) and not stages.is_held(first):
                raise Refused(
                    f"Cannot stage {service}: the Service {name} is pinned to one `{stages.PIN}` already.",
                    fix="    " + self._kubectl.by_hand("patch", f"service/{name}", "-p", json.dumps(pin_patch(""))),
                )
            chosen = ",".join(f"{key}={text}" for key, text in stages.selector_of(each).items())
            pods = self._kubectl.items("pods", "-l", chosen, deadline=deadline)
            others = [
                str(pod["metadata"]["name"]) for pod in pods if pod["metadata"]["uid"] not in own and stages.takes_traffic(pod)
            ]
            if others:
                raise Refused(
                    f"Cannot stage {service}: the Service {name} also chooses {', '.join(sorted(others)[:3])}.",
                    cause=f"They are not of {workloads.ref(first)}, and a Service pinned to one release leaves them out.",
                    fix=f"Give the Service {name} a selector that chooses only this Deployment, or set:\n\n{ROLLING}",
                )

    def _same(self, stage: Stage, deadline: Deadline) -> Both:
        both = self._both(stage.service, deadline)
        if stages.image_of(both.standing, self._name_of(stage.service, both.first)) != stage.target.image.pinned:
            raise gone(stage.service)
        return both

    def _stage(self, both: Both, service: str, deadline: Deadline) -> Stage:
        image = stages.image_of(both.standing, self._name_of(service, both.first))
        addresses = sorted(str((pod.get("status") or {}).get("podIP") or "") for pod in both.new)
        marks = both.standing["metadata"].get("annotations") or {}
        share = stages.share(both)
        if (route := route_of(both)) is not None:
            with suppress(NotFound):  # somebody deleted it: it brings no traffic
                share = max(share, routes.share(self._kubectl.get(route.ref, deadline=deadline), route))
        found = stage_labels.read(service, image, marks, share, tuple(each for each in addresses if each))
        # Once the service itself has the image, the promotion has begun, and it only goes on.
        return dataclasses.replace(found, percent=100.0) if self._runs_target(found, both.first) else found

    def _runs_target(self, stage: Stage, first: Json) -> bool:
        container = self._name_of(stage.service, first)
        image, wanted = workloads.images(first, [container])[container], stage.target.image
        return image != stage.before and (workloads.digest(image) or image) == (
            workloads.digest(wanted.pinned) or wanted.pinned
        )

    def _refuse_another_image(self, stage: Stage, both: Both) -> None:
        container = self._name_of(stage.service, both.first)
        if workloads.images(both.first, [container])[container] != stage.before and not self._runs_target(stage, both.first):
            raise self._changed(stage.service, both.first, {container: stage.before})


def _arrived(stage: Stage, now: Running) -> bool:
    same = now.image == stage.target.image.pinned or now.digest == stage.target.image.digest != ""
    return same and now.image != stage.before and now.ready == now.wanted
