"""Staged releases for real: two releases behind HAProxy, on a Swarm and on one Docker Engine."""

from __future__ import annotations

import re
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest

from cicd_actions.engines.protocol import ChangedMeanwhile, EngineUnreachable, Refused, RollOutFailed, Target
from cicd_actions.engines.staged_protocol import Answers, Weighted
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.runtime import Runtime
from tests.harness.load import Load
from tests.harness.stack import Built, Images, Stack, await_text, make_network, remove_network
from tests.harness.staged import Place, on_docker, on_swarm, share

PAGE = Path(__file__).parents[3] / "docs/progressive-delivery.md"


def total(answers: dict[str, tuple[Answers, Answers]]) -> int:
    return sum(new.requests + before.requests for new, before in answers.values())


@pytest.fixture
def control(swarm: docker.DockerClient, stack: Stack) -> Iterator[str]:
    """The subnet of the stack's network `control`."""
    subnet = f"10.{secrets.randbelow(50) + 150}.{secrets.randbelow(256)}.0/24"
    name = make_network(swarm, f"{stack.name}_control", subnet)
    yield subnet
    stack.close()
    remove_network(swarm, name)


@pytest.mark.swarm
def test_stage_on_a_swarm_is_found_by_another_run_and_fails_no_request(
    stack: Stack, images: Images, control: str, make_runtime: Callable[..., Runtime]
) -> None:
    """The proxy takes its weights over a network, as it does where it runs on several nodes."""
    old, new = images.app(), images.app()
    place = on_swarm(stack, images, old.pinned, control=control)
    engine = place.make(make_runtime())
    before = place.up(engine)
    target = Target(place.service, engine.resolve(new.tagged, Deadline(10)), new.sha)
    with Load(place.url) as load:
        stage = engine.prepare(target, before, Deadline(60), run="run 1", until=time.time() + 600)
        assert isinstance(engine, Weighted)
        assert stage.percent == 0
        assert stage.addresses, "the gate reaches the new release before any client does"
        assert share(load, new.sha) == 0
        with pytest.raises(Refused, match="is there already"):
            engine.prepare(target, before, Deadline(60), run="run 2", until=0)
        engine.close()
        engine = place.make(make_runtime())
        found = engine.staged([place.service], Deadline(10))[place.service]
        assert (found.target, found.before, found.run) == (stage.target, before.image, "run 1")
        assert (found.before_sha, found.percent) == (before.sha, 0)
        assert engine.smallest(found, Deadline(10)) < 1
        assert engine.weigh(found, 25, Deadline(10)).percent == pytest.approx(25, abs=0.5)
        counted = engine.answers(found, Deadline(10))
        for refused in ("show info", "disable server x/y;show stat", "show stat\nshow info"):
            with pytest.raises(EngineUnreachable, match="closed the connection without an answer"):
                engine._say(engine._proxies()[0], refused)
        assert 0.2 < share(load, new.sha) < 0.3
        assert total(dict(engine.answers(found, Deadline(10)))) > total(dict(counted))
        assert engine.switch(found, Deadline(10)).percent == 100
        assert share(load, new.sha) == 1
        engine.abandon(found, Deadline(30))
        assert share(load, old.sha) == 1
        assert engine.staged([place.service], Deadline(10)) == {}
        engine.abandon(found, Deadline(30))
    assert not load.failures, load.failures
    engine.close()


@pytest.mark.swarm
def test_runbook_of_a_stuck_stage_on_a_swarm_removes_it_by_hand(
    stack: Stack, images: Images, make_runtime: Callable[..., Runtime]
) -> None:
    """A run was killed in the middle of a promotion: the service itself has the new image, and the stage all of the traffic."""
    (text,) = re.findall(r"### A stuck stage on Swarm.*?```bash\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    old, new = images.app(), images.app()
    place = on_swarm(stack, images, old.pinned, replicas=1)
    engine = place.make(make_runtime())
    before = place.up(engine)
    target = Target(place.service, engine.resolve(new.tagged, Deadline(10)), new.sha)
    engine.switch(engine.prepare(target, before, Deadline(60), run="", until=time.time() + 600), Deadline(10))
    engine.roll_out(target, before, Deadline(60))
    by_hand = text.replace("shop_api", f"{stack.name}_{place.service}").replace("shop_proxy", f"{stack.name}_proxy")
    subprocess.run(["bash", "-euo", "pipefail", "-c", by_hand], check=True, timeout=120)
    await_text(place.url, old.sha)
    assert engine.staged([place.service], Deadline(10)) == {}
    now = place.up(engine)
    assert (now.image, now.sha, now.unfinished) == (before.image, old.sha, False)
    engine.close()


@pytest.fixture
def old(images: Images) -> Built:
    return images.app()


@pytest.fixture
def place(docker_client: docker.DockerClient, images: Images, old: Built) -> Iterator[Place]:
    with on_docker(docker_client, images, old.pinned) as made:
        yield made


@pytest.mark.docker
def test_abandoned_release_on_docker_fails_no_request_also_after_the_proxy_forgot_the_weights(
    place: Place, images: Images, old: Built, make_runtime: Callable[..., Runtime]
) -> None:
    new, bad = images.app(), images.app(HEALTH="bad")
    engine = place.make(make_runtime())
    before = place.up(engine)
    with pytest.raises(Refused, match="static LB algorithm"):
        engine.prepare(Target("static", engine.resolve(new.tagged, Deadline(10))), before, Deadline(60), run="", until=0)
    wrong = Target(place.service, engine.resolve(bad.tagged, Deadline(10)), bad.sha)
    with pytest.raises(RollOutFailed) as failed:
        engine.prepare(wrong, before, Deadline(60), run="", until=0)
    assert failed.value.reverted
    assert "health" in failed.value.evidence.reason
    assert engine.staged([place.service], Deadline(10)) == {}
    target = Target(place.service, engine.resolve(new.tagged, Deadline(10)), new.sha)
    stage = engine.prepare(target, before, Deadline(60), run="", until=0)
    engine.weigh(stage, 50, Deadline(10))
    place.kill_proxy()
    await_text(place.url, old.sha)
    assert engine.staged([place.service], Deadline(10))[place.service].percent == 0, (
        "a restarted proxy has the weights of its file"
    )
    deadline = Deadline(30)
    while engine.smallest(stage, deadline) == 100:  # until it has found the servers again
        time.sleep(0.1)
    with Load(place.url) as load:
        assert engine.weigh(stage, 50, deadline).percent == 50
        assert 0.4 < share(load, new.sha) < 0.6
        engine.abandon(stage, Deadline(30))
        assert share(load, old.sha) == 1
    assert not load.failures, load.failures
    engine.abandon(stage, Deadline(30))
    with pytest.raises(ChangedMeanwhile, match="removed or replaced the stage"):
        engine.weigh(stage, 10, Deadline(10))
    assert engine.running([place.service], Deadline(10))[place.service] == before
    engine.close()
