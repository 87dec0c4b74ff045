"""The engine of one Docker Engine without an orchestrator, for real."""

from __future__ import annotations

import secrets
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import docker
import httpx
import pytest

from cicd_actions.engines.docker_engine import DockerEngine
from cicd_actions.engines.protocol import (
    EngineUnreachable,
    ImageMissing,
    NotStarted,
    RollOutFailed,
    Running,
    ServiceMissing,
    Target,
)
from cicd_actions.engines.staying_up import Cause, proven
from cicd_actions.engines.swarm import Swarm
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import Cancelled
from cicd_actions.toolkit.runtime import Runtime
from tests.harness.load import Load
from tests.harness.ports import free_port
from tests.harness.stack import Images, await_text, fetch

pytestmark = pytest.mark.docker


class Host:
    """Containers of one test on a separate network."""

    def __init__(self, client: docker.DockerClient, images: Images) -> None:
        self.client = client
        self.images = images
        self.mark = f"t{secrets.token_hex(4)}"
        self.network = client.networks.create(self.mark, driver="bridge")

    def run(self, name: str, image: str, **more: Any) -> Any:
        return self.client.containers.run(
            image, name=f"{self.mark}-{name}", detach=True, network=self.mark, labels={"from": "the-user"}, **more
        )

    def entrance(self, name: str) -> str:
        port = free_port()
        self.run(f"proxy-{name}", self.images.proxy(), environment={"UPSTREAM": f"{self.mark}-{name}"}, ports={"80/tcp": port})
        return f"http://127.0.0.1:{port}/"

    def names(self) -> set[str]:
        found = self.client.containers.list(all=True, filters={"name": self.mark})
        return {each.name.removeprefix(f"{self.mark}-") for each in found}

    def close(self) -> None:
        for each in self.client.containers.list(all=True, filters={"network": self.mark}):
            each.remove(force=True, v=True)
        for each in self.client.containers.list(all=True, filters={"name": self.mark}):
            each.remove(force=True, v=True)
        self.network.remove()


@pytest.fixture
def host(docker_client: docker.DockerClient, images: Images) -> Iterator[Host]:
    made = Host(docker_client, images)
    yield made
    made.close()


@pytest.fixture
def engine(make_runtime: Callable[..., Runtime]) -> Iterator[DockerEngine]:
    made = DockerEngine(make_runtime(), monitor=1.0)
    yield made
    made.close()


def up(engine: DockerEngine, service: str) -> Running:
    """What runs, once it is healthy."""
    deadline = Deadline(30)
    while not (now := engine.running([service], deadline)[service]).ready:
        deadline.check("coming up")
        time.sleep(0.1)
    return now


def test_a_new_container_takes_over_without_a_failed_request(host: Host, images: Images, engine: DockerEngine) -> None:
    old, new, bad = images.app(), images.app(), images.app(HEALTH="bad")
    service = f"{host.mark}-api"
    first = host.run("api", old.pinned, environment={"MODE": "production"}, restart_policy={"Name": "always"})
    url = host.entrance("api")
    await_text(url, old.sha)
    with Load(url) as load:
        before = up(engine, service)
        assert (before.digest, before.sha, before.ready) == (old.digest, old.sha, 1)
        assert (
            engine.roll_out(Target(service, engine.resolve(new.tagged, Deadline(10)), new.sha), before, Deadline(60)).notes
            == ()
        )
        await_text(url, new.sha)
        now = engine.running([service], Deadline(10))[service]
        with pytest.raises(RollOutFailed) as failed:
            engine.roll_out(Target(service, engine.resolve(bad.pinned, Deadline(10)), bad.sha), now, Deadline(60))
    assert not load.failures, load.failures
    assert set(load.answers) == {old.sha, new.sha}
    assert failed.value.reverted is True
    assert "503" in failed.value.evidence.health
    assert "listening" in failed.value.evidence.log
    assert host.names() == {"api", "proxy-api"}, "neither the old container nor the candidate is left"
    attributes = host.client.containers.get(service).attrs
    assert attributes["Id"] != first.id
    assert "MODE=production" in attributes["Config"]["Env"], "the user's settings are carried over"
    assert f"VERSION={new.sha}" in attributes["Config"]["Env"], "the image's own are the new image's"
    assert attributes["HostConfig"]["RestartPolicy"]["Name"] == "always"
    assert attributes["Config"]["Labels"]["from"] == "the-user"
    assert engine.running([service], Deadline(10))[service] == now
    assert "listening" in engine.logs(service, Deadline(10)).log


def test_a_published_port_means_a_gap_that_is_said(host: Host, images: Images, engine: DockerEngine) -> None:
    old, new, crash = images.app(), images.app(), images.app(CRASH="1")
    service, port = f"{host.mark}-api", free_port()
    host.run("api", old.pinned, ports={"8000/tcp": port})
    url = f"http://127.0.0.1:{port}/"
    await_text(url, old.sha)
    before = up(engine, service)
    with Load(url) as load, pytest.raises(RollOutFailed):
        engine.roll_out(Target(service, engine.resolve(crash.tagged, Deadline(10)), crash.sha), before, Deadline(60))
    assert not load.failures, "one that never comes up is found out beside the old one"
    arrived = engine.roll_out(Target(service, engine.resolve(new.tagged, Deadline(10)), new.sha), before, Deadline(60))
    assert fetch(url) == new.sha
    assert "was away for up to" in arrived.notes[0]
    assert f"only one container can hold port {port}->8000/tcp." in arrived.notes[0]
    engine.revert(Target(service, engine.resolve(new.pinned, Deadline(10)), new.sha), before, Deadline(60))
    await_text(url, old.sha)
    assert up(engine, service) == before
    assert host.names() == {"api"}


@pytest.mark.parametrize("wait", [True, False])
def test_the_old_container_is_kept_for_the_way_back(host: Host, images: Images, engine: DockerEngine, wait: bool) -> None:
    old, new = images.app(), images.app()
    service = f"{host.mark}-api"
    first = host.run("api", old.pinned, restart_policy={"Name": "always"})
    url = host.entrance("api")
    await_text(url, old.sha)
    before = up(engine, service)
    engine.roll_out(Target(service, engine.resolve(new.tagged, Deadline(10)), new.sha), before, Deadline(60))
    first.reload()
    assert (first.status, first.name) == ("exited", f"{service}.before")
    assert first.attrs["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped", "it does not come back with the engine"
    await_text(url, new.sha)
    with Load(url) as load:
        engine.revert(Target(service, engine.resolve(new.pinned, Deadline(10)), new.sha), before, Deadline(30), wait=wait)
        first.reload()
        assert (first.status, first.name) == ("running", service)
        assert first.attrs["HostConfig"]["RestartPolicy"]["Name"] == "always"
        await_text(url, old.sha)
    assert not (wait and load.failures), load.failures
    found = host.client.containers.get(f"{host.mark}-proxy-api").exec_run(["getent", "ahostsv4", service]).output.split()
    first.reload()
    assert {word.decode() for word in found if b"." in word} == {
        first.attrs["NetworkSettings"]["Networks"][host.mark]["IPAddress"]
    }
    assert host.names() == {"api", "proxy-api"}


def test_a_cancelled_roll_out_leaves_the_old_container(host: Host, images: Images, engine: DockerEngine) -> None:
    old, slow = images.app(), images.app(START_DELAY="60")
    service = f"{host.mark}-api"
    first = host.run("api", old.pinned)
    before = up(engine, service)

    def cancel(_seconds: float) -> None:
        raise Cancelled(signal.SIGINT)

    engine._runtime.sleep = cancel
    with pytest.raises(Cancelled):
        engine.roll_out(Target(service, engine.resolve(slow.tagged, Deadline(10)), slow.sha), before, Deadline(60))
    first.reload()
    assert (first.status, first.name) == ("running", service)
    assert host.names() == {"api"}


def test_container_that_something_kills_during_a_roll_out_proves_nothing(
    host: Host, images: Images, engine: DockerEngine
) -> None:
    old, slow = images.app(), images.app(START_DELAY="60")
    service = f"{host.mark}-api"
    first = host.run("api", old.pinned)
    before = up(engine, service)

    def kill(_seconds: float) -> None:
        for each in host.client.containers.list(filters={"name": f"{service}.candidate"}):
            each.kill()

    engine._runtime.sleep = kill
    with pytest.raises(NotStarted, match="something stopped it"):
        engine.roll_out(Target(service, engine.resolve(slow.tagged, Deadline(10)), slow.sha), before, Deadline(60))
    first.reload()
    assert (first.status, host.names()) == ("running", {"api"})


def test_uptime_tells_restarts_from_a_container_that_somebody_killed(host: Host, images: Images, engine: DockerEngine) -> None:
    image, deadline = images.app().pinned, Deadline(30)
    crashing = ["python3", "-c", "import sys, time; time.sleep(0.3); sys.exit(1)"]
    host.run("crashing", image, command=crashing, restart_policy={"Name": "always"})
    host.run("killed", image, restart_policy={"Name": "always"}).kill()
    while host.client.api.inspect_container(f"{host.mark}-crashing")["RestartCount"] < 2:
        deadline.check("restarting")
        time.sleep(0.1)
    assert proven(engine.uptime(f"{host.mark}-crashing", deadline).ended)
    (end,) = engine.uptime(f"{host.mark}-killed", deadline).ended
    assert end.cause is Cause.OUTSIDE


def test_an_image_that_was_never_pushed(host: Host, images: Images, engine: DockerEngine) -> None:
    old, local = images.app(), images.app(push=False)
    service = f"{host.mark}-api"
    host.run("api", old.pinned)
    before = up(engine, service)
    image = engine.resolve(local.tagged, Deadline(30))
    assert image.opaque
    assert image.digest == host.client.images.get(local.tagged).id
    engine.roll_out(Target(service, image, local.sha), before, Deadline(60))
    now = engine.running([service], Deadline(10))[service]
    assert (now.image, now.digest, now.sha) == (image.name, image.digest, local.sha)
    with pytest.raises(ImageMissing):
        engine.resolve(f"{local.repository}:none", Deadline(10))
    with pytest.raises(ServiceMissing):
        engine.roll_out(Target("absent", image), before, Deadline(10))


class SeveralNodes(Swarm):
    """A Swarm with a node that lacks what this one has."""

    def _nodes(self) -> int:
        return 2


def test_image_that_the_registry_deleted_is_on_this_engine_only(
    images: Images, engine: DockerEngine, make_runtime: Callable[..., Runtime]
) -> None:
    built = images.app()
    assert not engine.resolve(built.pinned, Deadline(30)).local
    registry, _, name = built.repository.partition("/")
    httpx.delete(f"http://{registry}/v2/{name}/manifests/{built.digest}").raise_for_status()
    found = engine.resolve(built.pinned, Deadline(30))
    assert (found.pinned, found.local) == (built.pinned, True)
    with pytest.raises(ImageMissing, match="the image is on one engine only"):
        SeveralNodes(make_runtime()).resolve(built.pinned, Deadline(30))


def test_an_engine_that_is_not_there(make_runtime: Callable[..., Runtime]) -> None:
    away = DockerEngine(make_runtime(DOCKER_HOST="tcp://operator:hunter2-hunter2@127.0.0.1:9"))
    with pytest.raises(EngineUnreachable) as said:
        away.running(["api"], Deadline(1))
    assert "DOCKER_HOST" in said.value.fix
    assert "hunter2" not in str(said.value)
