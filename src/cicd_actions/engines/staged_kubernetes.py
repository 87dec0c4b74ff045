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
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from cicd_actions.engines import kubernetes_stage as stages
from cicd_actions.engines import kubernetes_workload as workloads
from cicd_actions.engines import stage_labels
from cicd_actions.engines.kubectl import Conflict, Json, NotFound
from cicd_actions.engines.kubernetes import Kubernetes
from cicd_actions.engines.kubernetes_stage import Both
from cicd_actions.engines.patience import answered
from cicd_actions.engines.protocol import (
    ChangedMeanwhile,
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

POLL = 0.3

PATIENCE = 60.0
"""Seconds in which the API server has to answer a change: it may be restarting, and the answer to a change may be lost."""

DRAIN = 5.0
"""Seconds between the end of the traffic to pods and their own end: each node learns by itself what a Service chooses."""

DRAIN_SHORTLY = 1.0
"""The same for a cancelled step, which has 7.5 s in all."""

CLEAN_UP = 60.0
"""Seconds for the removal of a stage that did not become healthy."""

LEAVING = 5.0
"""The same for a cancelled step."""

_PROGRESS = 600.0
"""Seconds of the progress deadline of a Deployment that names none:
https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#progress-deadline-seconds"""

_ROLLING = "    with:\n      strategy: rolling"


class StagedKubernetes(Kubernetes):
    """See `staged_protocol.Weighted`. The share of the new release is that of its ready pods."""

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
        self._make(service, stages.beside(first, images, target.sha, marks), deadline)
        try:
            self._hold(service, deadline)
            both = self._both(service, deadline)
            self._pin(both, both.old_hash, deadline)
            self._scale(service, workloads.wanted(first) or 0, deadline)
            named = self._named(service, deadline)
            self._prove(dataclasses.replace(target, service=named), self._deployment(named, deadline), deadline)
            # Only a whole stage gets its time: until then it counts as expired, and any later run removes it.
            self._set(_ref(service), lambda _: {"metadata": {"annotations": expires}}, deadline)
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
        return self._stage(self._both(service, deadline), service)

    def staged(self, services: Sequence[str], deadline: Deadline) -> Mapping[str, Stage]:
        found: dict[str, Stage] = {}
        for service in services:
            if (both := self._found(service, deadline)) is not None:
                found[service] = self._stage(both, service)
        return found

    def smallest(self, stage: Stage, deadline: Deadline) -> float:
        return stages.smallest(workloads.wanted(self._first(stage.service, deadline)) or 0)

    def switch(self, stage: Stage, deadline: Deadline) -> Stage:
        return self.weigh(stage, 100, deadline)

    def weigh(self, stage: Stage, percent: float, deadline: Deadline) -> Stage:
        service = stage.service
        both = self._same(stage, deadline)
        self._hold(service, deadline)
        if percent == 0:
            self._pin(both, both.old_hash, deadline)
        else:
            old = workloads.wanted(both.first) or 0
            # After a step of more than 50 %, more pods stand than the first Deployment has.
            wanted = max(old, workloads.wanted(both.standing) or 0) if percent == 100 else stages.replicas(percent, old)
            self._scale(service, wanted, deadline)
            both = self._same(stage, deadline)
            if not both.new:
                raise RollOutFailed(service, f"No pod of the new release of {service} is ready.", reverted=False)
            self._pin(both, both.new_hash if percent == 100 else "", deadline)
        return self._stage(self._both(service, deadline), service)

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
        self._take_away(service, deadline, DRAIN)
        return arrived

    def abandon(self, stage: Stage, deadline: Deadline, *, wait: bool = True) -> None:
        service = stage.service
        both = self._found(service, deadline)
        if both is None:
            self._release_what_is_left(service, deadline)
            return
        if self._runs_target(stage, both.first):
            self._roll_back(stage, both, deadline, wait=wait)
        self._take_away(service, deadline, DRAIN if wait else DRAIN_SHORTLY)

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

    def _take_away(self, service: str, deadline: Deadline, patience: float) -> None:
        """Gives the first Deployment all of the traffic, and removes the stage. Any part of it may be done already."""
        both = self._both(service, deadline)
        if both.live or not stages.is_empty(both.standing):
            self._hold(service, deadline)
            both = self._until_first_is_ready(service, deadline)
            self._pin(both, both.old_hash, deadline)
            if both.new:
                self._runtime.sleep(deadline.timeout(patience))
            self._set(_ref(service), lambda _: {"spec": {"replicas": 0}}, deadline)
            while (both := self._both(service, deadline)).live or not stages.is_empty(both.standing):
                deadline.check(f"waiting for the pods of the stage of {service} to end")
                self._runtime.sleep(deadline.timeout(POLL))
        self._release(service, both.services, deadline)
        self._remove(service, deadline)

    def _until_first_is_ready(self, service: str, deadline: Deadline) -> Both:
        while True:
            both = self._both(service, deadline)
            if all(stages.chosen(each, both.old, both.old_hash) for each in both.services) or not workloads.wanted(both.first):
                return both
            if deadline.remaining <= POLL:
                raise RollOutFailed(
                    service,
                    f"Cannot give {service} its traffic back: no pod of the Deployment itself is ready.",
                    reverted=False,
                    cause="Its Services would choose no pod at all. The stage stands, with the traffic that it has.",
                    fix="See why its pods are not ready, then run the roll-out again:\n\n    "
                    + self._kubectl.by_hand("describe", _first_ref(service)),
                )
            self._runtime.sleep(deadline.timeout(POLL))

    def _release_what_is_left(self, service: str, deadline: Deadline) -> None:
        """Ends the hold and the pins of a stage that somebody removed by hand."""
        first = self._deployment(service, deadline)
        if stages.is_held(first) and self._standing(service, deadline) is None:
            self._release(service, stages.services_of(first, self._all_services(deadline)), deadline)

    def _release(self, service: str, services: Sequence[Json], deadline: Deadline) -> None:
        for each in services:  # before the Deployment may replace its pods
            self._set_pin(each, "", deadline)
        self._resume(service, deadline, whole=True)

    def _clean_up(self, service: str, seconds: float) -> None:
        """Removes a stage that did not come up; what cannot be removed now counts as expired."""
        try:
            deadline = Deadline(seconds, self._runtime.clock)
            if self._standing(service, deadline) is not None:
                self._take_away(service, deadline, 0)
        except ActionError as error:
            self._runtime.log(f"{service}: could not remove the stage: {error.what} The next roll-out removes it.")

    def _first(self, service: str, deadline: Deadline) -> Json:
        """Returns the service's own Deployment. Raises `Refused` for another kind."""
        found = self._deployment(service, deadline)
        if found["kind"] != "Deployment":
            raise Refused(
                f"Cannot stage {workloads.ref(found)}: only a Deployment can have a second one beside it.",
                cause=f"A {found['kind']} numbers its pods, or puts one on each node.",
                fix=_ROLLING,
            )
        return found

    def _refuse(self, service: str, first: Json, deadline: Deadline) -> None:
        """Raises `Refused` where Services cannot say which release gets traffic."""
        if (first["metadata"].get("labels") or {}).get(STAGE):
            raise Refused(f"Cannot stage {service}: {workloads.ref(first)} is itself the stage of another service.")
        services = stages.services_of(first, self._all_services(deadline))
        if not services:
            raise Refused(
                f"Cannot stage {service}: no Service chooses the pods of {workloads.ref(first)}.",
                cause="The Services divide the traffic between two releases.",
                fix=_ROLLING,
            )
        own = {pod["metadata"]["uid"] for pod in self._pods(first, deadline)}
        for each in services:
            name = str(each["metadata"]["name"])
            if stages.pin_of(each) and not stages.is_held(first):
                raise Refused(
                    f"Cannot stage {service}: the Service {name} is pinned to one `{stages.PIN}` already.",
                    fix="    " + self._kubectl.by_hand("patch", f"service/{name}", "-p", json.dumps(_pin_patch(""))),
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
                    fix=f"Give the Service {name} a selector that chooses only this Deployment, or set:\n\n{_ROLLING}",
                )

    def _make(self, service: str, body: Json, deadline: Deadline) -> None:
        """Creates the second Deployment. Raises `Refused` where something has its name."""

        def once() -> None:
            try:
                self._kubectl.create(body, deadline=deadline)
            except Failed as error:
                found = self._look(service, deadline)
                if found is None:
                    raise
                token = body["metadata"]["annotations"][stages.TOKEN]
                if (found["metadata"].get("annotations") or {}).get(stages.TOKEN) == token:
                    return  # the answer to the first request was lost
                raise self._is_there(service, error.what) from None

        answered(once, self._soon(deadline), self._runtime)

    def _is_there(self, service: str, cause: str) -> Refused:
        return Refused(
            f"Cannot stage {service}: {_ref(service)} is there already.",
            cause=cause,
            fix="If it is a stage, roll out what runs now, which abandons it. Else rename it:\n\n    "
            + self._kubectl.by_hand("describe", _ref(service)),
        )

    def _hold(self, service: str, deadline: Deadline) -> None:
        """Pauses the first Deployment, with a mark that says why."""
        held = {"metadata": {"annotations": {STAGE: stages.name_of(service)}}, "spec": {"paused": True}}
        done = lambda now: stages.is_held(now) and now["spec"].get("paused")  # noqa: E731
        self._set(_first_ref(service), lambda now: None if done(now) else held, deadline)

    def _resume(self, service: str, deadline: Deadline, *, whole: bool) -> None:
        """Lets the first Deployment replace its pods again; `whole`: and takes the mark off."""

        def patch(now: Json) -> Json | None:
            if not stages.is_held(now) or (not whole and not now["spec"].get("paused")):
                return None
            return {**({"metadata": {"annotations": {STAGE: None}}} if whole else {}), "spec": {"paused": None}}

        self._set(_first_ref(service), patch, deadline)

    def _pin(self, both: Both, pin: str, deadline: Deadline) -> None:
        """Lets each Service choose the pods of one release, or of both. Raises `RollOutFailed` where it would choose none."""
        for each in both.services:
            pods = [*both.old, *both.new]
            if stages.chosen(each, pods) and not stages.chosen(each, pods, pin):
                name = each["metadata"]["name"]
                raise RollOutFailed(
                    both.first["metadata"]["name"],
                    f"Cannot give one release all of the traffic of the Service {name}: it has no ready pod.",
                    reverted=False,
                    cause="An earlier update is not finished, or its pods failed meanwhile.",
                )
        for each in both.services:
            self._set_pin(each, pin, deadline)

    def _set_pin(self, service: Json, pin: str, deadline: Deadline) -> None:
        name, own = str(service["metadata"]["name"]), stages.selector_of(service)

        def patch(now: Json) -> Json | None:
            if stages.selector_of(now) != own:
                raise ChangedMeanwhile(name, f"Something else changed the selector of the Service {name}. It was left.")
            return _pin_patch(pin) if stages.pin_of(now) != pin else None

        with suppress(NotFound):  # a Service that somebody deleted has no traffic
            self._set(f"service/{name}", patch, deadline)

    def _scale(self, service: str, replicas: int, deadline: Deadline) -> None:
        """Waits until the stage has exactly this number of pods, and all are available. Raises `RollOutFailed`."""

        def patch(now: Json) -> Json | None:
            return {"spec": {"replicas": replicas}} if workloads.wanted(now) != replicas else None

        named = self._named(service, deadline)
        found = self._set(_ref(service), patch, deadline)
        # The progress deadline of a Deployment does not apply to a change of its scale.
        limit = float(found["spec"].get("progressDeadlineSeconds") or _PROGRESS)
        deadline = Deadline(deadline.timeout(limit), self._runtime.clock)
        images = workloads.images(found, [each["name"] for each in found["spec"]["template"]["spec"]["containers"]])
        found = self._arrived(named, _ref(service), images, deadline)
        while int((found.get("status") or {}).get("replicas", 0)) != replicas:
            deadline.check(f"scaling {_ref(service)}")
            self._runtime.sleep(deadline.timeout(POLL))
            found = self._deployment(named, deadline)

    def _set(self, name: str, patch: Callable[[Json], Json | None], deadline: Deadline) -> Json:
        """Brings an object to a state: reads it, patches what differs, and again where somebody else was faster.

        A change whose answer was lost is found done. Returns the object as it is then.
        """

        def once() -> Json:
            while True:
                now = self._kubectl.get(name, deadline=deadline)
                body = patch(now)
                if body is None:
                    return now
                metadata = {**body.get("metadata", {}), "resourceVersion": now["metadata"]["resourceVersion"]}
                try:
                    return self._kubectl.patch(name, {**body, "metadata": metadata}, deadline=deadline)
                except Conflict:
                    deadline.check(f"changing {name}")

        return answered(once, self._soon(deadline), self._runtime)

    def _soon(self, deadline: Deadline) -> Deadline:
        return Deadline(deadline.timeout(PATIENCE), self._runtime.clock)

    def _remove(self, service: str, deadline: Deadline) -> None:
        """Removes the second Deployment and what it owns: an orphan would be adopted by the first one."""
        words = ("delete", _ref(service), "--ignore-not-found", "--cascade=background", "--wait=false")
        answered(lambda: self._kubectl.call(*words, deadline=deadline), self._soon(deadline), self._runtime)

    def _look(self, service: str, deadline: Deadline) -> Json | None:
        try:
            return answered(lambda: self._kubectl.get(_ref(service), deadline=deadline), self._soon(deadline), self._runtime)
        except NotFound:
            return None

    def _standing(self, service: str, deadline: Deadline) -> Json | None:
        found = self._look(service, deadline)
        return found if found is not None and stages.is_stage_of(found, service) else None

    def _listed(self, *words: str, deadline: Deadline) -> list[Json]:
        return answered(lambda: self._kubectl.items(*words, deadline=deadline), self._soon(deadline), self._runtime)

    def _all_services(self, deadline: Deadline) -> list[Json]:
        return self._listed("services", deadline=deadline)

    def _named(self, service: str, deadline: Deadline) -> str:
        """Returns the name of the stage as if it were a service, with the container."""
        return f"{stages.name_of(service)}/{self._name_of(service, self._deployment(service, deadline))}"

    def _both(self, service: str, deadline: Deadline) -> Both:
        """Returns both releases. Raises `ChangedMeanwhile` where the stage is gone."""
        found = self._found(service, deadline)
        if found is None:
            raise _gone(service)
        return found

    def _found(self, service: str, deadline: Deadline) -> Both | None:
        """Returns both releases, or `None` where no stage stands."""
        standing = self._standing(service, deadline)
        if standing is None:
            return None
        first = self._first(service, deadline)
        owned = self._listed("replicasets,pods", "-l", workloads.selector(first), deadline=deadline)
        return stages.both(first, standing, self._all_services(deadline), owned)

    def _same(self, stage: Stage, deadline: Deadline) -> Both:
        both = self._both(stage.service, deadline)
        if stages.image_of(both.standing, self._name_of(stage.service, both.first)) != stage.target.image.pinned:
            raise _gone(stage.service)
        return both

    def _stage(self, both: Both, service: str) -> Stage:
        image = stages.image_of(both.standing, self._name_of(service, both.first))
        addresses = sorted(str((pod.get("status") or {}).get("podIP") or "") for pod in both.new)
        marks = both.standing["metadata"].get("annotations") or {}
        found = stage_labels.read(service, image, marks, stages.share(both), tuple(each for each in addresses if each))
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


def _ref(service: str) -> str:
    return f"deployment/{stages.name_of(service)}"


def _first_ref(service: str) -> str:
    return f"deployment/{service.partition('/')[0]}"


def _pin_patch(pin: str) -> Json:
    return {"spec": {"selector": {stages.PIN: pin or None}}}


def _gone(service: str) -> ChangedMeanwhile:
    return ChangedMeanwhile(
        service,
        f"Something else removed or replaced the stage of {service}.",
        fix="Roll out what ran before, which ends what is left of the stage, or this release again.",
    )
