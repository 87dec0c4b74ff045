"""roll-out on a real Swarm: what arrives, what is rolled back, and what is said."""

from __future__ import annotations

import json
import time

import pytest

from tests.harness.action import UNTIL_SIGTERM, Ended, Step, run
from tests.harness.load import Load
from tests.harness.stack import Built, Images, Stack, await_text

pytestmark = pytest.mark.swarm


def inputs(stack: Stack, services: dict[str, str], **more: str) -> dict[str, str]:
    lines = "\n".join(f"{name}={image}" for name, image in services.items())
    return {"engine": "swarm", "stack": stack.name, "monitor": "1s", "services": lines, **more}


# Gives a replica all the time it wants.
PATIENT = {"test": ["CMD", "curl", "-f", "http://127.0.0.1:8000/checked"], "interval": 500_000_000, "retries": 600}


def verdict(ended: Ended) -> tuple[int, str, str]:
    return ended.code, ended.outputs["verdict"], ended.outputs["rolled-out"]


@pytest.fixture(scope="module")
def good(images: Images) -> Built:
    """What runs before each roll-out."""
    return images.app()


def test_two_services_of_which_the_second_fails(stack: Stack, images: Images, good: Built) -> None:
    new, bad = images.app(), images.app(CRASH="1")
    stack.service("api", good.pinned, replicas=2, wait=False)
    stack.service("web", good.pinned, replicas=1, wait=False)
    stack.await_replicas("api", 2)
    stack.await_replicas("web", 1)
    url = stack.entrance("api")
    await_text(url, good.sha)
    with Load(url) as load:
        ended = run("roll-out", inputs(stack, {"api": new.tagged, "web": bad.tagged}))
        await_text(url, good.sha)
    assert verdict(ended) == (1, "fail", "false"), ended.log
    assert not load.failures, load.failures
    assert new.sha in load.answers, "the first service had arrived"
    assert stack.images_of("api") == stack.images_of("web") == {good.pinned}
    assert "no such table: items" in ended.log, "the failing replica's last lines"
    assert "\n::error::" not in ended.log
    assert "What ran before runs again (api, web)." in ended.outputs["reason"]
    assert json.loads(ended.outputs["previous"]) == {"api": good.digest, "web": good.digest}
    assert ended.outputs["digests"] == f"api={new.digest}\nweb={bad.digest}"


def test_what_is_refused_moves_nothing(stack: Stack, images: Images, good: Built) -> None:
    new = images.app()
    stack.service("api", good.pinned, replicas=1)
    ended = run("roll-out", inputs(stack, {"api": new.tagged, "web": f"{good.repository}:none"}))
    assert verdict(ended) == (1, "fail", ""), ended.log
    assert f"The image {good.repository}:none is not there." in ended.outputs["reason"]
    ended = run("roll-out", inputs(stack, {"api": new.repository, "web": f"{new.repository}:latest"}))
    assert ended.code == 2
    assert "api: " in ended.log
    assert "has no tag" in ended.log
    assert "every push moves `latest`" in ended.log
    ended = run("roll-out", inputs(stack, {"api": new.tagged, "web": new.tagged}))
    assert ended.code == 1
    assert "Could not find the service web on this swarm engine." in ended.log
    assert stack.images_of("api") == {good.pinned}


def test_a_slow_start_arrives_and_a_second_run_has_nothing_to_do(stack: Stack, images: Images, good: Built) -> None:
    slow = images.app(START_DELAY="3")
    stack.service("api", good.pinned, replicas=1, healthcheck=PATIENT)
    ended = run("roll-out", inputs(stack, {"api": slow.tagged}, parallelism="3"))
    assert verdict(ended) == (0, "pass", "true"), ended.log
    assert stack.images_of("api") == {slow.pinned}
    settings = stack.client.services.get(f"{stack.name}_api").attrs["Spec"]["UpdateConfig"]
    assert (settings["Parallelism"], settings["Monitor"], settings["Order"]) == (3, 1_000_000_000, "start-first")
    ended = run("roll-out", inputs(stack, {"api": slow.pinned}, sha=slow.sha))
    assert verdict(ended) == (0, "pass", "true"), ended.log
    assert "runs" in ended.log
    assert "already" in ended.log


def test_one_that_never_starts_goes_back_at_the_deadline(stack: Stack, images: Images, good: Built) -> None:
    endless = images.app(START_DELAY="300")
    stack.service("api", good.pinned, replicas=1, healthcheck=PATIENT)
    ended = run("roll-out", inputs(stack, {"api": endless.tagged}, timeout="8s", **{"revert-timeout": "60s"}))
    assert verdict(ended) == (1, "fail", "false"), ended.log
    assert "api did not arrive: the deadline passed." in ended.outputs["reason"]
    assert stack.images_of("api") == {good.pinned}


def test_cancelled_in_the_middle(stack: Stack, images: Images, good: Built) -> None:
    new, slow = images.app(), images.app(START_DELAY="60")
    stack.service("api", good.pinned, replicas=1, wait=False)
    stack.service("web", good.pinned, replicas=1, wait=False)
    stack.await_replicas("api", 1)
    stack.await_replicas("web", 1)
    step = Step("roll-out", inputs(stack, {"api": new.tagged, "web": slow.tagged}))
    step.await_log("web: 0 of 1 replicas run the new image")
    step.cancel()
    ended = step.end(UNTIL_SIGTERM)
    assert verdict(ended) == (130, "inconclusive", "false"), ended.log
    assert "The engine is rolling web, api back to what ran before" in ended.outputs["reason"]
    for name in ("api", "web"):
        end = time.monotonic() + 60
        while stack.images_of(name) != {good.pinned} or stack.up(name) != 1:
            assert time.monotonic() < end, "the engine finishes it by itself"
            time.sleep(0.2)
