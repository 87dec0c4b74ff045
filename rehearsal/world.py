"""What a rehearsal stands on: a Docker Engine that is a Swarm, a registry, a PostgreSQL, and a network for the services.

`separate` makes all of it again in a separate network namespace: an engine may be restarted and a registry stopped without harm
to what else runs on the machine.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import docker

from rehearsal.releases import Releases, packages
from tests.harness import postgres
from tests.harness.engine import Daemon, NotHere, Registry, make_base, packed_base
from tests.harness.postgres import Postgres
from tests.harness.stack import Built, Images, make_network, remove_network

ROOT = Path(__file__).resolve().parents[1]
INSIDE = "CICD_ACTIONS_REHEARSAL_INSIDE"


@dataclass
class World:
    """`daemon` and `registry` are there only where they may be stopped. `gateway` is how containers see this machine."""

    client: docker.DockerClient
    images: Images
    postgres: Postgres
    network: str
    gateway: str
    folder: Path
    host: str = ""
    daemon: Daemon | None = None
    registry: Registry | None = None

    def __post_init__(self) -> None:
        self.releases = Releases(self.images)
        self._old: Built | None = None

    @property
    def old(self) -> Built:
        """The release that runs before each deploy; built once."""
        if self._old is None:
            self._old = self.releases.build("api", {})
        return self._old


def enter() -> None:
    """Goes on in a separate network namespace; what has to be downloaded is downloaded before. Raises `NotHere`."""
    if os.geteuid() != 0:
        raise NotHere("a rehearsal starts a separate Docker Engine, which needs root")
    packed_base()
    packages()
    # A checkout's launcher downloads its dependencies once.
    subprocess.run([ROOT / "bin/cicd-actions", "--help"], env=surroundings(), stdout=subprocess.DEVNULL, check=True)
    words = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", sys.executable, "-m", "rehearsal"]
    os.execvpe("unshare", [*words, *sys.argv[1:]], {**os.environ, INSIDE: "1"})


def surroundings() -> dict[str, str]:
    """Returns this machine's variables, with the Python of this process as `python3`."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


@contextmanager
def separate() -> Iterator[World]:
    """Yields a world that is gone with the block."""
    with ExitStack() as held:
        # Not below a project's folder: a socket's path may have 108 characters.
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="rehearsal-", ignore_cleanup_errors=True)))
        daemon = Daemon(folder / "engine", alone=True, here=True)
        daemon.start()
        held.callback(daemon.remove)
        client = docker.DockerClient(daemon.socket, timeout=120)
        held.callback(client.close)
        client.swarm.init(advertise_addr="127.0.0.1", listen_addr="127.0.0.1:2377")
        make_base(client)
        registry = Registry(folder / "registry")
        registry.start()
        held.callback(registry.stop)
        server = held.enter_context(postgres.running(listen="0.0.0.0"))
        network = make_network(client)
        yield World(
            client, Images(client, registry.address), server, network, gateway(client), folder, daemon.socket, daemon, registry
        )


@contextmanager
def beside(client: docker.DockerClient, images: Images, server: Postgres) -> Iterator[World]:
    """Yields a world on an engine that others use too."""
    network = make_network(client)
    try:
        with tempfile.TemporaryDirectory(prefix="rehearsal-") as folder:
            yield World(client, images, server, network, gateway(client), Path(folder))
    finally:
        remove_network(client, network)


def gateway(client: docker.DockerClient) -> str:
    """Returns the address at which containers on a Swarm's networks see this machine."""
    found: str = client.networks.get("docker_gwbridge").attrs["IPAM"]["Config"][0]["Gateway"]
    return found
