"""Rollouts of Argo Rollouts on a real API server, by the real kubectl."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cicd_actions.engines.protocol import REVISION, Refused, RollOutFailed, Running, ServiceMissing
from cicd_actions.engines.release import settled
from cicd_actions.engines.staged_kubernetes import StagedKubernetes
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.runtime import Runtime
from tests.harness.argo import argo, rollout
from tests.harness.kube_apiserver import Namespace
from tests.harness.kubelet import Behaviour
from tests.harness.workloads import NEW, NEW_SHA, OLD, OLD_SHA, container, target

pytestmark = pytest.mark.kubernetes

STEPS = ({"setWeight": 50}, {"pause": {"duration": 1}})


@pytest.fixture
def engine(kubernetes: Namespace, make_runtime: Callable[..., Runtime]) -> StagedKubernetes:
    return StagedKubernetes(make_runtime(KUBECONFIG=kubernetes.kubeconfig()))


@pytest.fixture
def running(engine: StagedKubernetes, make_runtime: Callable[..., Runtime]) -> Callable[[], Running]:
    return lambda: settled(engine, ["api"], Deadline(60), make_runtime())["api"]


def test_rollout_goes_through_its_own_steps_and_back(
    kubernetes: Namespace, engine: StagedKubernetes, running: Callable[[], Running], make_runtime: Callable[..., Runtime]
) -> None:
    with pytest.raises(ServiceMissing, match="or Rollout api"):
        engine.logs("api", Deadline(20))  # also where the API server does not know the resource
    with argo(kubernetes):
        allow(kubernetes, "deployments", "statefulsets", "daemonsets")
        with pytest.raises(ServiceMissing, match="or Rollout api"):
            StagedKubernetes(make_runtime(KUBECONFIG=kubernetes.kubeconfig("deployer"))).logs("api", Deadline(20))
        kubernetes.create("rollouts", rollout(*STEPS, template=with_sidecar()))
        before = running()
        assert (before.image, before.sha, before.ready, before.wanted) == (OLD, OLD_SHA, 2, 2)
        assert engine.staged(["api"], Deadline(20)) == {}
        assert engine.roll_out(target(), before, Deadline(60)).replicas == 2
        spec = kubernetes.get("rollouts", "api")["spec"]["template"]["spec"]
        assert [(each["name"], each["image"], "env" in each) for each in spec["containers"]] == [
            ("api", NEW, False), ("proxy", "registry.example/proxy:1", True),
        ]  # fmt: skip
        assert running() == Running("api", NEW, NEW.partition("@")[2], NEW_SHA, 2, 2)
        engine.revert(target(), before, Deadline(60))
        assert running() == Running("api", OLD, OLD.partition("@")[2], OLD_SHA, 2, 2)
        with pytest.raises(Refused, match="only a Deployment can have a second one"):
            engine.prepare(target(), before, Deadline(20), run="", until=0)
    assert engine.by_hand(target()).startswith("kubectl argo rollouts set image api api=")


def allow(kubernetes: Namespace, *resources: str) -> None:
    """Lets the deployer read these kinds, and no others."""
    kubernetes.allow([{"apiGroups": ["apps"], "resources": list(resources), "verbs": ["get"]}])


def with_sidecar() -> dict[str, object]:
    proxy = container("proxy", "registry.example/proxy:1", env=[{"name": "MODE", "value": "x"}])
    labels = {"labels": {"app": "api"}, "annotations": {REVISION: OLD_SHA}}
    return {"metadata": labels, "spec": {"containers": [container(), proxy]}}


def test_rollout_that_argo_aborts_has_failed_and_is_reverted(
    kubernetes: Namespace, engine: StagedKubernetes, running: Callable[[], Running]
) -> None:
    kubernetes.images(NEW, Behaviour("crash", ("no such table",)))
    with argo(kubernetes):
        kubernetes.create("rollouts", rollout(*STEPS))
        before = running()
        kubernetes.ask(
            "PATCH",
            "rollouts",
            "api",
            content='{"spec": {"progressDeadlineSeconds": 1}}',
            headers={"Content-Type": "application/merge-patch+json"},
        )
        with pytest.raises(RollOutFailed, match="has timed out progressing") as failed:
            engine.roll_out(target(), before, Deadline(60))
        assert failed.value.reverted is False
        engine.revert(target(), before, Deadline(60))
        assert running() == Running("api", OLD, OLD.partition("@")[2], OLD_SHA, 2, 2)
