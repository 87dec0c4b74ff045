"""How many replicas of a Swarm's service are wanted, and whether all of them run its image."""

from __future__ import annotations

import io
from typing import Any

import pytest

from cicd_actions.engines.docker_api import DockerApi
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
