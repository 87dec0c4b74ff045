"""roll-out by `canary` and `blue-green` for real, from its inputs to its summary."""

from __future__ import annotations

from collections.abc import Iterator

import docker
import pytest

from tests.harness.action import Ended, Step, run
from tests.harness.load import Load
from tests.harness.stack import Built, Images, Stack, await_text
from tests.harness.staged import Place, on_docker, on_swarm

GATE = """
- name: the new release
  url: "http://{SERVICE.address}:8000/health"
  expect-version: "{sha}"
  version-from: header:X-Version
  timeout: 60s
"""


def of_another_commit(asked: dict[str, str]) -> dict[str, str]:
    """Nothing that runs ever passes its gate."""
    return {**asked, "sha": "f" * 40, "stage-targets": asked["stage-targets"].replace("60s", "5s")}


@pytest.fixture(scope="module")
def old(images: Images) -> Built:
    return images.app()


@pytest.fixture
def place(docker_client: docker.DockerClient, images: Images, old: Built) -> Iterator[Place]:
    with on_docker(docker_client, images, old.pinned) as made:
        yield made


def inputs(place: Place, release: Built, **more: str) -> dict[str, str]:
    services = f"{place.service}={release.pinned}"
    gate = GATE.replace("SERVICE", place.service)
    return {**place.inputs, "services": services, "sha": release.sha, "stage-targets": gate, "bake": "1s", **more}


def verdict(ended: Ended) -> tuple[int, str, str, str]:
    return ended.code, ended.outputs["verdict"], ended.outputs["rolled-out"], ended.outputs["stage"]


@pytest.mark.swarm
def test_releases_on_a_swarm_pass_by_canary_and_by_blue_green_and_fail_at_the_gate(
    stack: Stack, images: Images, old: Built
) -> None:
    new = images.app()
    place = on_swarm(stack, images, old.pinned, replicas=1)
    await_text(place.url, old.sha)
    asked = inputs(place, new, strategy="canary", steps="80% 1000 requests within 120s")
    blue_green = {**asked, "strategy": "blue-green"}
    with Load(place.url) as load:
        ended = run("roll-out", of_another_commit(blue_green))
        assert verdict(ended) == (1, "fail", "false", "abandoned"), ended.log
        assert "failed its gate before traffic" in ended.outputs["reason"]
        assert set(load.answers) == {old.sha}
        ended = run("roll-out", asked)
        assert verdict(ended) == (0, "pass", "true", "promoted"), ended.log
        await_text(place.url, new.sha)
        ended = run("roll-out", inputs(place, old, strategy="blue-green"))
        assert verdict(ended) == (0, "pass", "true", "promoted"), ended.log
        await_text(place.url, old.sha)
    assert not load.failures, load.failures
    assert load.answers[new.sha] >= 1000
    assert "Gate of replica 1" in ended.log
    assert stack.images_of(place.service) == {old.pinned}
    again = run("roll-out", inputs(place, old, strategy="blue-green"))
    assert verdict(again) == (0, "pass", "true", ""), again.log


@pytest.mark.docker
def test_canary_on_docker_is_abandoned_with_errors_and_promoted_without(place: Place, images: Images, old: Built) -> None:
    new, good = images.app(ERRORS="20"), images.app()
    await_text(place.url, old.sha)
    with Load(place.url) as load:
        ended = run("roll-out", inputs(place, new, strategy="canary", steps="50% 1000 requests within 60s"))
    assert verdict(ended) == (1, "fail", "false", "abandoned"), ended.log
    assert set(load.failures) == {"HTTPException: status 500"}, "no request failed for another reason"
    assert f"The new release of {place.service} failed at 50 %. Errors: " in ended.outputs["reason"]
    assert f"The old release has all of the traffic again ({place.service})." in ended.outputs["reason"]
    await_text(place.url, old.sha)
    with Load(place.url) as load:
        ended = run("roll-out", inputs(place, good, strategy="canary", steps="80% 1000 requests within 60s"))
    assert verdict(ended) == (0, "pass", "true", "promoted"), ended.log
    assert not load.failures, load.failures


@pytest.mark.docker
def test_manual_stage_on_docker_outlives_a_killed_run_and_is_promoted_by_another(
    place: Place, images: Images, old: Built
) -> None:
    new = images.app()
    await_text(place.url, old.sha)
    asked = inputs(place, new, strategy="blue-green", promote="manual")
    ended = run("roll-out", of_another_commit(asked))
    assert verdict(ended) == (1, "fail", "false", "abandoned"), ended.log
    step = Step("roll-out", {**asked, "promote": "automatic", "bake": "60s"})
    step.await_log("Giving the new release all of the traffic")
    await_text(place.url, new.sha)
    step.kill()
    ended = run("roll-out", asked)
    assert verdict(ended) == (0, "pass", "false", "staged"), ended.log
    assert "an earlier run left a stage with 100 % of the traffic" in ended.outputs["stage-notes"]
    ended = run("roll-out", {**asked, "promote": "staged"})
    assert verdict(ended) == (0, "pass", "true", "promoted"), ended.log
    await_text(place.url, new.sha)
