"""Staged releases whose traffic an HTTPRoute divides, on a real API server that knows the resource."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from cicd_actions.engines import staged_kubernetes
from cicd_actions.engines.kubernetes_stage import PIN
from cicd_actions.engines.release import settled
from cicd_actions.engines.staged_kubernetes import StagedKubernetes
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.runtime import Runtime
from tests.harness.chosen_pods import chosen_pods
from tests.harness.deadlines import passing
from tests.harness.gateway import gateway
from tests.harness.kube_apiserver import Namespace
from tests.harness.kubectl_by_http import Killed, KubectlByHttp
from tests.harness.workloads import NEW, OLD, service, target, workload

pytestmark = pytest.mark.kubernetes

BACKENDS = [
    [{"name": "api", "port": 80}],
    [{"name": "api", "port": 80, "weight": 3}, {"name": "legacy", "port": 80, "weight": 1}],
    [{"name": "legacy", "port": 80}],
]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staged_kubernetes, "DRAIN", 0.0)


def weights(kubernetes: Namespace) -> list[list[tuple[str, int]]]:
    rules = kubernetes.get("httproutes", "shop")["spec"]["rules"]
    return [[(each["name"], each["weight"]) for each in rule["backendRefs"]] for rule in rules]


def by_http(namespace: Namespace, runtime: Runtime, dies: str = "") -> StagedKubernetes:
    """An engine whose run is killed by the first change whose words contain `dies`."""
    engine = StagedKubernetes(runtime, route="shop")

    def after(change: str) -> None:
        if dies and dies in change:
            raise Killed

    engine._kubectl = KubectlByHttp(runtime, namespace, after)
    return engine


def test_route_divides_the_traffic_and_is_as_it_was_afterwards(
    kubernetes: Namespace, make_runtime: Callable[..., Runtime]
) -> None:
    for name in ("api", "legacy"):
        kubernetes.create("services", service(name))
        kubernetes.create("deployments", workload(name))
    engine = by_http(kubernetes, make_runtime())
    before = settled(engine, ["api", "legacy"], Deadline(60), make_runtime())["api"]
    with gateway(kubernetes, *BACKENDS), chosen_pods(kubernetes, "httproutes") as chosen:
        original = kubernetes.get("httproutes", "shop")["spec"]
        stage = engine.prepare(target(), before, Deadline(60), run="", until=time.time() + 600)
        assert (stage.percent, kubernetes.get("httproutes", "shop")["spec"]) == (0, original)
        assert engine.smallest(stage, Deadline(20)) == 0.1
        real = StagedKubernetes(make_runtime(KUBECONFIG=kubernetes.kubeconfig()))
        assert real.weigh(stage, 1, Deadline(60)).percent == 1
        assert weights(kubernetes) == [
            [("api", 990), ("api-next", 10)],
            [("api", 2970), ("api-next", 30), ("legacy", 1000)],
            [("legacy", 1)],
        ]
        assert PIN in kubernetes.get("services", "api")["spec"]["selector"], "who comes by the Service gets the old release"
        assert engine.staged(["api"], Deadline(20))["api"].percent == 1
        assert engine.switch(stage, Deadline(60)).percent == 100
        assert engine.finish(stage, Deadline(60)).replicas == 2
        assert kubernetes.get("httproutes", "shop")["spec"] == original
        assert sorted(each["metadata"]["name"] for each in kubernetes.all("services")) == ["api", "legacy"]
        assert sorted(each["metadata"]["name"] for each in kubernetes.all("deployments")) == ["api", "legacy"]
    chosen.assert_never_empty()
    chosen.assert_route_never_leads_nowhere()


def test_run_killed_after_a_change_of_the_route_is_abandoned_by_the_next(
    kubernetes: Namespace, make_runtime: Callable[..., Runtime]
) -> None:
    kubernetes.create("services", service())
    kubernetes.create("deployments", workload())

    before = settled(by_http(kubernetes, make_runtime()), ["api"], Deadline(60), make_runtime())["api"]
    with gateway(kubernetes, [{"name": "api", "port": 80}]), chosen_pods(kubernetes, "httproutes") as chosen:
        original = kubernetes.get("httproutes", "shop")["spec"]
        for dies in ("create", '"replicas": 2', "httproutes", "delete services", '"weight": 1}', "no change"):
            engine = by_http(kubernetes, make_runtime(), dies)
            try:
                stage = engine.prepare(target(), before, Deadline(60), run="", until=time.time() + 600)
                stage = engine.weigh(stage, 25, Deadline(60))
                engine.abandon(stage, Deadline(60))
            except Killed:
                following = by_http(kubernetes, make_runtime())
                for left in following.staged(["api"], Deadline(60)).values():
                    following.abandon(left, Deadline(60))
            assert kubernetes.get("httproutes", "shop")["spec"] == original, dies
            (only,) = kubernetes.all("deployments")
            assert only["spec"]["template"]["spec"]["containers"][0]["image"] == OLD != NEW
            assert [each["spec"]["selector"] for each in kubernetes.all("services")] == [{"app": "api"}], dies
    chosen.assert_never_empty()
    chosen.assert_route_never_leads_nowhere()


def test_stage_whose_removal_was_killed_gets_no_traffic_before_its_pods_are_ready_again(
    kubernetes: Namespace, make_runtime: Callable[..., Runtime]
) -> None:
    kubernetes.create("services", service())
    kubernetes.create("deployments", workload())
    engine = by_http(kubernetes, make_runtime())
    before = settled(engine, ["api"], Deadline(60), make_runtime())["api"]
    with gateway(kubernetes, [{"name": "api", "port": 80}]), chosen_pods(kubernetes, "httproutes") as chosen:
        stage = engine.prepare(target(), before, Deadline(60), run="", until=time.time() + 600)
        with pytest.raises(Killed):
            by_http(kubernetes, make_runtime(), "delete services").abandon(stage, Deadline(60))
        assert engine.staged(["api"], Deadline(20))["api"].until == 0, "roll-out would abandon it"
        assert engine.weigh(stage, 20, Deadline(60)).percent == 20
        ending = passing(lambda: kubernetes.get("deployments", "api-next")["spec"]["replicas"] == 0)
        engine.abandon(stage, ending, wait=False)  # a cancelled step, whose deadline passes before the pods have ended
        assert engine.staged(["api"], Deadline(20))["api"].percent == 0
        engine.abandon(stage, Deadline(60))
    chosen.assert_never_empty()
    chosen.assert_route_never_leads_nowhere()
    assert {image for _, name, images in chosen.history() if name == "api" for image in images} == {OLD}
