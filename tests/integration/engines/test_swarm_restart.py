"""An engine that is restarted in the middle of a roll-out: its own engine, so that no other test loses its containers."""

from __future__ import annotations

import gc
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest

from cicd_actions.engines.protocol import Target
from cicd_actions.engines.swarm import Swarm
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.runtime import Runtime
from tests.harness.engine import BASE, Daemon, NotHere
from tests.harness.stack import Built, Images

# The docker library leaves its socket open when it cannot connect, which is what happens here.
pytestmark = [pytest.mark.swarm, pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]


@pytest.fixture
def daemon(docker_client: docker.DockerClient) -> Iterator[Daemon]:
    # Not a folder of pytest's, which removes those of earlier runs and cannot remove mounts.
    made = Daemon(Path(tempfile.mkdtemp(prefix="dockerd-")), alone=True)
    try:
        made.start()
    except NotHere as error:
        pytest.skip(f"no separate engine: {error}")
    client = docker.DockerClient(base_url=made.socket)
    client.images.load(b"".join(docker_client.images.get(BASE).save(named=BASE)))
    client.swarm.init(advertise_addr="127.0.0.1", listen_addr="127.0.0.1:2377")
    client.close()
    yield made
    made.remove()
    gc.collect()  # what the library left open shows here, and not in the next test


def test_the_engine_restarts_in_the_middle(daemon: Daemon, make_runtime: Callable[..., Runtime]) -> None:
    client = docker.DockerClient(base_url=daemon.socket)
    images = Images(client, "local.test")
    old, new = images.app(push=False), images.app(push=False, START_DELAY="2")
    # On the host's network (here: the engine's own), since this engine has no other; each replica takes its own port.
    patient = {"test": ["CMD-SHELL", "curl -fs http://127.0.0.1:$(cat /port)/checked"], "interval": 300_000_000, "retries": 300}
    client.services.create(identity(client, old), name="api", networks=["host"], env=["PORT=0"], healthcheck=patient)
    runtime = make_runtime(DOCKER_HOST=daemon.socket)
    engine = Swarm(runtime, monitor=1.0)
    deadline = Deadline(150)
    while not (before := engine.running(["api"], deadline)["api"]).ready:
        deadline.check("the first replica")

    def restart() -> None:
        daemon.stop()
        daemon.start()

    restarted = threading.Thread(target=restart)
    said: list[str] = []

    def log(text: str) -> None:
        said.append(text)
        if "0 of 1 replicas" in text and not restarted.ident:
            restarted.start()

    runtime.log = log  # type: ignore[method-assign]
    engine.roll_out(Target("api", engine.resolve(new.tagged, deadline), new.sha), before, deadline)
    restarted.join()
    now = engine.running(["api"], deadline)["api"]
    assert (now.sha, now.ready) == (new.sha, 1)
    assert any("Trying again" in line for line in said), said
    engine.close()
    client.close()


def identity(client: docker.DockerClient, built: Built) -> str:
    """This engine has no registry: the image's own id."""
    return str(client.images.get(built.tagged).id)
