"""The end of a record asks a real Swarm whether the release stays up: a proxy hides a crash loop from the gate."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docker.types
import pytest

from cicd_actions.engines.staying_up import moment, moments
from tests.fakes.github import FakeGitHub, deployments, settings
from tests.harness.releases import REPOSITORY, Ended, step
from tests.harness.stack import Built, Images, Stack

pytestmark = [pytest.mark.docker, pytest.mark.swarm]
SECOND = 1_000_000_000
UNCHECKED = {"test": ["NONE"]}
"""Without a health check a replica is up once its process runs."""


def finished(
    stack: Stack, built: Built, folder: Path, until: Callable[[list[float]], bool], delay: int, timeout: str = "6s", **more: Any
) -> tuple[Ended, list[str]]:
    """Starts a record and the release, waits until its replicas ended often enough, and finishes with a gate that passed."""
    with FakeGitHub() as github:
        settings.repository(github, REPOSITORY)
        deployments.commits(github, REPOSITORY, [built.sha])
        token = github.token(deployments="write", contents="read", actions="read")
        given = {"sha": built.sha, "services": f"api={built.pinned}", "engine": "swarm", "stack": stack.name}
        started = step(folder, github, token, "deployment-record", {**given, "phase": "start", "require-rollback": "false"})
        assert started.code == 0, started.log
        restart = docker.types.RestartPolicy("any", delay=delay * SECOND)
        service = stack.service("api", built.pinned, replicas=1, wait=False, restart_policy=restart, **more)
        end = time.monotonic() + 60
        while not until(sorted(moment(each["Status"]["Timestamp"]) for each in service.tasks() if _ended(each))):
            assert time.monotonic() < end, service.tasks()
            time.sleep(0.2)
        # The half of `timeout` is how long a doubtful release is watched.
        gated = {**given, "phase": "finish", "verdict": "pass", "timeout": timeout}
        ended = step(folder, github, token, "deployment-record", gated)
        return ended, [each["task"] for each in deployments.kept(github, REPOSITORY).deployments]


def _ended(task: dict[str, dict[str, str]]) -> bool:
    return task["Status"]["State"] == "failed"


def test_finish_of_a_release_that_goes_on_ending_quarantines_it(stack: Stack, images: Images, tmp_path: Path) -> None:
    crashing = images.app(CRASH="1", START_DELAY="2")
    # The second end comes while it is watched.
    ended, tasks = finished(stack, crashing, tmp_path, lambda times: moments(times) == 1, 1, "30s", healthcheck=UNCHECKED)
    assert ended.code == 0, ended.log
    assert "api does not stay up: 2 of its replicas ended" in ended.outputs["ended"]
    assert "non-zero exit (1)" in ended.outputs["ended"]
    assert tasks == ["cicd-actions:deploy", "cicd-actions:quarantined"]


def test_finish_of_a_release_that_ended_once_records_nothing(stack: Stack, images: Images, tmp_path: Path) -> None:
    crashing = images.app(CRASH="1")
    ended, tasks = finished(stack, crashing, tmp_path, lambda times: moments(times) == 1, 60, healthcheck=UNCHECKED)
    assert (ended.code, ended.outputs["ended"]) == (3, ""), ended.log
    assert "api did not stay up: 1 of its replicas ended" in ended.headline
    assert tasks == ["cicd-actions:deploy"]


def test_finish_of_a_release_that_waited_for_a_dependency_passes(stack: Stack, images: Images, tmp_path: Path) -> None:
    """Its replicas ended several times before one of them was healthy, and none afterwards."""
    built, there = images.app(), tmp_path / "there"
    there.mkdir()

    def enough(times: list[float]) -> bool:
        if len(times) < 2:
            return False
        (there / "database").touch()
        return stack.up("api") == 1

    patient = ["sh", "-c", "test -e /there/database || exit 1; exec python3 /app.py"]
    mounts = [docker.types.Mount("/there", str(there), type="bind")]
    ended, tasks = finished(stack, built, tmp_path, enough, 1, command=patient, mounts=mounts)
    assert (ended.code, ended.outputs["ended"]) == (0, ""), ended.log
    assert tasks == ["cicd-actions:deploy", "cicd-actions:passed"]
