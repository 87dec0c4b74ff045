"""Reads and changes the objects of a stage on Kubernetes, one at a time: each change brings an object to a state.

So a change that is made again changes nothing, and one whose answer was lost is found done.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from cicd_actions.engines import kubernetes_rollout as rollouts
from cicd_actions.engines import kubernetes_route as routes
from cicd_actions.engines import kubernetes_stage as stages
from cicd_actions.engines import kubernetes_workload as workloads
from cicd_actions.engines.kubectl import Conflict, Json, NotFound
from cicd_actions.engines.kubernetes import Kubernetes
from cicd_actions.engines.kubernetes_stage import Both
from cicd_actions.engines.patience import answered
from cicd_actions.engines.protocol import (
    ChangedMeanwhile,
    EngineUnreachable,
    Refused,
    RollOutFailed,
)
from cicd_actions.engines.stage_labels import STAGE
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import Failed

POLL = 0.3

PATIENCE = 60.0
"""Seconds in which the API server has to answer a change: it may be restarting, and the answer to a change may be lost."""

TAKEN = 30.0
"""Seconds in which the gateways have to take the weights of an HTTPRoute."""

_PROGRESS = 600.0
"""Seconds of the progress deadline of a Deployment that names none:
https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#progress-deadline-seconds"""

ROLLING = "    with:\n      strategy: rolling"


class StageObjects(Kubernetes):
    """The engine, with what it needs for a second Deployment beside each service's own."""

    def _first(self, service: str, deadline: Deadline) -> Json:
        """Returns the service's own Deployment. Raises `Refused` for another kind."""
        found = self._deployment(service, deadline)
        if found["kind"] != "Deployment":
            raise Refused(
                f"Cannot stage {workloads.ref(found)}: only a Deployment can have a second one beside it.",
                cause="Argo Rollouts divides the traffic itself, by the Rollout's own steps."
                if found["kind"] == rollouts.KIND
                else f"A {found['kind']} numbers its pods, or puts one on each node.",
                fix=ROLLING,
            )
        return found

    def _make_services(self, both: Both, deadline: Deadline) -> None:
        """Creates the Services by which a route reaches the stage's pods, where there is a route."""
        for each in both.services if route_of(both) is not None else ():
            self._make_service(routes.service_beside(each, str(both.first["metadata"]["name"])), deadline)

    def _make_service(self, body: Json, deadline: Deadline) -> None:
        """Creates the Service of the stage's pods. Raises `Refused` where something else has its name."""
        name = f"service/{body['metadata']['name']}"
        try:
            answered(lambda: self._kubectl.create(body, deadline=deadline), self._soon(deadline), self._runtime)
        except Failed as error:
            found = self._kubectl.get(name, deadline=deadline)
            if found["spec"].get("selector") != body["spec"]["selector"]:
                raise Refused(f"Cannot stage: {name} is there already.", cause=error.what, fix="Rename it.") from None

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
            f"Cannot stage {service}: {ref(service)} is there already.",
            cause=cause,
            fix="If it is a stage, roll out what runs now, which abandons it. Else rename it:\n\n    "
            + self._kubectl.by_hand("describe", ref(service)),
        )

    def _hold(self, service: str, deadline: Deadline, first: Json | None = None) -> Json:
        """Pauses the first Deployment, with a mark that says why. Returns it as it is then."""
        held = {"metadata": {"annotations": {STAGE: stages.name_of(service)}}, "spec": {"paused": True}}

        def patch(now: Json) -> Json | None:
            return None if stages.is_held(now) and now["spec"].get("paused") else held

        return self._set(first_ref(service), patch, deadline, now=first)

    def _resume(self, service: str, deadline: Deadline, *, whole: bool, first: Json | None = None) -> None:
        """Lets the first Deployment replace its pods again; `whole`: and takes the mark off."""

        def patch(now: Json) -> Json | None:
            if not stages.is_held(now) or (not whole and not now["spec"].get("paused")):
                return None
            return {**({"metadata": {"annotations": {STAGE: None}}} if whole else {}), "spec": {"paused": None}}

        self._set(first_ref(service), patch, deadline, now=first)

    def _pin(self, both: Both, pin: str, deadline: Deadline) -> Both:
        """Lets each Service choose the pods of one release, or of both. Returns what they are then.

        Raises `RollOutFailed` where a Service would choose none.
        """
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
        return dataclasses.replace(both, services=[self._set_pin(each, pin, deadline) for each in both.services])

    def _set_pin(self, service: Json, pin: str, deadline: Deadline) -> Json:
        name, own = str(service["metadata"]["name"]), stages.selector_of(service)

        def patch(now: Json) -> Json | None:
            if stages.selector_of(now) != own:
                raise ChangedMeanwhile(name, f"Something else changed the selector of the Service {name}. It was left.")
            return pin_patch(pin) if stages.pin_of(now) != pin else None

        try:
            return self._set(f"service/{name}", patch, deadline, now=service)
        except NotFound:  # a Service that somebody deleted has no traffic
            return service

    def _scale(self, service: str, replicas: int, deadline: Deadline) -> None:
        """Waits until the stage has exactly this number of pods, and all are available. Raises `RollOutFailed`."""

        def patch(now: Json) -> Json | None:
            return {"spec": {"replicas": replicas}} if workloads.wanted(now) != replicas else None

        named = self._named(service, deadline)
        found = self._set(ref(service), patch, deadline)
        # The progress deadline of a Deployment does not apply to a change of its scale.
        limit = float(found["spec"].get("progressDeadlineSeconds") or _PROGRESS)
        deadline = Deadline(deadline.timeout(limit), self._runtime.clock)
        images = workloads.images(found, [each["name"] for each in found["spec"]["template"]["spec"]["containers"]])
        found = self._arrived(named, ref(service), images, deadline)
        while int((found.get("status") or {}).get("replicas", 0)) != replicas:
            deadline.check(f"scaling {ref(service)}")
            self._runtime.sleep(deadline.timeout(POLL))
            found = self._deployment(named, deadline)

    def _divide(self, route: routes.Route | None, percent: float, deadline: Deadline) -> None:
        """Sets the weights of the route, and waits until its gateways have taken them.

        Raises `EngineUnreachable`, and `ChangedMeanwhile` where somebody deleted the route that should give a part.
        """
        if route is None:
            return

        def patch(now: Json) -> Json | None:
            rules = routes.rules(now, route, percent)
            return {"spec": {"rules": rules}} if rules != now["spec"].get("rules") else None

        try:
            found = self._set(route.ref, patch, deadline, kind="merge")
        except NotFound:
            if not percent:
                return
            raise ChangedMeanwhile(route.name, f"Something else deleted the HTTPRoute {route.name}.") from None
        limit = Deadline(deadline.timeout(TAKEN), self._runtime.clock)
        while not routes.taken(found):
            if limit.expired:
                raise EngineUnreachable(
                    f"Could not divide the traffic: a gateway has not taken the weights of the HTTPRoute {route.name}.",
                    fix=f"See its status: {self._kubectl.by_hand('describe', route.ref)}",
                )
            self._runtime.sleep(limit.timeout(POLL))
            found = answered(lambda: self._kubectl.get(route.ref, deadline=deadline), limit, self._runtime)

    def _set(
        self,
        name: str,
        patch: Callable[[Json], Json | None],
        deadline: Deadline,
        *,
        kind: str = "strategic",
        now: Json | None = None,
    ) -> Json:
        """Brings an object to a state: patches what differs, and again where somebody else was faster.

        `now` is the object as it was just read, which saves a request. A change whose answer was lost is found done. Returns
        the object as it is then.
        """
        known = [now] if now is not None else []

        def once() -> Json:
            while True:
                here = known.pop() if known else self._kubectl.get(name, deadline=deadline)
                body = patch(here)
                if body is None:
                    return here
                metadata = {**body.get("metadata", {}), "resourceVersion": here["metadata"]["resourceVersion"]}
                try:
                    return self._kubectl.patch(name, {**body, "metadata": metadata}, deadline=deadline, kind=kind)
                except Conflict:
                    deadline.check(f"changing {name}")

        return answered(once, self._soon(deadline), self._runtime)

    def _soon(self, deadline: Deadline) -> Deadline:
        return Deadline(deadline.timeout(PATIENCE), self._runtime.clock)

    def _removed(self, *words: str, deadline: Deadline) -> None:
        """Removes what the words name and what that owns: an orphan would be adopted by the first Deployment."""
        answered(lambda: self._kubectl.call(*words, deadline=deadline), self._soon(deadline), self._runtime)

    def _look(self, service: str, deadline: Deadline) -> Json | None:
        try:
            return answered(lambda: self._kubectl.get(ref(service), deadline=deadline), self._soon(deadline), self._runtime)
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
            raise gone(service)
        return found

    def _found(self, service: str, deadline: Deadline) -> Both | None:
        """Returns both releases, or `None` where no stage stands."""
        names = (service.partition("/")[0], stages.name_of(service))
        listed = self._listed("deployment", *names, "--ignore-not-found", deadline=deadline)
        found = {str(each["metadata"]["name"]): each for each in listed}
        standing = found.get(names[1])
        if standing is None or not stages.is_stage_of(standing, service):
            return None
        first = found.get(names[0]) or self._first(service, deadline)
        return stages.both(first, standing, self._all_services(deadline), self._owned(first, deadline))

    def _owned(self, first: Json, deadline: Deadline) -> list[Json]:
        """Returns the ReplicaSets and pods that the first Deployment's selector chooses: those of the stage are among them."""
        return self._listed("replicasets,pods", "-l", workloads.selector(first), deadline=deadline)


def gone(service: str) -> ChangedMeanwhile:
    return ChangedMeanwhile(
        service,
        f"Something else removed or replaced the stage of {service}.",
        fix="Roll out what ran before, which ends what is left of the stage, or this release again.",
    )


def ref(service: str) -> str:
    return f"deployment/{stages.name_of(service)}"


def first_ref(service: str) -> str:
    return f"deployment/{service.partition('/')[0]}"


def pin_patch(pin: str) -> Json:
    return {"spec": {"selector": {stages.PIN: pin or None}}}


def route_of(both: Both) -> routes.Route | None:
    return routes.read(str((both.standing["metadata"].get("annotations") or {}).get(routes.ROUTE, "")))
