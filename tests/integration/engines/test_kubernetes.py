"""The Kubernetes engine: the real kubectl against a stand-in of the API server."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from cicd_actions.engines import left_behind
from cicd_actions.engines.kubernetes import Kubernetes
from cicd_actions.engines.protocol import (
    REVISION,
    EngineUnreachable,
    Image,
    ImageMissing,
    Job,
    RollOutFailed,
    ServiceMissing,
    Target,
)
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import Failed, Inconclusive, UnusableInput
from cicd_actions.toolkit.runtime import Runtime
from tests.fakes.kubernetes.cluster import Cluster
from tests.fakes.kubernetes.cluster import Image as Behaviour
from tests.fakes.kubernetes.server import ApiServer

pytestmark = pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed")

OLD = f"registry.example/api@sha256:{'a' * 64}"
NEW = f"registry.example/api@sha256:{'b' * 64}"
OLD_SHA, NEW_SHA = "1" * 40, "2" * 40


def deployment(name: str = "api", image: str = OLD, **spec: Any) -> dict[str, Any]:
    container = {
        "name": name,
        "image": image,
        "env": [
            {"name": "DATABASE_URL", "valueFrom": {"secretKeyRef": {"name": "database", "key": "url"}}},
            {"name": "MODE", "value": "x"},
        ],
        "volumeMounts": [{"name": "settings", "mountPath": "/settings"}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": 8000}},
        "ports": [{"containerPort": 8000}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}, "annotations": {REVISION: OLD_SHA}},
                "spec": {
                    "containers": [container],
                    "serviceAccountName": "shop",
                    "volumes": [{"name": "settings", "configMap": {"name": "settings"}}],
                },
            },
            **spec,
        },
    }


@pytest.fixture
def cluster() -> Cluster:
    made = Cluster()
    made.create("deployments", deployment())
    return made


@pytest.fixture
def server(cluster: Cluster) -> Iterator[ApiServer]:
    made = ApiServer(cluster)
    yield made
    made.close()


@pytest.fixture
def engine(server: ApiServer, make_runtime: Callable[..., Runtime], tmp_path: Path) -> Iterator[Kubernetes]:
    (tmp_path / "kubeconfig").write_text(server.kubeconfig())
    made = Kubernetes(
        make_runtime(KUBECONFIG=str(tmp_path / "kubeconfig"), INPUTS='{"github-token": "t"}'),
        context="here",
        namespace="default",
    )
    yield made
    made.close()


def settled(engine: Kubernetes, service: str = "api") -> Any:
    deadline = Deadline(20)
    while not (now := engine.running([service], deadline)[service]).settled:
        deadline.check("settling")
    return now


def test_a_good_roll_out(engine: Kubernetes, server: ApiServer, log: io.StringIO) -> None:
    before = settled(engine)
    assert (before.image, before.digest, before.sha, before.wanted) == (OLD, "sha256:" + "a" * 64, OLD_SHA, 3)
    arrived = engine.roll_out(Target("api", Image("registry.example/api", "sha256:" + "b" * 64), NEW_SHA), before, Deadline(30))
    now = engine.running(["api"], Deadline(10))["api"]
    assert (now.image, now.sha, now.ready, now.settled) == (NEW, NEW_SHA, 3, True)
    assert arrived.notes == ()
    (patch,) = server.bodies
    template = patch["spec"]["template"]
    assert template["spec"]["containers"] == [{"name": "api", "image": NEW}]
    assert template["metadata"]["annotations"] == {REVISION: NEW_SHA}
    assert "successfully rolled out" in log.getvalue()


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("crash", "CrashLoopBackOff"), ("missing", "ImagePullBackOff"), ("unready", "its readiness probe fails")],
)
def test_a_failing_one_is_told_apart_and_taken_back(
    engine: Kubernetes, cluster: Cluster, server: ApiServer, kind: str, reason: str
) -> None:
    cluster.delete("deployments", "api")
    cluster.create("deployments", deployment(progressDeadlineSeconds=1))
    cluster.images[NEW] = Behaviour(kind, lines=["::error::cannot start", "no such table"])
    before = settled(engine)
    with pytest.raises(RollOutFailed, match="progress deadline") as failed:
        engine.roll_out(Target("api", Image("registry.example/api", "sha256:" + "b" * 64), NEW_SHA), before, Deadline(30))
    evidence = failed.value.evidence
    assert failed.value.reverted is False
    assert reason in evidence.reason
    assert ("no such table" in evidence.log) == (kind != "missing")
    assert ("BackOff" in evidence.events) == (kind != "unready")
    assert engine.logs("api", Deadline(10)) == evidence
    engine.revert(before, Deadline(30))
    now = engine.running(["api"], Deadline(10))["api"]
    assert (now.image, now.sha, now.settled) == (OLD, OLD_SHA, True)
    assert server.requests[-1][0] == "GET", "it ended by watching the way back"
    engine.revert(before, Deadline(30))


def test_a_slow_one_is_left_at_the_deadline(engine: Kubernetes, cluster: Cluster) -> None:
    cluster.images[NEW] = Behaviour("unready")
    before = settled(engine)
    with pytest.raises(RollOutFailed, match="the time is over"):
        engine.roll_out(Target("api", Image("registry.example/api", "sha256:" + "b" * 64), NEW_SHA), before, Deadline(1.5))
    engine.revert(before, Deadline(10), wait=False)
    assert engine.running(["api"], Deadline(10))["api"].image == OLD


def test_a_revision_that_is_gone_is_set_by_its_image(engine: Kubernetes, cluster: Cluster) -> None:
    before = settled(engine)
    engine.roll_out(Target("api", Image("registry.example/api", "sha256:" + "b" * 64), NEW_SHA), before, Deadline(30))
    for name in [name for kind, name in cluster.objects if kind == "replicasets"]:
        if cluster.objects["replicasets", name]["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "1":
            cluster.delete("replicasets", name)
    engine.revert(before, Deadline(30))
    assert settled(engine).image == OLD


def test_an_api_server_that_goes_away_for_a_while(engine: Kubernetes, server: ApiServer, log: io.StringIO) -> None:
    server.failing = 2
    assert settled(engine).image == OLD
    assert "Asking again" in log.getvalue()
    server.failing = 10_000
    with pytest.raises(EngineUnreachable, match="kubectl get deployment"):
        engine.running(["api"], Deadline(2))


def test_what_is_not_there_or_not_allowed(engine: Kubernetes, server: ApiServer) -> None:
    assert engine.running(["worker"], Deadline(10)) == {}
    with pytest.raises(ServiceMissing):
        engine.roll_out(Target("worker", Image("x", "sha256:" + "b" * 64)), settled(engine), Deadline(10))
    server.forbidden.add("deployments")
    with pytest.raises(Inconclusive, match="does not allow") as refused:
        engine.running(["api"], Deadline(10))
    assert "patch on deployments" in refused.value.fix


def test_which_container_is_the_service(engine: Kubernetes, cluster: Cluster) -> None:
    body = deployment("shop")
    body["spec"]["template"]["spec"]["containers"].append({"name": "sidecar", "image": "registry.example/sidecar:1"})
    body["spec"]["template"]["spec"]["containers"][0]["name"] = "main"
    cluster.create("deployments", body)
    with pytest.raises(Failed, match="no container shop; it has main, sidecar"):
        engine.running(["shop"], Deadline(10))


def lines_of(engine: Kubernetes, job: Job, seconds: float = 30) -> tuple[Any, list[str]]:
    lines: list[str] = []
    return engine.job(job, Deadline(seconds), lambda _stream, text: lines.append(text)), lines


def test_a_job_like_the_service(engine: Kubernetes, cluster: Cluster, server: ApiServer) -> None:
    cluster.images[NEW] = Behaviour(lines=["one", "two", "::error::three"], exit_code=3, seconds=0.5)
    job = Job(
        "migrate",
        Image("registry.example/api", "sha256:" + "b" * 64),
        ("alembic", "upgrade", "head"),
        {"TOKEN": "s3cret-value"},
        "api",
    )
    end, lines = lines_of(engine, job)
    assert (end.exit_code, end.timed_out, end.cleaned) == (3, False, True)
    assert lines == ["one", "two", "::error::three"], "every line, once"
    made, secret = server.bodies
    pod = made["spec"]["template"]["spec"]
    assert (made["spec"]["backoffLimit"], pod["restartPolicy"], pod["serviceAccountName"]) == (0, "Never", "shop")
    (container,) = pod["containers"]
    assert container["image"] == NEW
    assert container["command"] == ["alembic", "upgrade", "head"]
    assert [entry["name"] for entry in container["env"]] == ["DATABASE_URL", "MODE", "TOKEN"]
    assert container["volumeMounts"] == [{"name": "settings", "mountPath": "/settings"}]
    assert "readinessProbe" not in container
    assert "app" not in made["spec"]["template"]["metadata"]["labels"], "the service's traffic must not reach the job"
    assert secret["stringData"] == {"TOKEN": "s3cret-value"}
    assert "s3cret-value" not in str(made) + str(server.requests)
    assert not [key for key in cluster.objects if key[0] in {"jobs", "secrets"}], "nothing is left"


def test_a_job_that_does_not_end(engine: Kubernetes, cluster: Cluster) -> None:
    cluster.images[NEW] = Behaviour(lines=["working", "never"], seconds=600, on_term="caught SIGTERM")
    end, lines = lines_of(engine, Job("migrate", Image("registry.example/api", "sha256:" + "b" * 64)), 2.5)
    assert (end.exit_code, end.timed_out, end.cleaned) == (143, True, True)
    assert lines == ["working", "caught SIGTERM"]
    assert not [key for key in cluster.objects if key[0] == "jobs"]


def test_a_job_that_a_lost_run_left_is_in_nobody_s_way(engine: Kubernetes, cluster: Cluster, server: ApiServer) -> None:
    cluster.images[NEW] = Behaviour(lines=["one"], seconds=0.1)
    job = Job("migrate", Image("registry.example/api", "sha256:" + "b" * 64))
    assert lines_of(engine, job)[0].exit_code == 0
    stale = next(body for body in server.bodies if body["kind"] == "Job")
    cluster.create("jobs", {**stale, "status": {}})
    end, lines = lines_of(engine, job)
    assert (end.exit_code, end.cleaned, lines) == (0, True, ["one"])
    assert [key[1] for key in cluster.objects if key[0] == "jobs"] == [stale["metadata"]["name"]], "only its own is removed"
    assert stale["spec"]["ttlSecondsAfterFinished"] > 0, "the cluster removes it by itself"


def test_job_of_a_killed_run_is_deleted_by_the_next_run(engine: Kubernetes, cluster: Cluster, server: ApiServer) -> None:
    cluster.images[NEW] = Behaviour(lines=["one"], seconds=0.1)
    job = Job("migrate", Image("registry.example/api", "sha256:" + "b" * 64))
    assert lines_of(engine, job)[0].exit_code == 0
    stale = next(body for body in server.bodies if body["kind"] == "Job")
    stale["metadata"]["annotations"][left_behind.UNTIL] = "1000"
    cluster.create("jobs", {**stale, "status": {}})
    assert lines_of(engine, job)[0].exit_code == 0
    assert not [key for key in cluster.objects if key[0] == "jobs"]


def test_a_job_whose_image_is_not_there(engine: Kubernetes, cluster: Cluster) -> None:
    cluster.images[NEW] = Behaviour("missing")
    with pytest.raises(ImageMissing, match="migrate"):
        lines_of(engine, Job("migrate", Image("registry.example/api", "sha256:" + "b" * 64)))
    assert not [key for key in cluster.objects if key[0] == "jobs"]
    with pytest.raises(UnusableInput):
        lines_of(engine, Job("migrate", Image("x", "sha256:" + "b" * 64), networks=("shop",)))


def test_tags_are_asked_of_the_registry(engine: Kubernetes, httpserver: HTTPServer) -> None:
    repository = f"127.0.0.1:{httpserver.port}/shop/api"
    digest = "sha256:" + "c" * 64
    httpserver.expect_request(f"/v2/shop/api/manifests/{NEW_SHA}", method="HEAD").respond_with_data(
        headers={"Docker-Content-Digest": digest}
    )
    assert engine.resolve(f"{repository}:{NEW_SHA}", Deadline(10)) == Image(repository, digest)
    httpserver.expect_request("/v2/shop/api/manifests/none", method="HEAD").respond_with_data(status=404)
    with pytest.raises(ImageMissing):
        engine.resolve(f"{repository}:none", Deadline(10))
