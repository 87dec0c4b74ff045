"""The demo on a real Swarm: images, a registry, two stacks with a PostgreSQL each, and nothing of it afterwards.

Its stories run to their ends each week (tests/unit/demo/test_every_story.py).
"""

from __future__ import annotations

import re
import signal
import tempfile
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.harness.demo import Demo, left_running
from tests.harness.engine import BASE, Daemon, NotHere


def left_on(client: docker.DockerClient, prefix: str) -> list[str]:
    """What the engine still has of a demo, by its names and by the label of its images."""
    listed: list[Any] = [*client.services.list(), *client.networks.list(), *client.secrets.list(), *client.configs.list()]
    listed += [*client.volumes.list(), *client.containers.list(all=True, ignore_removed=True)]
    images = client.images.list(all=True, filters={"label": f"org.cicd-actions.demo={prefix}"})
    return [*(one.name for one in listed if one.name.startswith(prefix)), *(one.id for one in images)]


@pytest.mark.nightly
@pytest.mark.docker
@pytest.mark.swarm
@pytest.mark.network
@pytest.mark.node
def test_interrupted_in_the_middle_of_a_roll_out_it_leaves_nothing_on_the_engine(swarm: docker.DockerClient) -> None:
    prefix = ""
    with Demo("--engine", "swarm", "--base", BASE, "--quick") as demo:
        for line in demo.lines():
            prefix = prefix or next(iter(re.findall(r"demo-[0-9a-f]{6}-", line)), "")
            if "environment 1 / deploy" in line and "Migrate" in line:
                assert left_on(swarm, prefix), "the stacks should be up by now"
                demo.process.send_signal(signal.SIGINT)
                break
        assert demo.end() == 130, demo.text
    assert "nothing is left running" in demo.text
    # By a job on the Swarm, of the image that was built and pushed.
    log = (demo.folder / "logs" / "run-1.json").read_text()
    assert re.search(r"postgresql \d+ by asyncpg: at base .* head is 0005", log)
    assert left_on(swarm, prefix) == []
    assert left_running(demo.folder) == []
    assert swarm.info()["Swarm"]["LocalNodeState"] == "active", "it was one before"


@pytest.mark.parametrize("host", ["unix:///nowhere/docker.sock", "tcp://engine.example:2376"])
def test_without_an_engine_of_this_machine_it_says_so_in_one_line(host: str) -> None:
    with Demo("--engine", "swarm", variables={"DOCKER_HOST": host}) as demo:
        assert demo.end() == 2, demo.text
    assert len(demo.said) == 1
    assert "make demo" in demo.text


@pytest.mark.docker
@pytest.mark.swarm
def test_an_engine_that_is_no_swarm_is_none_afterwards() -> None:
    # Not pytest's folder: a socket's path may have 108 characters.
    daemon = Daemon(Path(tempfile.mkdtemp(prefix="dockerd-")), alone=True)
    try:
        try:
            daemon.start()
        except NotHere as error:
            pytest.skip(str(error))
        client = docker.DockerClient(daemon.socket)
        with Demo("--engine", "swarm", "--base", "127.0.0.1:9/nothing:1", variables={"DOCKER_HOST": daemon.socket}) as demo:
            assert demo.end() == 2, demo.text
        assert "Making the engine a Swarm" in demo.text
        assert "127.0.0.1:9/nothing:1 is not here and cannot be pulled" in demo.text
        assert client.info()["Swarm"]["LocalNodeState"] == "inactive"
        assert {one.name for one in client.networks.list()} == {"bridge", "host", "none"}
        client.close()
    finally:
        daemon.remove()
