"""What a real Docker Engine cannot roll back is found before anything moves."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import docker
import pytest

from tests.harness.releases import World, sha
from tests.harness.stack import Images

pytestmark = pytest.mark.docker


@pytest.fixture
def pair(docker_client: docker.DockerClient, images: Images) -> Iterator[tuple[list[Any], str]]:
    """Two containers of one image; the engine removes the second one as soon as it stops."""
    image, mark = images.app().pinned, secrets.token_hex(4)
    made = [
        docker_client.containers.run(image, name=f"t{mark}-{name}", detach=True, auto_remove=name == "web")
        for name in ("api", "web")
    ]
    yield made, image
    for each in made:
        each.remove(force=True)


def test_a_service_that_cannot_be_replaced_stops_the_rollback_and_is_told_at_the_start(
    world: World, images: Images, pair: tuple[list[Any], str]
) -> None:
    containers, runs = pair
    good = images.app().pinned
    given = {"engine": "docker", "stack": "", "monitor": "500ms"}

    def release(image: str) -> str:
        return "\n".join(f"{each.name}={image}" for each in containers)

    for number, image, verdict in ((1, good, "pass"), (2, runs, "fail")):
        world.start(number, services=release(image))
        world.finish(number, verdict, services=release(image))
    started = world.start(3, services=release(images.app().pinned), require_rollback="true", **given)
    assert (started.code, started.outputs["verdict"]) == (1, "fail"), started.log
    ended = world.roll_back(services=release(good.partition("@")[0]), current_sha=sha(2), **given)
    assert (ended.code, ended.outputs["rolled-back"]) == (1, "false"), ended.log
    for said in (started.headline, ended.headline):
        assert f"Cannot replace {containers[1].name}" in said
    assert ended.headline.endswith(" Nothing was changed."), ended.headline
    for each in containers:
        each.reload()
        assert each.status == "running"
