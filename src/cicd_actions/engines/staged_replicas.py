"""Staged releases on a Swarm without a proxy: the traffic is shared by the counts of the replicas.

Clients ask Docker's DNS for the service's name and get the addresses of all replicas that have it. Those of the stage get the
name with their first share, in place of replicas that have only `NAME-next`: a replica's names cannot change. Swarm adds the
names of a replica once it is healthy, and takes them back two seconds before it stops it:
https://github.com/moby/moby/blob/v20.10.24/daemon/cluster/executor/container/controller.go
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import NoReturn

from cicd_actions.engines import replica_share, swarm_spec
from cicd_actions.engines.docker_client import Json
from cicd_actions.engines.protocol import Refused, RollOutFailed, Target
from cicd_actions.engines.stage_labels import SUFFIX, UNTIL
from cicd_actions.engines.staged_beside import Beside
from cicd_actions.engines.staged_protocol import WITHOUT_PROXY, Stage
from cicd_actions.engines.staged_swarm import SwarmStages, running
from cicd_actions.engines.swarm import POLL
from cicd_actions.toolkit.deadline import Deadline

ROLLING = "    with:\n      strategy: rolling"
PROXY = "    with:\n      proxy: proxy"


class SwarmByReplicas(SwarmStages, Beside):
    """See `staged_protocol.Weighted`. The share of the new release is that of its replicas that have the service's names."""

    strategies: tuple[str, ...] = (WITHOUT_PROXY["swarm"],)
    without_bake = "There is no bake: without a proxy, the new release has all of the traffic only once the old one is gone."
    divided_by = "replicas"

    def smallest(self, stage: Stage, deadline: Deadline) -> float:
        self._api.deadline = deadline
        return replica_share.smallest(wanted(self._existing(stage.service)["Spec"]))

    def weigh(self, stage: Stage, percent: float, deadline: Deadline) -> Stage:
        self._api.deadline = deadline
        service = stage.service
        self._same(stage)
        first = self._existing(service)["Spec"]
        self._edit(service + SUFFIX, lambda spec: sharing(spec, first, service, percent, self._monitor))

        def arrived(tasks: Sequence[Json], state: Json) -> bool:
            return self._tasks.all_run(tasks, state) and all(
                task["Spec"].get("Networks") == state["Spec"]["TaskTemplate"].get("Networks") for task in running(tasks)
            )

        try:
            self._await_stage(stage.target, deadline, arrived, "The old release still has its part of the traffic.", again=True)
        except RollOutFailed as failure:
            failure.reverted = False
            raise
        return self._stage(service)

    def _refuse(self, target: Target) -> None:
        service = target.service
        spec = self._existing(service)["Spec"]
        endpoint = spec.get("EndpointSpec") or {}

        def refused(why: str, fix: str) -> NoReturn:
            raise Refused(f"Cannot share the traffic of {service} by its replicas: {why}.", fix=fix)

        if "Replicated" not in spec["Mode"]:
            refused("it is not a replicated service", ROLLING)
        if not spec["TaskTemplate"].get("Networks"):
            refused("it is on no network on which its name leads to it", ROLLING)
        if endpoint.get("Ports"):
            refused("clients that come by its published port reach only the service itself", PROXY)
        if endpoint.get("Mode", "vip") != "dnsrr":
            refused(
                "its name leads to one virtual address a service, so both releases would get half of the traffic",
                f"    deploy:\n      endpoint_mode: dnsrr\n\nOr let a proxy divide it:\n\n{PROXY}",
            )
        if not self._tasks.health_checked(swarm_spec.with_image(spec, target.image.pinned, target.sha)):
            refused(
                "it has no health check, so a replica would get requests before it can answer them",
                '    HEALTHCHECK --interval=5s CMD ["curl", "-fsS", "http://127.0.0.1:8000/health/ready"]',
            )

    def _share(self, service: str) -> float:
        first, stage = self._existing(service), self._look(service + SUFFIX)
        with self._api.asking(f"count the replicas of {service}"):
            here = running(self._tasks.of(first["ID"]))
            beside = running(self._tasks.of(stage["ID"])) if stage else []
        joined = [task for task in beside if has_names(task["Spec"], first["Spec"])]
        # In a promotion, replicas of the service itself are of the new release one after the other.
        image = swarm_spec.image(stage["Spec"]) if stage else ""
        promoted = [task for task in here if swarm_spec.same(str(task["Spec"]["ContainerSpec"]["Image"]), image)]
        return replica_share.percent(len(joined) + len(promoted), len(here) - len(promoted))

    def _take_away(self, service: str, patience: float) -> None:
        """Ends the replicas of the stage, which lose their names first, then removes it."""
        if self._own(service) is None:
            return
        self._edit(service + SUFFIX, emptied)
        drain = Deadline(patience, self._runtime.clock)
        while not drain.expired and any(task["Status"]["State"] == "running" for task in self._left(service)):
            self._runtime.sleep(drain.timeout(POLL))
        self._remove_stage(service)

    def _left(self, service: str) -> list[Json]:
        with self._api.asking(f"look for the replicas of the stage of {service}"):
            state = self._look(service + SUFFIX)
            return self._tasks.of(state["ID"]) if state is not None else []


def wanted(spec: Json) -> int:
    """Returns how many replicas a service wants."""
    return int((spec["Mode"].get("Replicated") or {}).get("Replicas", 1))


def sharing(stage: Json, first: Json, service: str, percent: float, monitor: int) -> Json:
    """Returns the stage's specification with replicas for a share of the traffic, in percent, and the names that get it.

    Replicas with other names take the place of those that run, all at once, each once its successor is healthy. `monitor` are
    nanoseconds. The old replicas are those that the first service wants.
    """
    changed = copy.deepcopy(stage)
    if percent:
        changed["Mode"] = {"Replicated": {"Replicas": replica_share.replicas(percent, wanted(first))}}
    names = _names(first)
    for network in changed["TaskTemplate"].get("Networks") or []:
        network["Aliases"] = [service + SUFFIX, *(names.get(network["Target"], []) if percent else [])]
    changed["UpdateConfig"] = {
        "Parallelism": 0,
        "Order": "start-first",
        "FailureAction": "pause",
        "MaxFailureRatio": 0,
        "Monitor": monitor,
    }
    return changed


def emptied(stage: Json) -> Json:
    """Returns the stage's specification without replicas. Without its time, it counts as expired: the next run removes it."""
    changed = copy.deepcopy(stage)
    changed["Mode"] = {"Replicated": {"Replicas": 0}}
    changed["Labels"] = {name: text for name, text in changed["Labels"].items() if name != UNTIL}
    return changed


def has_names(replica: Json, first: Json) -> bool:
    """Whether a replica of the stage has a name of the first service, by which clients reach it."""
    names = _names(first)
    return any(
        set(network.get("Aliases") or []) & set(names.get(network["Target"], [])) for network in replica.get("Networks") or []
    )


def _names(first: Json) -> dict[str, list[str]]:
    """Returns the names by which clients reach a service, by network: its aliases, and its own name."""
    return {
        network["Target"]: list(dict.fromkeys([*(network.get("Aliases") or []), first["Name"]]))
        for network in first["TaskTemplate"].get("Networks") or []
    }
