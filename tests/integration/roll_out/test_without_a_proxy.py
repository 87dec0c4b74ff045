"""Staged releases without a proxy for real, under a load from inside the network: by replicas on a Swarm, by name on docker."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator

import docker
import pytest

from tests.fakes.prometheus import started
from tests.harness.action import Ended, run
from tests.harness.inside import Inside
from tests.harness.stack import Built, Images, Stack

GATE = """
- url: "http://{SERVICE.address}:8000/health"
  expect-version: "{sha}"
  version-from: header:X-Version
  timeout: 60s
"""


def verdict(ended: Ended) -> tuple[int, str, str, str]:
    return ended.code, ended.outputs["verdict"], ended.outputs["rolled-out"], ended.outputs["stage"]


def asked(service: str, release: Built, timeout: str = "60s", **more: str) -> dict[str, str]:
    gate = GATE.replace("SERVICE", service).replace("60s", timeout)
    return {"services": f"{service}={release.pinned}", "sha": release.sha, "monitor": "1s", "stage-targets": gate, **more}


@pytest.mark.swarm
def test_canary_by_replicas_is_abandoned_for_its_errors_and_promoted_without_and_no_request_fails(
    stack: Stack, images: Images
) -> None:
    old, bad, new = images.app(), images.app(ERRORS="20"), images.app()
    stack.service("api", old.pinned)
    with started() as prometheus:

        def count(load: Inside) -> None:
            for metric, counted in (("requests_total", load.answers), ("errors_total", load.errors)):
                fresh = sum(number for version, number in counted.items() if version != old.sha)
                prometheus.counters[metric] = {"api": counted[old.sha], "api-next": fresh}

        queries = {f"{name}-query": f'{name}_total{{pod=~"{{service}}"}}' for name in ("requests", "errors")}
        engine = {"engine": "swarm", "stack": stack.name, "prometheus": prometheus.url, **queries}
        canary = {**engine, "strategy": "canary", "steps": "50% 1000 requests within 120s"}
        with Inside(stack.client, stack.network, f"{stack.name}_api", count) as load:
            ended = run("roll-out", asked("api", bad, **canary))
            assert verdict(ended) == (1, "fail", "false", "abandoned"), ended.log
            assert "The new release of api failed at 50 %. Errors: " in ended.outputs["reason"]
            ended = run("roll-out", asked("api", new, **canary))
            assert verdict(ended) == (0, "pass", "true", "promoted"), ended.log
    assert not load.failures, load.failures
    assert set(load.answers) == {old.sha, bad.sha, new.sha}
    assert "There is no bake" in ended.log
    assert (stack.images_of("api"), stack.up("api")) == ({new.pinned}, 2)
    assert not stack.client.services.list(filters={"name": f"{stack.name}_api-next"})


@pytest.fixture
def lone(docker_client: docker.DockerClient) -> Iterator[Callable[[Built], str]]:
    """Starts one container as a service on a separate network; both have the name that it returns."""
    mark = f"t{secrets.token_hex(4)}"
    network = docker_client.networks.create(mark, driver="bridge")

    def start(release: Built) -> str:
        docker_client.containers.run(release.pinned, name=mark, detach=True, network=mark)
        return mark

    yield start
    for each in docker_client.containers.list(all=True, filters={"name": mark}):
        each.remove(force=True, v=True)
    network.remove()


@pytest.mark.docker
def test_blue_green_by_name_on_docker_is_gated_beside_the_old_release_and_moves_the_name(
    docker_client: docker.DockerClient, images: Images, lone: Callable[[Built], str]
) -> None:
    old, new = images.app(), images.app()
    service = lone(old)
    blue_green = {"engine": "docker", "strategy": "blue-green"}
    with Inside(docker_client, service, service) as load:
        ended = run("roll-out", asked(service, new, "5s", **blue_green, sha="f" * 40))
        assert verdict(ended) == (1, "fail", "false", "abandoned"), ended.log
    assert not load.failures, load.failures
    assert set(load.answers) == {old.sha}, "a release that fails its gate never has the name"
    with Inside(docker_client, service, service) as load:
        ended = run("roll-out", asked(service, new, **blue_green))
    assert verdict(ended) == (0, "pass", "true", "promoted"), ended.log
    assert "There is no bake" in ended.log
    assert set(load.answers) == {old.sha, new.sha}
    names = {each.name for each in docker_client.containers.list(all=True, filters={"name": service})}
    assert names == {service, f"{service}.before"}, "the old one is kept for a rollback"
    refused = run("roll-out", asked(service, old, **{**blue_green, "strategy": "canary"}))
    assert (refused.code, "can only do `blue-green`" in refused.log) == (2, True), refused.log
