"""Reads what became of a pod's container: what ended it, and whether the cluster could start it at all. Asks nothing."""

from __future__ import annotations

from dataclasses import replace

from cicd_actions.engines.kubectl import Json, container_status, failing_container
from cicd_actions.engines.staying_up import Cause, End, Uptime, cause_of, moment

_WAITS = {"", "ContainerCreating", "PodInitializing"}
_PULLS = {"ErrImagePull", "ImagePullBackOff"}
_NEVER = "1970-01-01T00:00:00Z"
"""Stands for a time that the kubelet lost with the container."""

_MISSING = ("not found", "manifest unknown", "does not exist")
"""What registries answer about an image that they do not have, in the words of the container runtimes."""


def uptime(pods: list[Json], container: str, arrived: float | None) -> Uptime:
    """Returns how the pods of one template did since the roll-out arrived, in seconds since 1970.

    `None` where Kubernetes does not tell when: then ends count of pods alone that are not ready now. Of each container it
    remembers the last end.
    """
    ended: list[End] = []
    for pod in pods:
        ready = _ready(pod)
        since = arrived if arrived is not None else float("inf") if ready.get("status") == "True" else 0.0
        ended += [end for end in _ends(pod, container) if end.at > since or end.cause is Cause.MEMORY]
    return Uptime(tuple(ended), sum(_failing(pod, container) for pod in pods))


def not_started(pod: Json, container: str) -> bool:
    """Whether the cluster could not start the pod, or took it away: no node, no sandbox, no volume, no image."""
    status = pod.get("status") or {}
    if status.get("reason"):
        return True  # evicted, or its node is lost or shut down
    of = container_status(pod, failing_container(pod, container))
    if of.get("restartCount") or of.get("lastState"):
        return False
    waiting = (of.get("state") or {}).get("waiting")
    if waiting is None:
        return not of and any(
            each.get("type") == "PodScheduled" and each.get("status") == "False" for each in status.get("conditions") or []
        )
    reason, message = str(waiting.get("reason", "")), str(waiting.get("message", ""))
    return reason in _WAITS or (reason in _PULLS and not any(words in message for words in _MISSING))


def _ends(pod: Json, container: str) -> list[End]:
    status = container_status(pod, container)
    state, last = status.get("state") or {}, (status.get("lastState") or {}).get("terminated")
    name, node = str(pod["metadata"]["name"]), str(pod["spec"].get("nodeName", ""))
    found: list[End] = []
    for ended in (state.get("terminated"), last):
        if ended:
            code, reason = ended.get("exitCode"), str(ended.get("reason", ""))
            # A liveness probe that fails ends a container as the node's shutdown does.
            cause = cause_of(code, out_of_memory=reason == "OOMKilled" or None, unhealthy=None)
            found.append(End(moment(ended.get("finishedAt") or _NEVER), cause, name, node, f"exit code {code}, {reason}"))
    if last and (state.get("waiting") or {}).get("reason") == "CrashLoopBackOff" and status.get("restartCount", 0) > 0:
        # The kubelet waits only where a container ended before, too.
        found.append(replace(found[-1], at=found[-1].at - 0.001))
    return found


def _failing(pod: Json, container: str) -> bool:
    """Whether the pod's container runs, and was ready before."""
    ready = _ready(pod)
    running = (container_status(pod, container).get("state") or {}).get("running")
    if running is None or ready.get("status") != "False":
        return False
    return moment(ready["lastTransitionTime"]) > moment(running["startedAt"])


def _ready(pod: Json) -> Json:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return next((dict(each) for each in conditions if each.get("type") == "Ready"), {})
