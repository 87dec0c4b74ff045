"""What a Swarm's tasks tell: whether all replicas run an image, and what ended those that do not."""

from __future__ import annotations

import io
from typing import Any

import pytest

from cicd_actions.engines.docker_api import DockerApi
from cicd_actions.engines.staying_up import Cause
from cicd_actions.engines.swarm_tasks import Tasks
from cicd_actions.toolkit.runtime import Runtime

NEW, OLD = "registry.test/api@sha256:2", "registry.test/api@sha256:1"


def task(image: str, desired: str, state: str) -> dict[str, Any]:
    return {"DesiredState": desired, "Status": {"State": state}, "Spec": {"ContainerSpec": {"Image": image}}}


@pytest.mark.parametrize(
    ("tasks", "expected"),
    [
        ([], True),
        ([(OLD, "running", "running")], False),
        # The old replica stops, and the new one waits for that.
        ([(OLD, "shutdown", "running"), (NEW, "ready", "ready")], False),
        # The new replica failed, and the next one was not started yet.
        ([(OLD, "shutdown", "shutdown"), (NEW, "shutdown", "failed"), (NEW, "ready", "pending")], False),
        ([(OLD, "shutdown", "shutdown"), (NEW, "running", "starting")], False),
        ([(OLD, "shutdown", "shutdown"), (NEW, "running", "running")], True),
        ([(NEW, "running", "running"), (OLD, "running", "running")], False),
    ],
)
def test_all_run_of_a_global_service_counts_replicas_that_are_about_to_start(
    tasks: list[tuple[str, str, str]], expected: bool
) -> None:
    service = {"Spec": {"Mode": {"Global": {}}, "TaskTemplate": {"ContainerSpec": {"Image": NEW}}}}
    found = Tasks(DockerApi(Runtime({}, io.StringIO())))
    assert found.all_run([task(*each) for each in tasks], service) is expected


class Engine(DockerApi):
    """An engine that has these containers."""

    def __init__(self, containers: dict[str, dict[str, Any]]) -> None:
        super().__init__(Runtime({}, io.StringIO()))
        self._containers = containers

    def container(self, name: str) -> dict[str, Any] | None:
        return self._containers.get(name)


def ended(state: str, err: str, code: int = 0, *, there: bool = True, message: str = "started") -> dict[str, Any]:
    status = {"State": state, "Message": message, "Err": err, "Timestamp": "2026-11-28T20:00:00Z"}
    return {"Slot": 1, "Status": {**status, "ContainerStatus": {"ContainerID": "c" if there else "d", "ExitCode": code}}}


def container(*, oom: bool = False, streak: int = 0, retries: int = 2) -> dict[str, Any]:
    # The engine says `unhealthy` of every container that ended.
    health = {"Status": "unhealthy", "FailingStreak": streak}
    return {"Config": {"Healthcheck": {"Retries": retries}}, "State": {"OOMKilled": oom, "Health": health, "Running": False}}


@pytest.mark.parametrize(
    ("found", "here", "cause"),
    [
        (ended("failed", "task: non-zero exit (137)", 137), container(oom=True), Cause.MEMORY),
        (ended("failed", "task: non-zero exit (137)", 137), container(), Cause.OUTSIDE),
        (ended("failed", "task: non-zero exit (137)", 137, there=False), container(), Cause.UNKNOWN),
        (ended("failed", "task: non-zero exit (137): dockerexec: unhealthy container", 137, there=False), {}, Cause.OWN),
        (ended("failed", "task: non-zero exit (1)", 1), container(), Cause.OWN),
        (ended("complete", "", message="finished"), container(streak=2), Cause.OWN),
        (ended("complete", "", message="finished"), container(streak=1), Cause.UNKNOWN),
        (ended("failed", 'starting container failed: OCI runtime create failed: exec: "x": not found', 127), {}, Cause.OWN),
        (ended("failed", "starting container failed: unable to find user app: no matching entries", 128), {}, Cause.OWN),
        (ended("failed", "starting container failed: network sandbox for container 0a does not exist", 128), {}, Cause.OUTSIDE),
        (ended("failed", "starting container failed: Address already in use", 128), {}, Cause.OUTSIDE),
        (
            ended("failed", "starting container failed: failed to create endpoint x on network y: timeout", 128),
            {},
            Cause.OUTSIDE,
        ),
        (ended("rejected", "No such image: registry.test/api@sha256:2"), {}, Cause.OUTSIDE),
        (ended("rejected", 'invalid mount config for type "bind": bind source path does not exist'), {}, Cause.OUTSIDE),
        (ended("rejected", "assigned node no longer meets constraints"), {}, Cause.OUTSIDE),
        (ended("orphaned", ""), {}, Cause.OUTSIDE),
    ],
)
def test_end_of_a_task_tells_the_release_from_the_engine(found: dict[str, Any], here: dict[str, Any], cause: Cause) -> None:
    assert Tasks(Engine({"c": here} if here else {})).end(found).cause is cause
