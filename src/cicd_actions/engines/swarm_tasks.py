"""A Swarm service's tasks: which replicas run which image, which failed, and what the failed ones said."""

from __future__ import annotations

from collections.abc import Sequence

from cicd_actions.engines.docker_api import DockerApi, Json, last_lines, moment
from cicd_actions.engines.protocol import Evidence

FAILED = {"failed", "rejected", "orphaned"}
"""States of tasks that did not work: https://docs.docker.com/engine/swarm/how-swarm-mode-works/swarm-task-states/"""

_ENDED = FAILED | {"complete"}
"""A service's replica that ended by itself: one that Swarm ended for its health exits with 0 when it obeys SIGTERM."""


class Tasks:
    """The tasks behind one Swarm's services."""

    def __init__(self, api: DockerApi) -> None:
        self._api = api

    def of(self, service: str) -> list[Json]:
        """Every task of a service (by id) that Swarm still remembers, the newest first."""
        found: list[Json] = self._api.client.tasks(filters={"service": service})
        return sorted(found, key=lambda task: (task["CreatedAt"], task["Version"]["Index"]), reverse=True)

    def replicas(self, service: Json, image: str = "") -> tuple[int, int]:
        """How many replicas run (of `image`, where given), and how many are wanted."""
        with self._api.asking("ask how the replicas are"):
            tasks = self.of(service["ID"])
        return len(_up(tasks, image)), _wanted(service, tasks)

    def all_run(self, tasks: Sequence[Json], service: Json) -> bool:
        """Whether as many replicas as wanted run the service's image, and no other replica is left."""
        image = service["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"]
        return len(_up(tasks, image)) == len(_up(tasks, "")) == _wanted(service, tasks)

    def first_failure(self, tasks: Sequence[Json], image: str) -> Evidence | None:
        """What the newest failed replica of an image said; `None` while none has failed."""
        failed = [task for task in tasks if task["Status"]["State"] in _ENDED and _image(task) == image]
        return self.evidence(failed[0]) if failed else None

    def ended(self, service: Json, image: str) -> tuple[float, ...]:
        """When replicas of an image ended by themselves, in seconds since 1970."""
        with self._api.asking("ask which replicas ended"):
            tasks = self.of(service["ID"])
        return tuple(
            moment(task["Status"]["Timestamp"]) for task in tasks if task["Status"]["State"] in _ENDED and _image(task) == image
        )

    def newest_failing(self, service: str) -> Json | None:
        """The newest task that failed, else the newest that is not up, else the newest."""
        with self._api.asking("look at the replicas"):
            tasks = self.of(service)
        for chosen in (
            [task for task in tasks if task["Status"]["State"] in _ENDED],
            [task for task in tasks if task["DesiredState"] == "running" and task["Status"]["State"] != "running"],
            tasks,
        ):
            if chosen:
                return chosen[0]
        return None

    def evidence(self, task: Json, lines: int = 50) -> Evidence:
        """What one task said: Swarm's word, its health checks, its last lines."""
        status = task["Status"]
        reason = f"Swarm says of the replica: {status['State']}, {status.get('Err') or status.get('Message', '')}."
        container = (status.get("ContainerStatus") or {}).get("ContainerID", "")
        if not container:
            return Evidence(reason=reason, log="It never got as far as a container.")
        if self._api.container(container) is not None:
            return self._api.evidence(container, reason=reason, lines=lines)
        # On another node: its health log stays there, the manager fetches the lines of the service's replicas.
        return Evidence(reason=reason, log=last_lines(self._api, "/services/{0}/logs", task["ServiceID"], lines))

    def health_checked(self, spec: Json) -> bool:
        """Whether the service, or its image as far as this engine has it, brings a health check."""
        container = spec["TaskTemplate"]["ContainerSpec"]
        own = (container.get("Healthcheck") or {}).get("Test")
        if own:
            return bool(own != ["NONE"])
        image = self._api.local_image(container["Image"])
        if image is None:
            return True  # only the nodes that run it know
        test = ((image.get("Config") or {}).get("Healthcheck") or {}).get("Test") or []
        return bool(test) and test != ["NONE"]

    def job_end(self, service: str) -> tuple[int | None, str] | None:
        """How a job's one task ended: its exit code (`None` where it never ran) and Swarm's word; `None` while it has not."""
        with self._api.asking("ask how the job is"):
            tasks = self.of(service)
        if not tasks:
            return None
        status = tasks[0]["Status"]
        if status["State"] == "complete":
            return 0, ""
        if status["State"] not in FAILED:
            return None
        container = status.get("ContainerStatus") or {}
        if "starting container failed" in str(status.get("Err")):
            return None, str(status["Err"])
        return (container.get("ExitCode") if container.get("ContainerID") else None), str(status.get("Err", ""))


def _up(tasks: Sequence[Json], image: str) -> list[Json]:
    return [
        task
        for task in tasks
        if task["DesiredState"] == "running" and task["Status"]["State"] == "running" and image in {"", _image(task)}
    ]


def _wanted(service: Json, tasks: Sequence[Json]) -> int:
    mode = service["Spec"]["Mode"]
    if "Replicated" in mode:
        return int(mode["Replicated"].get("Replicas", 1))
    # On each node, while one replica stops, its successor waits as `ready`.
    return sum(task["DesiredState"] in {"running", "ready"} for task in tasks)


def _image(task: Json) -> str:
    return str(task["Spec"]["ContainerSpec"]["Image"])
