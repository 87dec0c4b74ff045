"""The Swarm engine against a real Swarm."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cicd_actions.engines.protocol import RollOutFailed, Target
from cicd_actions.engines.swarm import Swarm
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.runtime import Runtime
from tests.harness.load import Load
from tests.harness.stack import Images, Stack, await_text

pytestmark = pytest.mark.swarm


def engine(runtime: Runtime, stack: Stack, monitor: float = 1.0, parallelism: int = 1) -> Swarm:
    return Swarm(runtime, stack=stack.name, monitor=monitor, parallelism=parallelism)


def test_not_one_request_fails(stack: Stack, images: Images, make_runtime: Callable[..., Runtime]) -> None:
    old, new, bad = images.app(), images.app(), images.app(HEALTH="bad")
    stack.service("api", old.pinned)
    url = stack.entrance("api")
    await_text(url, old.sha)
    swarm = engine(make_runtime(), stack)
    with Load(url) as load:
        before = swarm.running(["api"], Deadline(10))["api"]
        assert (before.digest, before.sha, before.ready, before.wanted) == (old.digest, old.sha, 2, 2)
        arrived = swarm.roll_out(Target("api", swarm.resolve(new.tagged, Deadline(10)), new.sha), before, Deadline(120))
        assert arrived.notes == ()
        await_text(url, new.sha)
        now = swarm.running(["api"], Deadline(10))["api"]
        assert (now.digest, now.sha, now.ready) == (new.digest, new.sha, 2)
        with pytest.raises(RollOutFailed) as failed:
            swarm.roll_out(Target("api", swarm.resolve(bad.tagged, Deadline(10)), bad.sha), now, Deadline(120))
    assert not load.failures, load.failures
    assert set(load.answers) == {old.sha, new.sha}, "the unhealthy release never answered a client"
    assert failed.value.reverted is True
    assert "Its health checks failed" in failed.value.evidence.reason
    assert "503" in failed.value.evidence.health
    assert "listening" in failed.value.evidence.log
    said = swarm.logs("api", Deadline(10))
    assert said.reason
    assert "listening" in said.log, "Swarm forgets failed replicas, so it may be one that runs"
    assert stack.images_of("api") == {new.pinned}
    assert swarm.running(["api"], Deadline(10))["api"].sha == new.sha
    swarm.close()
