"""The Swarm engine against a real Swarm."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from docker.types import ServiceMode, UpdateConfig

from cicd_actions.engines.protocol import REVISION, RollOutFailed, Target
from cicd_actions.engines.swarm import Swarm
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.runtime import Runtime
from tests.harness.action import Step, run
from tests.harness.load import Load
from tests.harness.stack import Built, Images, Stack, await_text

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


OWN = UpdateConfig(parallelism=2, failure_action="rollback", monitor=9_000_000_000, max_failure_ratio=0.3, order="stop-first")


def spec(stack: Stack, name: str = "api") -> dict[str, Any]:
    found: dict[str, Any] = stack.client.services.get(f"{stack.name}_{name}").attrs["Spec"]
    return found


def inputs(stack: Stack, release: Built, **more: str) -> dict[str, str]:
    services = f"api={release.pinned}"
    return {"engine": "swarm", "stack": stack.name, "monitor": "1s", "services": services, "sha": release.sha, **more}


def test_own_settings_and_labels_come_back_and_what_others_set_stays(
    stack: Stack, images: Images, make_runtime: Callable[..., Runtime]
) -> None:
    old, new, bad = images.app(), images.app(), images.app(CRASH="1")
    stack.service("api", old.pinned, replicas=1, update_config=OWN, container_labels={REVISION: old.sha, "team": "shop"})
    first = spec(stack)
    swarm = engine(make_runtime(), stack)
    before = swarm.running(["api"], Deadline(10))["api"]
    assert before.sha == old.sha
    target = Target("api", swarm.resolve(new.pinned, Deadline(10)), new.sha)
    swarm.roll_out(target, before, Deadline(90))
    now = spec(stack)
    assert (now["UpdateConfig"], now.get("RollbackConfig")) == (first["UpdateConfig"], first.get("RollbackConfig"))
    assert now["TaskTemplate"]["ContainerSpec"]["Labels"] == {REVISION: new.sha, "team": "shop"}
    assert now["Labels"] == {REVISION: new.sha}
    tasks = {task["ID"] for task in stack.tasks("api")}
    swarm.relabel(replace(target, sha=old.sha), Deadline(10))
    assert swarm.running(["api"], Deadline(10))["api"].sha == old.sha
    swarm.relabel(target, Deadline(10))
    assert (spec(stack), {task["ID"] for task in stack.tasks("api")}) == (now, tasks), "no replica was replaced"
    failing = Target("api", swarm.resolve(bad.pinned, Deadline(10)), bad.sha)
    with pytest.raises(RollOutFailed) as failed:
        swarm.roll_out(failing, swarm.running(["api"], Deadline(10))["api"], Deadline(90))
    assert failed.value.reverted is True
    assert spec(stack) == now, "also after Swarm rolled it back"
    stack.client.services.get(f"{stack.name}_api").update(env=["SET=meanwhile"], mode=ServiceMode("replicated", 2))
    stack.await_replicas("api", 2)
    swarm.revert(target, before, Deadline(90))
    now = spec(stack)
    assert stack.images_of("api") == {old.pinned}
    assert now["TaskTemplate"]["ContainerSpec"]["Env"] == ["SET=meanwhile"]
    assert now["Mode"] == {"Replicated": {"Replicas": 2}}
    assert (now["UpdateConfig"], now["Labels"]) == (first["UpdateConfig"], {})
    assert now["TaskTemplate"]["ContainerSpec"]["Labels"] == {REVISION: old.sha, "team": "shop"}
    swarm.close()


@pytest.mark.parametrize("how", ["image", "rollback", "removal"])
def test_an_image_that_somebody_sets_meanwhile_is_left(stack: Stack, images: Images, how: str) -> None:
    old, slow, newer = images.app(), images.app(START_DELAY="6"), images.app()
    patient = {"test": ["CMD", "curl", "-f", "http://127.0.0.1:8000/checked"], "interval": 500_000_000, "retries": 600}
    stack.service("api", old.pinned, replicas=1, update_config=OWN, healthcheck=patient)
    step = Step("roll-out", inputs(stack, slow))
    step.await_log("0 of 1 replicas run the new image")
    if how == "removal":
        stack.client.services.get(f"{stack.name}_api").remove()
        ended = step.end()
        assert (ended.code, ended.outputs["verdict"]) == (3, "inconclusive"), ended.log
        assert "was changed by something else during the roll-out: somebody removed it" in ended.outputs["reason"]
        return
    while True:
        state = stack.client.api.inspect_service(f"{stack.name}_api")
        changed, more = state["Spec"], {}
        if how == "image":
            changed["TaskTemplate"]["ContainerSpec"]["Image"] = newer.pinned
        else:
            more = {"rollback": "previous"}
        url = stack.client.api._url("/services/{0}/update", state["ID"])
        parameters = {"version": state["Version"]["Index"], **more}
        response = stack.client.api._post_json(url, data=changed, params=parameters)
        if "out of sequence" not in response.text:  # Swarm counts the service's version on while it updates it
            break
    stack.client.api._raise_for_status(response)
    ended = step.end()
    assert (ended.code, ended.outputs["verdict"]) == (3, "inconclusive"), ended.log
    assert "was changed by something else" in ended.outputs["reason"]
    assert [finding["rule"] for finding in ended.findings] == ["roll-out/changed-by-something-else"]
    now = spec(stack)
    assert now["TaskTemplate"]["ContainerSpec"]["Image"] == (newer if how == "image" else old).pinned
    assert now["UpdateConfig"]["Order"] == "stop-first"


def test_a_service_at_zero_proves_nothing_unless_it_may_be_empty(stack: Stack, images: Images) -> None:
    old, bad = images.app(), images.app(CRASH="1")
    stack.service("api", old.pinned, replicas=0)
    ended = run("roll-out", inputs(stack, bad))
    assert (ended.code, ended.outputs["rolled-out"]) == (3, ""), ended.log
    assert [finding["rule"] for finding in ended.findings] == ["roll-out/nothing-runs"]
    assert spec(stack)["TaskTemplate"]["ContainerSpec"]["Image"] == old.pinned
    ended = run("roll-out", inputs(stack, bad, **{"allow-empty": "true"}))
    assert (ended.code, ended.outputs["rolled-out"]) == (0, "true"), ended.log
    assert "roll-out/nothing-runs" in {finding["rule"] for finding in ended.findings}
    stack.client.services.create(
        old.pinned, name=f"{stack.name}_web", mode="global", constraints=["node.hostname==nowhere"], networks=[stack.network]
    )
    ended = run("roll-out", inputs(stack, bad, services=f"web={bad.pinned}"))
    assert ended.code == 3, ended.log


def test_settings_that_a_killed_run_left_are_restored_by_the_next(stack: Stack, images: Images) -> None:
    old, slow = images.app(), images.app(START_DELAY="3")
    patient = {"test": ["CMD", "curl", "-f", "http://127.0.0.1:8000/checked"], "interval": 500_000_000, "retries": 600}
    stack.service("api", old.pinned, replicas=1, update_config=OWN, healthcheck=patient)
    own = spec(stack)["UpdateConfig"]
    step = Step("roll-out", inputs(stack, slow))
    step.await_log("0 of 1 replicas run the new image")
    step._process.kill()
    step.end()
    assert spec(stack)["UpdateConfig"]["Order"] == "start-first"
    end = time.monotonic() + 60
    while stack.images_of("api") != {slow.pinned}:
        assert time.monotonic() < end
        time.sleep(0.1)
    ended = run("roll-out", inputs(stack, slow))
    assert ended.code == 0, ended.log
    assert spec(stack)["UpdateConfig"] == own
