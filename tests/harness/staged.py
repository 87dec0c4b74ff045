"""One service behind a proxy that divides the traffic between two releases, on a Swarm and on one Docker Engine."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import docker
import httpx
from docker.types import EndpointSpec

from cicd_actions.engines.protocol import Running
from cicd_actions.engines.staged_docker import StagedDocker
from cicd_actions.engines.staged_swarm import StagedSwarm
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.runtime import Runtime
from tests.harness.load import Load
from tests.harness.ports import free_port
from tests.harness.stack import Images, Stack

SOCKET = "/tmp/haproxy.sock"  # noqa: S108 - in the proxy's container


@dataclass
class Place:
    """A service; `inputs` are those of an action that stages it, `make` connects an engine."""

    service: str
    url: str
    inputs: dict[str, str]
    make: Callable[[Runtime], StagedSwarm | StagedDocker]
    kill_proxy: Callable[[], None]

    def up(self, engine: StagedSwarm | StagedDocker) -> Running:
        """What runs, once it is whole and clients get it: the proxy has to find its replicas by name first."""
        deadline = Deadline(30)
        while True:
            now = engine.running([self.service], deadline)[self.service]
            if now.ready == now.wanted and self._answers():
                return now
            deadline.check("coming up")
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            return httpx.get(self.url, timeout=5).status_code == 200
        except httpx.TransportError:
            return False


def on_swarm(stack: Stack, images: Images, image: str, replicas: int = 2, *, control: str = "", **more: Any) -> Place:
    """The service as two replicas on the Swarm; `more` is what else Docker's client takes of it.

    `control` is the subnet of the stack's network `control`, over which the proxy takes its weights.
    """
    service, port = f"api{secrets.token_hex(3)}", free_port()
    stack.service(service, image, replicas=replicas, wait=False, **more)
    stack.service(
        "proxy",
        images.dividing_proxy(),
        replicas=1,
        env=[
            f"SERVICE={service}",
            f"UPSTREAM=tasks.{stack.name}_{service}",
            f"NEXT=tasks.{service}-next",
            f"CONTROL={control or '127.0.0.1'}",
        ],
        endpoint_spec=EndpointSpec(ports={port: (80, "tcp", "host")}),
        networks=[f"{stack.name}_control"] if control else [],
    )
    stack.await_replicas(service, replicas)

    def kill_proxy() -> None:
        for each in stack.client.containers.list(filters={"label": f"com.docker.swarm.service.name={stack.name}_proxy"}):
            each.kill()

    return Place(
        service,
        f"http://127.0.0.1:{port}/",
        {"engine": "swarm", "stack": stack.name, "monitor": "1s", "proxy": "proxy", "proxy-socket": SOCKET},
        lambda runtime: StagedSwarm(
            runtime, stack=stack.name, monitor=1.0, proxy="proxy", socket=SOCKET, control="control:9990" if control else ""
        ),
        kill_proxy,
    )


@contextmanager
def on_docker(client: docker.DockerClient, images: Images, image: str) -> Iterator[Place]:
    """The service as one container on the engine."""
    mark, port = f"t{secrets.token_hex(4)}", free_port()
    network = client.networks.create(mark, driver="bridge")
    service, proxy = f"{mark}-api", f"{mark}-proxy"
    client.containers.run(image, name=service, detach=True, network=mark)
    made = client.containers.run(
        images.dividing_proxy(),
        name=proxy,
        detach=True,
        network=mark,
        environment={"SERVICE": service, "UPSTREAM": service, "NEXT": f"{service}-next", "CONTROL": "127.0.0.1"},
        ports={"80/tcp": port},
    )
    try:
        yield Place(
            service,
            f"http://127.0.0.1:{port}/",
            {"engine": "docker", "monitor": "1s", "proxy": proxy, "proxy-socket": SOCKET},
            lambda runtime: StagedDocker(runtime, monitor=1.0, proxy=proxy, socket=SOCKET),
            lambda: made.restart(timeout=1),
        )
    finally:
        for each in client.containers.list(all=True, filters={"name": mark}):
            each.remove(force=True, v=True)
        network.remove()


def share(load: Load, version: str, answers: int = 100) -> float:
    """Which share of the next answers names the version, from 0 to 1; without those that were on the way already."""
    end = time.monotonic() + 60

    def after(count: int) -> dict[str, int]:
        before = sum(dict(load.answers).values())
        while sum(dict(load.answers).values()) - before < count:
            assert time.monotonic() < end, load.answers
            time.sleep(0.05)
        return dict(load.answers)

    before = after(20)
    after(answers)
    gained = {name: count - before.get(name, 0) for name, count in dict(load.answers).items()}
    return gained.get(version, 0) / sum(gained.values())
