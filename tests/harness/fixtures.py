"""The engine's fixtures. An engine that answers is used; else one is started, as root; else the test says why it is skipped."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO, TypeVar

import docker
import pytest

from cicd_actions.toolkit.runtime import Runtime
from tests.harness.engine import Daemon, NotHere, Registry, answering, make_base
from tests.harness.kube_apiserver import KubeApiServer, Namespace, missing
from tests.harness.stack import Images, Stack, make_network, remove_network

Begun = TypeVar("Begun")


@contextlib.contextmanager
def _used(what: str, begin: Callable[[], Begun]) -> Iterator[tuple[TextIO, TextIO, Begun]]:
    """Begins what this machine has once, and counts as a user of it: what `begin` gave, after the lock and the users' lock."""
    place = Path(tempfile.gettempdir(), f"cicd-actions-test-{what}")
    with place.with_suffix(".begin").open("a") as beginning, place.with_suffix(".users").open("a") as users:
        fcntl.flock(beginning, fcntl.LOCK_EX)
        try:
            begun = begin()
            fcntl.flock(users, fcntl.LOCK_SH)
        finally:
            fcntl.flock(beginning, fcntl.LOCK_UN)
        yield beginning, users, begun


@contextlib.contextmanager
def shared(what: str, begin: Callable[[], Callable[[], None] | None]) -> Iterator[None]:
    """What this machine has once and several workers stand on: who begins it ends it, when no other uses it any more.

    `begin` gives what ends it, or `None` where it is there already.
    """
    with _used(what, begin) as (_, users, end):
        try:
            yield
        finally:
            fcntl.flock(users, fcntl.LOCK_UN)
            if end is not None:
                fcntl.flock(users, fcntl.LOCK_EX)
                end()


@contextlib.contextmanager
def shared_until_the_last(
    what: str, begin: Callable[[], None], here: Callable[[], str], end: Callable[[], None]
) -> Iterator[None]:
    """What this machine has once, and any process can end: the last to use it does, so that none waits for another.

    `here` names what there is; empty for nothing. What the tests did not begin stays.
    """
    begun = Path(tempfile.gettempdir(), f"cicd-actions-test-{what}.begun")

    def begin_once() -> None:
        if not here():
            begin()
            begun.write_text(here())

    with _used(what, begin_once) as (beginning, users, _):
        try:
            yield
        finally:
            fcntl.flock(beginning, fcntl.LOCK_EX)
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if begun.exists() and begun.read_text() == here():
                    end()
                    begun.unlink()


@pytest.fixture(scope="session")
def docker_client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[docker.DockerClient]:
    """A client of the engine, which has the base image."""

    def begin() -> Callable[[], None] | None:
        daemon = None
        if not answering():
            daemon = Daemon(tmp_path_factory.mktemp("dockerd"))
            daemon.start()
        client = docker.from_env()
        make_base(client)
        client.close()
        return daemon.stop if daemon else None

    with contextlib.ExitStack() as held:
        try:
            held.enter_context(shared("engine", begin))
        except NotHere as error:
            pytest.skip(f"no Docker Engine: {error}")
        client = docker.from_env()
        yield client
        client.close()


@pytest.fixture(scope="session")
def registry(docker_client: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a registry."""
    given = os.environ.get("CICD_ACTIONS_TEST_REGISTRY")
    if given:
        yield given
        return
    started = Registry(tmp_path_factory.mktemp("registry"))
    try:
        started.start()
    except NotHere as error:
        pytest.skip(f"no registry: {error}")
    yield started.address
    started.stop()


@pytest.fixture(scope="session")
def images(docker_client: docker.DockerClient, registry: str) -> Iterator[Images]:
    """Builds and pushes releases of the tests' app."""
    made = Images(docker_client, registry)
    yield made
    made.close()


@pytest.fixture(scope="session")
def swarm(docker_client: docker.DockerClient) -> Iterator[docker.DockerClient]:
    """The engine as a Swarm's manager; it is as it was afterwards."""

    def begin() -> None:
        docker_client.swarm.init(advertise_addr="127.0.0.1", listen_addr="127.0.0.1:2377")

    def here() -> str:
        found = docker_client.info()["Swarm"]
        return str(found["Cluster"]["ID"]) if found["LocalNodeState"] == "active" else ""

    with shared_until_the_last("swarm", begin, here, lambda: docker_client.swarm.leave(force=True)):
        yield docker_client


@pytest.fixture(scope="session")
def overlay(swarm: docker.DockerClient) -> Iterator[str]:
    """The name of an overlay network."""
    name = make_network(swarm)
    yield name
    remove_network(swarm, name)


@pytest.fixture
def stack(swarm: docker.DockerClient, images: Images, overlay: str) -> Iterator[Stack]:
    """A separate stack for the test."""
    made = Stack(swarm, images, overlay)
    yield made
    made.close()


@pytest.fixture(scope="session")
def kube_apiserver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeApiServer]:
    """A real API server with its controllers; its kubelet is a stand-in."""
    if lacking := missing():
        pytest.skip(f"no Kubernetes API server: {lacking}")
    server = KubeApiServer(tmp_path_factory.mktemp("kube"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def kubernetes(kube_apiserver: KubeApiServer) -> Namespace:
    """The test's namespace."""
    return Namespace(kube_apiserver)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Ends the cluster after the last of its tests: idle, it would use a part of a processor until the end of the run."""
    namespace = getattr(item, "funcargs", {}).get("kubernetes")
    if namespace is None:
        return
    if item is next(each for each in reversed(item.session.items) if "kubernetes" in getattr(each, "fixturenames", ())):
        namespace.server.stop()


@pytest.fixture
def log() -> io.StringIO:
    """What the action logs."""
    return io.StringIO()


@pytest.fixture
def make_runtime(log: io.StringIO) -> Callable[..., Runtime]:
    """A runtime with the machine's variables and some more."""
    return lambda **variables: Runtime({**os.environ, **variables}, log)
