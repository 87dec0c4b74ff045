"""The engine of one Docker Engine without an orchestrator, for real."""

from __future__ import annotations

import io
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import docker
import pytest

from cicd_actions.engines.docker_engine import DockerEngine
from cicd_actions.engines.protocol import Job, RollOutFailed, ServiceMissing, Target
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import Failed
from cicd_actions.toolkit.runtime import Runtime
from tests.harness.load import Load
from tests.harness.stack import Images, await_text, fetch, free_port

pytestmark = pytest.mark.docker


class Host:
    """Containers of one test on a network of their own."""

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


def test_a_new_container_takes_over_without_a_failed_request(host: Host, images: Images, engine: DockerEngine) -> None:
    old, new, bad = images.app(), images.app(), images.app(HEALTH="bad")
    service = f"{host.mark}-api"
    first = host.run("api", old.pinned, environment={"MODE": "production"}, restart_policy={"Name": "always"})
    url = host.entrance("api")
    await_text(url, old.sha)
    with Load(url) as load:
        before = engine.running([service], Deadline(10))[service]
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
