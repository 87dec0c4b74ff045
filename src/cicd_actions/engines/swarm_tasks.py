"""A Swarm service's tasks: which replicas run which image, which failed, and what the failed ones said."""

from __future__ import annotations

from collections.abc import Sequence

from cicd_actions.engines import docker_ends
from cicd_actions.engines.docker_api import DockerApi, last_lines
from cicd_actions.engines.docker_client import Json
from cicd_actions.engines.protocol import Evidence
from cicd_actions.engines.staying_up import Cause, End, Uptime, cause_of, moment, proven

FAILED = {"failed", "rejected", "orphaned"}
"""States of tasks that did not work: https://docs.docker.com/engine/swarm/how-swarm-mode-works/swarm-task-states/"""

_ENDED = FAILED | {"complete"}
"""A service's replica that ended by itself: one that Swarm ended for its health exits with 0 when it obeys SIGTERM."""

_RAN = "task: non-zero exit"
"""Begins Swarm's error of a task whose program ran. Any other error is about starting it.
https://github.com/moby/moby/blob/v20.10.24/daemon/cluster/executor/container/errors.go"""

_UNHEALTHY = "unhealthy container"

_STARTING = {"preparing", "ready", "starting"}
"""Swarm's messages of a task that ended before it was healthy: the message stays that of the state before."""

_NOT_EXECUTABLE = {126, 127}
"""The exit codes of a container whose program cannot be started: https://docs.docker.com/engine/containers/run/#exit-status"""


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
        """Whether as many replicas as wanted run the service's image, and no other replica is left.

        A forced update changes no image, so no replica may be older than the last one either.
        """
        image = service["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"]
        return len(_up(tasks, image)) == len(_up(tasks, "")) == _wanted(service, tasks) and _forced(tasks, service)

    def ended(self, tasks: Sequence[Json], image: str) -> list[Json]:
        """The tasks of an image that ended by themselves, the newest first."""
        return [task for task in tasks if task["Status"]["State"] in _ENDED and _image(task) == image]

    def end(self, task: Json) -> End:
        """How one of these tasks ended."""
        status, ended = task["Status"], moment(task["Status"]["Timestamp"])
        said = str(status.get("Err") or status.get("Message", ""))
        container = status.get("ContainerStatus") or {}
        code, identity = container.get("ExitCode"), str(container.get("ContainerID", ""))
        if status["State"] == "complete" or said.startswith(_RAN):
            # Only the task's own node has the container, and Swarm keeps few of those that ended.
            here = self._api.container(identity) if identity else None
            memory, unhealthy = docker_ends.ended_by(here) if here else (None, None)
            unhealthy = unhealthy or _UNHEALTHY in said
            cause = cause_of(code or 0, out_of_memory=memory, unhealthy=unhealthy)
            said = "out of memory" if cause is Cause.MEMORY else "its health checks failed" if unhealthy else said
        else:
            wrong = code in _NOT_EXECUTABLE or "unable to find user" in said or "unable to find group" in said
            cause = Cause.OWN if wrong else Cause.OUTSIDE
        node = str(task.get("NodeID", ""))
        return End(ended, cause, str(task.get("Slot") or node), node, said)

    def uptime(self, service: str, image: str) -> Uptime:
        """How the replicas of an image did since the first of each slot was healthy."""
        with self._api.asking("ask which replicas ended"):
            tasks = self.of(service)
        ended = sorted(self.ended(tasks, image), key=lambda task: str(task["Status"]["Timestamp"]))
        ends: list[End] = []
        for task in ended:
            end = self.end(task)
            if task["Status"].get("Message") not in _STARTING or any(each.replica == end.replica for each in ends):
                ends.append(end)
        identities = [str((task["Status"].get("ContainerStatus") or {}).get("ContainerID", "")) for task in _up(tasks, image)]
        here = [self._api.container(identity) for identity in identities if identity]
        return Uptime(tuple(ends), sum(docker_ends.failing(state) for state in here if state is not None))

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


class Failures:
    """The replicas of an image that end during a roll-out.

    Each is looked at when it is seen first: Swarm keeps few of them, and removes their containers with them.
    """

    def __init__(self, tasks: Tasks, image: str, before: Sequence[Json] = ()) -> None:
        self._tasks = tasks
        self._image = image
        self._known = {str(task["ID"]) for task in tasks.ended(before, image)}
        self._found: list[tuple[End, Evidence]] = []

    def look(self, service: str) -> list[Json]:
        """Remembers those that ended since the last look. Returns every task of the service (by id)."""
        tasks = self._tasks.of(service)
        for task in self._tasks.ended(tasks, self._image):
            if str(task["ID"]) not in self._known:
                self._found.append((self._tasks.end(task), self._tasks.evidence(task)))
                self._known.add(str(task["ID"]))
        return tasks

    @property
    def evidence(self) -> Evidence | None:
        """What the first that failed by itself said, else the first of all; `None` while none ended."""
        ranked = sorted(self._found, key=lambda found: found[0].cause not in {Cause.MEMORY, Cause.OWN})
        return ranked[0][1] if ranked else None

    @property
    def proven(self) -> bool:
        """Whether they prove that the release does not come up. One that failed by itself is enough."""
        ends = [end for end, _ in self._found]
        return any(end.cause is Cause.OWN for end in ends) or proven(ends)

    @property
    def doubtful(self) -> bool:
        """Whether some ended, and none of them proves anything."""
        return bool(self._found) and not self.proven


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


def _forced(tasks: Sequence[Json], service: Json) -> bool:
    wanted = service["Spec"]["TaskTemplate"].get("ForceUpdate", 0)
    return all(task["Spec"].get("ForceUpdate", 0) == wanted for task in tasks if task["DesiredState"] == "running")


def _image(task: Json) -> str:
    return str(task["Spec"]["ContainerSpec"]["Image"])
