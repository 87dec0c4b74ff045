"""Staged releases on a real API server. What each Service chooses is watched at every version of the cluster's state."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from cicd_actions.engines import staged_kubernetes
from cicd_actions.engines.kubernetes_stage import PIN
from cicd_actions.engines.protocol import ChangedMeanwhile, EngineUnreachable, Refused, RollOutFailed, Running
from cicd_actions.engines.release import settled
from cicd_actions.engines.stage_labels import STAGE
from cicd_actions.engines.staged_kubernetes import StagedKubernetes
from cicd_actions.engines.staged_protocol import Stage, Weighted
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.runtime import Runtime
from tests.harness.chosen_pods import chosen_pods
from tests.harness.kube_apiserver import Namespace
from tests.harness.kubectl_by_http import Killed, KubectlByHttp
from tests.harness.kubelet import Behaviour
from tests.harness.workloads import NEW, NEW_SHA, OLD, OLD_SHA, service, target, workload

pytestmark = pytest.mark.kubernetes


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing has open requests here."""
    monkeypatch.setattr(staged_kubernetes, "DRAIN", 0.0)
    monkeypatch.setattr(staged_kubernetes, "DRAIN_SHORTLY", 0.0)


@pytest.fixture
def engine(kubernetes: Namespace, make_runtime: Callable[..., Runtime]) -> StagedKubernetes:
    return StagedKubernetes(make_runtime(KUBECONFIG=kubernetes.kubeconfig()))


@pytest.fixture
def first(kubernetes: Namespace, engine: StagedKubernetes, make_runtime: Callable[..., Runtime]) -> Running:
    """A Deployment with two pods and a Service."""
    kubernetes.create("services", service())
    kubernetes.create("deployments", workload())
    return settled(engine, ["api"], Deadline(60), make_runtime())["api"]


def prepared(engine: StagedKubernetes, before: Running) -> Stage:
    return engine.prepare(target(), before, Deadline(60), run="run 1", until=time.time() + 600)


def selector(kubernetes: Namespace) -> dict[str, str]:
    found: dict[str, str] = kubernetes.get("services", "api")["spec"]["selector"]
    return found


def assert_nothing_is_left(kubernetes: Namespace, image: str) -> None:
    """The Deployment, its Service and no other thing stand, as if no stage had been."""
    assert selector(kubernetes) == {"app": "api"}
    (only,) = kubernetes.all("deployments")
    assert not only["spec"].get("paused")
    assert STAGE not in only["metadata"].get("annotations", {})
    assert only["spec"]["template"]["spec"]["containers"][0]["image"] == image


def test_stage_gets_its_share_and_is_promoted_while_each_service_always_chooses_a_ready_pod(
    kubernetes: Namespace, engine: StagedKubernetes, first: Running
) -> None:
    assert isinstance(engine, Weighted)
    with chosen_pods(kubernetes) as chosen:
        stage = prepared(engine, first)
        assert (stage.percent, stage.before, stage.before_sha, stage.run) == (0, OLD, OLD_SHA, "run 1")
        assert (stage.target.image.pinned, stage.target.sha) == (NEW, NEW_SHA)
        assert len(stage.addresses) == 2
        assert {image for _, _, images in chosen.history() for image in images} <= {OLD}, "no client reached the new release"
        with pytest.raises(Refused, match="deployment/api-next is there already"):
            prepared(engine, first)
        assert engine.smallest(stage, Deadline(20)) == pytest.approx(33.3, abs=0.1)
        assert engine.weigh(stage, 40, Deadline(60)).percent == pytest.approx(33.3, abs=0.1)
        found = engine.staged(["api", "web"], Deadline(20))
        assert list(found) == ["api"]
        assert found["api"].until == pytest.approx(stage.until)
        assert engine.weigh(stage, 50, Deadline(60)).percent == 50
        assert engine.switch(stage, Deadline(60)).percent == 100
        assert list(selector(kubernetes)) == ["app", PIN]
        arrived = engine.finish(stage, Deadline(60))
        assert arrived.replicas == 2
        assert_nothing_is_left(kubernetes, NEW)
        assert engine.staged(["api"], Deadline(20)) == {}
    chosen.assert_never_empty()


def test_stage_that_is_not_healthy_is_removed_and_had_no_traffic(
    kubernetes: Namespace, engine: StagedKubernetes, first: Running
) -> None:
    kubernetes.images(NEW, Behaviour("crash", ("no such table",)))
    kubernetes.patch("deployments", "api", {"spec": {"progressDeadlineSeconds": 2}})
    with chosen_pods(kubernetes) as chosen, pytest.raises(RollOutFailed) as failed:
        prepared(engine, first)
    assert failed.value.reverted
    assert "no such table" in failed.value.evidence.log
    assert_nothing_is_left(kubernetes, OLD)
    assert {image for _, _, images in chosen.history() for image in images} == {OLD}
    chosen.assert_never_empty()


class Walk:
    """A whole staged release by one run, which may be killed."""

    def __init__(self, namespace: Namespace, runtime: Runtime, after: Callable[[str], None] = lambda _: None) -> None:
        self.engine = StagedKubernetes(runtime)
        self.changes: list[str] = []
        self._after = after
        self.engine._kubectl = KubectlByHttp(runtime, namespace, self._changed)
        self.runtime = runtime

    def _changed(self, change: str) -> None:
        self.changes.append(change)
        self._after(change)

    def settled(self) -> Running:
        return settled(self.engine, ["api"], Deadline(60), self.runtime)["api"]

    def to_the_end(self) -> None:
        """Goes on with a stage that stands, as roll-out does, or makes one."""
        stage = self.engine.staged(["api"], Deadline(60)).get("api")
        if stage is not None and stage.until < time.time():
            self.engine.abandon(stage, Deadline(60))
            stage = None
        if stage is None:
            before = self.settled()
            if before.image == NEW:
                return
            stage = self.engine.prepare(target(), before, Deadline(60), run="a run", until=time.time() + 600)
        if stage.percent < 50:
            stage = self.engine.weigh(stage, 50, Deadline(60))
        self.engine.finish(self.engine.switch(stage, Deadline(60)), Deadline(60))

    def back(self) -> None:
        """Abandons what stands, as a roll-out of another release does."""
        for stage in self.engine.staged(["api"], Deadline(60)).values():
            self.engine.abandon(stage, Deadline(60))


def stage_in(namespace: Namespace, runtime: Runtime, after: Callable[[str], None] = lambda _: None) -> Walk:
    """A Deployment with a Service, and a run that will stage a release of it."""
    namespace.create("services", service())
    namespace.create("deployments", workload())
    walk = Walk(namespace, runtime, after)
    walk.settled()
    return walk


def at(number: int, error: Callable[[], BaseException]) -> Callable[[str], None]:
    """Raises at the change of that number, which the API server took."""
    left = [number]

    def after(_: str) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise error()

    return after


def changes_of_a_walk(kubernetes: Namespace, make_runtime: Callable[..., Runtime]) -> int:
    walk = stage_in(kubernetes, make_runtime())
    walk.to_the_end()
    assert_nothing_is_left(kubernetes, NEW)
    return len(walk.changes)


def test_run_killed_after_any_change_is_finished_or_abandoned_by_the_next(
    kubernetes: Namespace, make_runtime: Callable[..., Runtime]
) -> None:
    def killed(number: int, *, finishes: bool) -> str:
        namespace = Namespace(kubernetes.server)
        walk = stage_in(namespace, make_runtime(), at(number, Killed))
        with chosen_pods(namespace) as chosen:
            with pytest.raises(Killed):
                walk.to_the_end()
            following = Walk(namespace, make_runtime())
            following.to_the_end() if finishes else following.back()
            # A promotion whose last change was made is over: there is nothing to abandon.
            over = walk.changes[-1].startswith("delete")
            assert_nothing_is_left(namespace, NEW if finishes or over else OLD)
        chosen.assert_never_empty()
        return walk.changes[-1]

    count = changes_of_a_walk(kubernetes, make_runtime)
    assert count >= 14
    with ThreadPoolExecutor(8) as pool:
        tried = [pool.submit(killed, number, finishes=way) for number in range(1, count + 1) for way in (True, False)]
        failed = [f"{1 + number // 2}: {error}" for number, each in enumerate(tried) if (error := each.exception())]
    assert not failed, "\n\n".join(failed)


def test_answer_to_a_change_that_is_lost_costs_nothing(kubernetes: Namespace, make_runtime: Callable[..., Runtime]) -> None:
    def lost(number: int) -> None:
        namespace = Namespace(kubernetes.server)
        walk = stage_in(namespace, make_runtime(), at(number, lambda: EngineUnreachable("The connection was reset.")))
        with chosen_pods(namespace) as chosen:
            try:
                walk.to_the_end()
            except EngineUnreachable:
                walk.to_the_end()
            assert_nothing_is_left(namespace, NEW)
        chosen.assert_never_empty()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lost, [1, 2, 3, 4, 6, 9, 15]))


def test_stage_is_abandoned_from_each_share_as_often_as_asked(
    kubernetes: Namespace, make_runtime: Callable[..., Runtime]
) -> None:
    walk = stage_in(kubernetes, make_runtime())
    before, engine = walk.settled(), walk.engine
    with chosen_pods(kubernetes) as chosen:
        for share in (0, 50, 100):
            stage = prepared(engine, before)
            if share:
                stage = engine.weigh(stage, share, Deadline(60))
            assert stage.percent == share
            engine.abandon(stage, Deadline(60), wait=share != 50)
            assert_nothing_is_left(kubernetes, OLD)
        engine.abandon(stage, Deadline(60))
        with pytest.raises(ChangedMeanwhile, match="removed or replaced the stage"):
            engine.weigh(stage, 50, Deadline(60))
    chosen.assert_never_empty()


def test_two_runs_at_once_make_one_stage_and_the_other_changes_nothing(
    kubernetes: Namespace, make_runtime: Callable[..., Runtime]
) -> None:
    walks = [stage_in(kubernetes, make_runtime()), Walk(kubernetes, make_runtime())]
    before = walks[0].settled()

    def prepare(walk: Walk) -> str:
        try:
            return prepared(walk.engine, before).service
        except Refused as error:
            assert walk.changes == []
            return error.what

    with chosen_pods(kubernetes) as chosen, ThreadPoolExecutor(2) as pool:
        said = sorted(pool.map(prepare, walks), key=len)
        assert said[0] == "api"
        assert said[1].startswith("Cannot stage api: ")
        walks[1].back()
        assert_nothing_is_left(kubernetes, OLD)
    chosen.assert_never_empty()


def test_deployment_that_only_has_the_name_of_a_stage_is_left_alone(
    kubernetes: Namespace, make_runtime: Callable[..., Runtime]
) -> None:
    walk = stage_in(kubernetes, make_runtime())
    kubernetes.create("deployments", workload("api-next", annotations={STAGE: "api"}))
    assert walk.engine.staged(["api"], Deadline(60)) == {}
    with pytest.raises(Refused, match="deployment/api-next is there already"):
        walk.to_the_end()
    assert walk.changes == []


@pytest.mark.parametrize(
    ("selector", "said"),
    [
        ({"app": "other"}, "no Service chooses the pods"),
        ({"tier": "web"}, "the Service api also chooses"),
        ({"app": "api", PIN: "1"}, "is pinned to one `pod-template-hash` already"),
    ],
)
def test_services_that_cannot_divide_the_traffic_are_refused(
    kubernetes: Namespace, make_runtime: Callable[..., Runtime], selector: dict[str, str], said: str
) -> None:
    kubernetes.create("services", service(selector=selector))
    for name in ("api", "other"):
        kubernetes.create("deployments", workload(name, labels={"tier": "web"}))
    walk = Walk(kubernetes, make_runtime())
    settled(walk.engine, ["api", "other"], Deadline(60), walk.runtime)
    if said.startswith("no Service"):
        walk.engine._kubectl.call("delete", "deployment/other", deadline=Deadline(9))
        walk.changes.clear()
    with pytest.raises(Refused, match=said):
        walk.to_the_end()
    assert walk.changes == []


def test_stage_that_somebody_removed_by_hand_leaves_no_pin_for_a_rolling_release(
    kubernetes: Namespace, make_runtime: Callable[..., Runtime]
) -> None:
    walk = stage_in(kubernetes, make_runtime())
    before = walk.settled()
    stage = prepared(walk.engine, before)
    kubernetes.delete("deployments", "api-next")
    with chosen_pods(kubernetes) as chosen:
        with pytest.raises(ChangedMeanwhile):
            walk.engine.switch(stage, Deadline(60))
        walk.engine.roll_out(target(), before, Deadline(60))
        assert_nothing_is_left(kubernetes, NEW)
    chosen.assert_never_empty()


def test_change_of_the_paused_deployment_waits_until_the_stage_is_gone(
    kubernetes: Namespace, make_runtime: Callable[..., Runtime]
) -> None:
    walk = stage_in(kubernetes, make_runtime())
    stage = prepared(walk.engine, walk.settled())
    with chosen_pods(kubernetes) as chosen:
        variable = {"containers": [{"name": "api", "env": [{"name": "LEVEL", "value": "debug"}]}]}
        kubernetes.patch("deployments", "api", {"spec": {"template": {"spec": variable}}})
        walk.engine.weigh(stage, 50, Deadline(60))
        walk.engine.abandon(stage, Deadline(60))
        walk.settled()
        assert_nothing_is_left(kubernetes, OLD)
    chosen.assert_never_empty()
