from __future__ import annotations

from typing import Any

from kubernetes_validate.utils import validate

from cicd_actions.engines.kubernetes_job import _manifest
from cicd_actions.engines.protocol import REVISION, Job
from cicd_actions.toolkit.deadline import Deadline
from tests.harness.workloads import NEW, NEW_SHA, OLD, container, target, workload

JOB = Job("migrate", target().image, ("alembic", "upgrade", "head"), {"TOKEN": "x"}, sha=NEW_SHA)


def template(like: dict[str, Any]) -> dict[str, Any]:
    """The job's pod, held to Kubernetes' schema of a version that has native sidecars."""
    body = _manifest("migrate-1", JOB, like, "api", Deadline(60))
    validate(body, "1.32", strict=True)
    return dict(body["spec"]["template"])


def test_manifest_takes_over_the_template() -> None:
    taken = {
        "runtimeClassName": "gvisor",
        "schedulerName": "batch",
        "priorityClassName": "high",
        "nodeSelector": {"disk": "fast"},
        "tolerations": [{"key": "dedicated", "operator": "Exists"}],
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}],
        "serviceAccountName": "shop",
        "imagePullSecrets": [{"name": "registry"}],
        "hostNetwork": True,
        "volumes": [{"name": "settings", "configMap": {"name": "settings"}}],
    }
    proxy = {"name": "sql-proxy", "image": "registry.example/proxy:1", "restartPolicy": "Always"}
    inits = [proxy, container("own-migrations", readinessProbe=None)]
    main = container(
        ports=[{"containerPort": 8000}],
        args=["serve"],
        lifecycle={"preStop": {"exec": {"command": ["sleep", "5"]}}},
        volumeMounts=[{"name": "settings", "mountPath": "/settings"}, {"name": "claimed", "mountPath": "/data"}],
        securityContext={"runAsUser": 1000},
    )
    annotations = {"vault.hashicorp.com/agent-inject": "true", "kubectl.kubernetes.io/default-container": "api"}
    like = workload(
        containers=[main, container("worker"), {"name": "metrics", "image": "registry.example/metrics:1"}],
        pod={**taken, "initContainers": inits, "terminationGracePeriodSeconds": 300},
        labels={"team": "shop", "tier": "web"},
        annotations=annotations,
        selector={"matchLabels": {"app": "api"}, "matchExpressions": [{"key": "tier", "operator": "Exists"}]},
    )

    pod = template(like)

    assert pod["metadata"] == {
        "labels": {"team": "shop", "org.cicd-actions.job": "migrate"},
        "annotations": {"vault.hashicorp.com/agent-inject": "true", REVISION: NEW_SHA},
    }
    assert taken.items() <= pod["spec"].items()
    assert pod["spec"]["initContainers"] == [proxy], "an init container with the service's image does the service's work"
    (job,) = pod["spec"]["containers"]
    assert (job["image"], job["command"], "args" in job) == (NEW, ["alembic", "upgrade", "head"], False)
    assert job["volumeMounts"] == [{"name": "settings", "mountPath": "/settings"}], "a StatefulSet's claims are not the job's"
    assert job["securityContext"] == {"runAsUser": 1000}
    assert not {"readinessProbe", "lifecycle", "ports"} & set(job)
    assert pod["spec"]["readinessGates"], "no Service sends requests to a pod that is never ready"
    assert (pod["spec"]["restartPolicy"], pod["spec"]["terminationGracePeriodSeconds"]) == ("Never", 5)
    assert like["spec"]["template"]["spec"]["containers"][0]["volumeMounts"][1]["name"] == "claimed", "it was only read"
    assert images(like) == {OLD}


def images(like: dict[str, Any]) -> set[str]:
    return {each["image"] for each in like["spec"]["template"]["spec"]["containers"][:2]}


def test_manifest_leaves_out_the_rule_that_keeps_replicas_apart() -> None:
    def away(app: str) -> dict[str, Any]:
        return {"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": "kubernetes.io/hostname"}

    node: dict[str, Any] = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchFields": []}]}}
    required, preferred = "requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution"
    weighted = [{"weight": 1, "podAffinityTerm": away("api")}]
    affinity = {"nodeAffinity": node, "podAntiAffinity": {required: [away("api"), away("batch")], preferred: weighted}}
    found = template(workload(pod={"affinity": affinity}))["spec"]["affinity"]
    assert found == {"nodeAffinity": node, "podAntiAffinity": {required: [away("batch")]}}
    alone = {"podAntiAffinity": {required: [away("api")]}}
    assert "affinity" not in template(workload(pod={"affinity": alone}))["spec"]
