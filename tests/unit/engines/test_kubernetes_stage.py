"""What a stage on Kubernetes is made of."""

from __future__ import annotations

from typing import Any

import pytest

from cicd_actions.engines import kubernetes_stage as stages
from cicd_actions.engines.protocol import REVISION, Refused
from cicd_actions.engines.stage_labels import STAGE
from tests.harness.workloads import NEW, NEW_SHA, OLD, container, service, workload


def test_stage_is_the_deployment_with_another_name_image_and_label_and_without_what_tools_go_by() -> None:
    first = workload(labels={"tier": "web"}, containers=[container(), container("proxy", "proxy:1")], paused=True)
    first["metadata"] |= {"labels": {"argocd.argoproj.io/instance": "shop"}, "annotations": {"meta.helm.sh/release-name": "x"}}
    made = stages.beside(first, {"api": NEW}, NEW_SHA, {"run": "1"})
    assert made["metadata"] == {"name": "api-next", "labels": {STAGE: "api"}, "annotations": {"run": "1"}}
    spec = made["spec"]
    assert (spec["replicas"], "paused" in spec) == (0, False)
    assert spec["selector"]["matchLabels"] == {"app": "api", STAGE: "api"}
    assert spec["template"]["metadata"] == {
        "labels": {"app": "api", "tier": "web", STAGE: "api"},
        "annotations": {REVISION: NEW_SHA},
    }
    assert [each["image"] for each in spec["template"]["spec"]["containers"]] == [NEW, "proxy:1"]
    assert first["spec"]["selector"]["matchLabels"] == {"app": "api"}, "the first one is not changed"


def test_name_that_fits_no_label_is_refused() -> None:
    with pytest.raises(Refused, match="longer than 63"):
        stages.beside(workload("a" * 60), {}, "", {})


def pod(name: str, template_hash: str, owner: str, *, ready: str = "True") -> dict[str, Any]:
    return {
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "api", stages.PIN: template_hash}, "ownerReferences": [owned(owner)]},
        "status": {"conditions": [{"type": "Ready", "status": ready}]},
    }


def owned(uid: str) -> dict[str, Any]:
    return {"controller": True, "uid": uid}


def replica_set(uid: str, owner: str, template_hash: str, revision: str) -> dict[str, Any]:
    labels, annotations = {stages.PIN: template_hash}, {"deployment.kubernetes.io/revision": revision}
    return {
        "kind": "ReplicaSet",
        "metadata": {"uid": uid, "labels": labels, "annotations": annotations, "ownerReferences": [owned(owner)]},
    }


def deployment(uid: str, revision: str) -> dict[str, Any]:
    found = workload()
    found["metadata"] |= {"uid": uid, "annotations": {"deployment.kubernetes.io/revision": revision}}
    return found


@pytest.mark.parametrize(("pin", "share"), [("", 50), ("old", 0), ("new", 100), ("gone", 0)])
def test_share_is_that_of_ready_pods_by_their_owner_whatever_labels_they_have(pin: str, share: float) -> None:
    items = [
        replica_set("rs1", "first", "older", "1"),
        replica_set("rs2", "first", "old", "2"),
        replica_set("rs3", "stage", "new", "1"),
        replica_set("rs4", "somebody", "old", "2"),
        pod("a", "old", "rs2"),
        pod("b", "old", "rs2", ready="False"),
        pod("c", "new", "rs3"),
        pod("d", "old", "rs4"),
    ]
    its = service()
    its["spec"]["selector"] |= {stages.PIN: pin} if pin else {}
    both = stages.both(deployment("first", "2"), deployment("stage", "1"), [its, service("other")], items)
    assert (both.old_hash, both.new_hash, both.live) == ("old", "new", 1)
    assert [each["metadata"]["name"] for each in both.services] == ["api"]
    assert stages.share(both) == share


def test_image_is_the_one_asked_for_only_while_the_stage_runs_its_digest() -> None:
    standing = workload(containers=[container(image=NEW.replace("registry.example", "mirror.example"))])
    standing["metadata"]["annotations"] = {stages.IMAGE: NEW}
    assert stages.image_of(standing, "api") == NEW
    standing["metadata"]["annotations"] = {stages.IMAGE: OLD}
    assert stages.image_of(standing, "api") == NEW.replace("registry.example", "mirror.example")
