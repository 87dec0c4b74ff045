"""What a pod's status tells: whether its container stays up, and whether the cluster could start it."""

from __future__ import annotations

from typing import Any

import pytest

from cicd_actions.engines import kubernetes_pods as pods
from cicd_actions.engines.staying_up import Cause, moment, proven

ARRIVED = moment("2026-11-28T20:00:00Z")


def at(minute: int, second: int = 0) -> str:
    return f"2026-11-28T20:{minute:02}:{second:02}Z"


def ended(minute: int, code: int = 1, reason: str = "Error") -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason, "finishedAt": at(minute)}}


RUNNING = {"running": {"startedAt": at(2)}}
LOOP = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container"}}


def pod(name: str = "api-1", *, ready: bool = True, since: int = 2, scheduled: bool = True, **status: Any) -> dict[str, Any]:
    conditions = [
        {"type": "Ready", "status": str(ready), "lastTransitionTime": at(since, 1)},
        {"type": "PodScheduled", "status": str(scheduled)},
    ]
    here = [{"name": "api", **status}] if status else []
    return {
        "metadata": {"name": name},
        "spec": {"nodeName": "node-1"},
        "status": {"conditions": conditions, "containerStatuses": here},
    }


@pytest.mark.parametrize(
    ("last", "cause"),
    [
        (ended(1, 137, "OOMKilled"), Cause.MEMORY),
        (ended(1, 1), Cause.OWN),
        (ended(1, 143), Cause.UNKNOWN),  # a liveness probe, or the node's shutdown
        (ended(1, 0, "Completed"), Cause.UNKNOWN),
    ],
)
def test_uptime_of_a_restarted_container_tells_why_it_ended(last: dict[str, Any], cause: Cause) -> None:
    (end,) = pods.uptime([pod(state=RUNNING, lastState=last, restartCount=1)], "api", ARRIVED).ended
    assert (end.cause, end.at, end.replica) == (cause, moment(at(1)), "api-1")


def test_uptime_leaves_out_what_ended_before_the_roll_out_arrived() -> None:
    retried = pod(state=RUNNING, lastState=ended(1), restartCount=3)
    assert pods.uptime([retried], "api", moment(at(1, 30))).ended == ()
    # A StatefulSet does not tell when it arrived: a pod that is ready now was starting.
    assert pods.uptime([retried], "api", None).ended == ()
    assert len(pods.uptime([pod(ready=False, state=LOOP, lastState=ended(1), restartCount=3)], "api", None).ended) == 2
    # A start that needs more memory than the limit is not the fault of a dependency.
    assert pods.uptime([pod(state=RUNNING, lastState=ended(1, 137, "OOMKilled"))], "api", None).ended


def test_uptime_of_a_container_in_a_crash_loop_proves_that_it_does_not_stay_up() -> None:
    looping = pod(ready=False, state=LOOP, lastState=ended(1), restartCount=2)
    assert proven(pods.uptime([looping], "api", ARRIVED).ended)
    assert not proven(pods.uptime([pod(state=RUNNING, lastState=ended(1), restartCount=1)], "api", ARRIVED).ended)


def test_uptime_counts_pods_that_were_ready_before_as_failing() -> None:
    failing = pod(ready=False, since=5, state=RUNNING)
    starting = pod("api-2", ready=False, since=1, state=RUNNING)
    assert pods.uptime([failing, starting, pod("api-3", state=RUNNING)], "api", ARRIVED).failing == 1


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"state": {"waiting": {"reason": reason, "message": message}}}


@pytest.mark.parametrize(
    ("found", "clusters"),
    [
        (pod(ready=False, scheduled=False), True),
        (pod(ready=False, **waiting("ContainerCreating")), True),
        (pod(ready=False, **waiting("ImagePullBackOff", "Back-off pulling image: dial tcp: i/o timeout")), True),
        (pod(ready=False, **waiting("ErrImagePull", "manifest unknown")), False),
        (pod(ready=False, **waiting("CrashLoopBackOff"), restartCount=2, lastState=ended(1)), False),
        (pod(ready=False, **waiting("CreateContainerConfigError", 'secret "x" not found')), False),
        (pod(ready=False, **waiting("RunContainerError", "exec: not found")), False),
        (pod(ready=False, state=RUNNING), False),
    ],
)
def test_not_started_is_the_cluster_s_fault_only_where_no_container_ran(found: dict[str, Any], clusters: bool) -> None:
    assert pods.not_started(found, "api") is clusters


def test_not_started_of_a_pod_that_its_node_took_away() -> None:
    evicted = pod(ready=False, state=ended(1, 137))
    evicted["status"] |= {"phase": "Failed", "reason": "Evicted"}
    assert pods.not_started(evicted, "api")
