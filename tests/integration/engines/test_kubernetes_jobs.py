"""Jobs on Kubernetes: a real API server and Job controller; the job's command runs as a process of this machine."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest

from cicd_actions.engines import left_behind
from cicd_actions.engines.kubernetes import Kubernetes
from cicd_actions.engines.protocol import ImageMissing, Job, JobEnd
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.toolkit.runtime import Runtime
from tests.harness.deadlines import passing
from tests.harness.kube_apiserver import Namespace
from tests.harness.kubelet import UNSCHEDULABLE, Behaviour
from tests.harness.workloads import NEW, NEW_SHA, container, target, workload

pytestmark = pytest.mark.kubernetes


@pytest.fixture
def engine(kubernetes: Namespace, make_runtime: Callable[..., Runtime]) -> Kubernetes:
    return Kubernetes(make_runtime(KUBECONFIG=kubernetes.kubeconfig()))


def job(script: str = "true", **more: Any) -> Job:
    return Job("migrate", target().image, ("sh", "-c", script), **more)


def lines_of(engine: Kubernetes, job: Job, deadline: Deadline | None = None) -> tuple[JobEnd, list[str]]:
    lines: list[str] = []
    return engine.job(job, deadline or Deadline(60), lambda _stream, text: lines.append(text)), lines


def test_job_like_service_gets_its_settings_and_leaves_nothing(kubernetes: Namespace, engine: Kubernetes) -> None:
    environment = [{"name": "MODE", "value": "x"}, {"name": "TOKEN", "value": "the service's"}]
    inits = [{"name": "certificates", "image": "registry.example/certificates:1"}, container("migrate", readinessProbe=None)]
    body = workload(containers=[container(env=environment)], pod={"initContainers": inits}, labels={"team": "shop"})
    kubernetes.create("deployments", body)
    seen: list[dict[str, Any]] = []

    def on_line(_stream: str, text: str) -> None:
        lines.append(text)
        if text == "x s3cret-value":
            seen.extend(pod for pod in kubernetes.all("pods") if "org.cicd-actions.job" in pod["metadata"]["labels"])

    lines: list[str] = []
    script = 'echo "$MODE $TOKEN"; echo ::error::two >&2; exit 3'
    end = engine.job(job(script, environment={"TOKEN": "s3cret-value"}, like="api", sha=NEW_SHA), Deadline(60), on_line)

    assert (end.exit_code, end.timed_out, end.cleaned) == (3, False, True)
    assert lines == ["x s3cret-value", "::error::two"], "every line, once"
    (pod,) = seen
    assert [each["name"] for each in pod["spec"]["initContainers"]] == ["certificates"]
    assert pod["spec"]["containers"][0]["image"] == NEW
    assert (pod["metadata"]["labels"]["team"], "app" in pod["metadata"]["labels"]) == ("shop", False)
    assert "s3cret-value" not in str(pod)
    kubernetes.until_empty("jobs", "secrets")


def test_job_that_does_not_end_is_told_to(kubernetes: Namespace, engine: Kubernetes) -> None:
    script = "trap 'echo caught SIGTERM; exit 143' TERM; echo working; while :; do sleep 0.05; done"
    runs = passing(lambda: any("'running'" in str(pod.get("status")) for pod in kubernetes.all("pods")), left=0.5)
    end, lines = lines_of(engine, job(script), runs)
    assert (end.timed_out, end.cleaned) == (True, True)
    assert lines == ["working", "caught SIGTERM"]
    kubernetes.until_empty("jobs", "secrets")


@pytest.mark.parametrize("inits", [[], [container("migrate", NEW, readinessProbe=None)]])
def test_job_that_cannot_be_scheduled_says_why(
    kubernetes: Namespace, engine: Kubernetes, log: io.StringIO, inits: list[dict[str, Any]]
) -> None:
    kubernetes.images(NEW, Behaviour("unschedulable"))
    kubernetes.create("deployments", workload(pod={"initContainers": inits}))
    end, lines = lines_of(engine, job(like="api"), passing(lambda: "has not started" in log.getvalue()))
    assert (end.exit_code, end.timed_out, end.cleaned, lines) == (None, True, True, [])
    assert end.detail == f"not scheduled: {UNSCHEDULABLE}"
    assert f"The job migrate has not started: {end.detail}" in log.getvalue()
    kubernetes.until_empty("jobs", "secrets")


def test_job_whose_pod_is_refused_says_why(kubernetes: Namespace, engine: Kubernetes, log: io.StringIO) -> None:
    limits = {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "least"}}
    kubernetes.create("limitranges", {**limits, "spec": {"limits": [{"type": "Pod", "min": {"cpu": "1"}}]}})
    end, _ = lines_of(engine, job(), passing(lambda: "has not started" in log.getvalue()))
    assert "FailedCreate" in end.detail
    assert "minimum cpu usage per Pod is 1" in end.detail


def test_job_whose_image_is_missing_is_refused(kubernetes: Namespace, engine: Kubernetes) -> None:
    kubernetes.images(NEW, Behaviour("missing"))
    with pytest.raises(ImageMissing, match="migrate"):
        lines_of(engine, job())
    with pytest.raises(UnusableInput, match="networks"):
        lines_of(engine, job(networks=("shop",)))
    kubernetes.until_empty("jobs", "secrets")


@pytest.mark.parametrize(("until", "left"), [("1000", []), ("99999999999", ["old"])])
def test_job_of_a_killed_run_is_deleted_once_its_time_is_up(
    kubernetes: Namespace, engine: Kubernetes, until: str, left: list[str]
) -> None:
    labels = {"org.cicd-actions.job": "migrate"}
    pod = {"restartPolicy": "Never", "containers": [{"name": "job", "image": NEW, "command": ["true"]}]}
    spec = {"template": {"metadata": {"labels": labels}, "spec": pod}}
    metadata = {"name": "old", "labels": labels, "annotations": {left_behind.UNTIL: until}}
    kubernetes.create("jobs", {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec})
    end, lines = lines_of(engine, job("echo one"))
    assert (end.exit_code, end.cleaned, lines) == (0, True, ["one"])
    kept = [item["metadata"] for item in kubernetes.all("jobs") if not item["metadata"].get("deletionTimestamp")]
    assert [metadata["name"] for metadata in kept] == left
