"""The Kubernetes engine on a real API server, by the real kubectl."""

from __future__ import annotations

import io
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from cicd_actions.engines import kubernetes as kubernetes_engine
from cicd_actions.engines.kubernetes import Kubernetes
from cicd_actions.engines.protocol import (
    REVISION,
    ChangedMeanwhile,
    EngineUnreachable,
    Image,
    ImageMissing,
    Job,
    NotStarted,
    Refused,
    RollOutFailed,
    Running,
    ServiceMissing,
)
from cicd_actions.engines.release import settled
from cicd_actions.roll_out.inputs import services
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import Failed, Inconclusive
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.toolkit.yaml12 import plain, read
from tests.harness.action import run
from tests.harness.deadlines import passing
from tests.harness.kube_apiserver import Namespace
from tests.harness.kubelet import Behaviour
from tests.harness.webhook import Webhook
from tests.harness.workloads import NEW, NEW_SHA, NEWER, OLD, OLD_SHA, REPOSITORY, container, target, workload

pytestmark = pytest.mark.kubernetes

SHORT = {"spec": {"progressDeadlineSeconds": 1}}
"""What a failing roll-out of a Deployment waits for. The first one gets longer: machines may be busy."""

README = Path(__file__).resolve().parents[3] / "actions" / "roll-out" / "README.md"


class Log(io.StringIO):
    """A log that does something once, when a text is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self._reactions: list[tuple[str, Callable[[], Any]]] = []

    def on(self, text: str, reaction: Callable[[], Any]) -> None:
        self._reactions.append((text, reaction))

    def write(self, text: str) -> int:
        for pair in [pair for pair in self._reactions if pair[0] in text]:
            self._reactions.remove(pair)
            pair[1]()
        return super().write(text)


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def connect(kubernetes: Namespace, make_runtime: Callable[..., Runtime]) -> Callable[..., Kubernetes]:
    """Makes an engine for a user."""
    return lambda user="admin", **options: Kubernetes(make_runtime(KUBECONFIG=kubernetes.kubeconfig(user)), **options)


@pytest.fixture
def engine(connect: Callable[..., Kubernetes]) -> Kubernetes:
    return connect(context="here")


@pytest.fixture
def running(engine: Kubernetes, make_runtime: Callable[..., Runtime]) -> Callable[..., Running]:
    """Waits until a service is settled."""
    return lambda service="api": settled(engine, [service], Deadline(60), make_runtime())[service]


@pytest.fixture
def pods_say(kubernetes: Namespace, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Deadline]:
    """Makes a deadline that passes once the status of a pod says a text; the engine looks at it twice a second."""
    monkeypatch.setattr(kubernetes_engine, "WATCH", 0.5)
    return lambda text: passing(lambda: any(text in str(pod.get("status")) for pod in kubernetes.all("pods")))


def is_running_job(pod: dict[str, Any]) -> bool:
    return pod["spec"]["restartPolicy"] == "Never" and "'running'" in str(pod.get("status"))


def images(body: dict[str, Any]) -> dict[str, str]:
    spec = body["spec"]["template"]["spec"]
    return {each["name"]: each["image"] for each in [*spec.get("initContainers", []), *spec["containers"]]}


def test_roll_out_good_image_moves_every_container_that_has_it(
    kubernetes: Namespace, engine: Kubernetes, running: Callable[..., Running], log: Log
) -> None:
    other = "registry.example/proxy:1"
    pod = {"initContainers": [container("migrate", readinessProbe=None), {"name": "wait", "image": other}]}
    containers = [container(), container("worker"), container("proxy", other)]
    kubernetes.create("deployments", workload(containers=containers, pod=pod))
    before = running()
    assert (before.image, before.sha, before.ready, before.wanted) == (OLD, OLD_SHA, 2, 2)

    arrived = engine.roll_out(target(), before, Deadline(60))

    assert (arrived.replicas, arrived.notes) == (2, ())
    now = kubernetes.get("deployments", "api")
    assert images(now) == {"migrate": NEW, "wait": other, "api": NEW, "worker": NEW, "proxy": other}
    assert now["spec"]["template"]["metadata"]["annotations"] == {REVISION: NEW_SHA}
    assert running() == Running("api", NEW, NEW.partition("@")[2], NEW_SHA, 2, 2)
    (ours,) = (entry for entry in now["metadata"]["managedFields"] if entry["manager"] == "cicd-actions")
    assert "f:image" in str(ours)
    assert "f:replicas" not in str(ours)
    assert "successfully rolled out" in log.getvalue()


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("crash", "CrashLoopBackOff"), ("missing", "ImagePullBackOff"), ("unready", "its readiness probe fails")],
)
def test_revert_failing_image_restores_only_own_fields(
    kubernetes: Namespace, engine: Kubernetes, running: Callable[..., Running], kind: str, reason: str
) -> None:
    kubernetes.images(NEW, Behaviour(kind, ("::error::cannot start", "no such table")))
    kubernetes.create("deployments", workload())
    before = running()
    kubernetes.patch("deployments", "api", SHORT)
    # A node that cannot pull the image says nothing of the release.
    with pytest.raises(NotStarted if kind == "missing" else RollOutFailed, match="progress deadline passed") as failed:
        engine.roll_out(target(), before, Deadline(60))
    assert isinstance(failed.value, (NotStarted, RollOutFailed))
    evidence = failed.value.evidence
    assert reason in evidence.reason
    assert ("no such table" in evidence.log) == (kind != "missing")
    assert ("BackOff" in evidence.events) == (kind != "unready")
    assert engine.logs("api", Deadline(60)) == evidence

    # What others set in the meantime stays.
    kubernetes.patch("deployments", "api", {"spec": {"replicas": 3, "progressDeadlineSeconds": 60}})
    environment = [{"name": "api", "env": [{"name": "MODE", "value": "x"}]}]
    kubernetes.patch("deployments", "api", {"spec": {"template": {"spec": {"containers": environment}}}})
    engine.revert(target(), before, Deadline(60))

    now = kubernetes.get("deployments", "api")
    assert images(now) == {"api": OLD}
    assert now["spec"]["template"]["metadata"]["annotations"] == {REVISION: OLD_SHA}
    assert (now["spec"]["replicas"], now["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"]) == (3, "x")
    assert running().ready == 3
    engine.revert(target(), before, Deadline(60))
    assert kubernetes.get("deployments", "api")["metadata"]["generation"] == now["metadata"]["generation"]


def test_evidence_failing_init_container_names_it(
    kubernetes: Namespace, engine: Kubernetes, running: Callable[..., Running]
) -> None:
    kubernetes.images(NEW, Behaviour("crash", ("no such table",)))
    kubernetes.create("deployments", workload(pod={"initContainers": [{"name": "migrate", "image": OLD}]}))
    before = running()
    kubernetes.patch("deployments", "api", SHORT)
    with pytest.raises(RollOutFailed) as failed:
        engine.roll_out(target(), before, Deadline(60))
    assert failed.value.evidence.reason == "init container migrate: ended with exit code 1 (Error)"
    assert failed.value.evidence.log == "no such table"


def test_roll_out_newer_image_meanwhile_is_left(
    kubernetes: Namespace, engine: Kubernetes, running: Callable[..., Running], log: Log
) -> None:
    kubernetes.images(NEW, Behaviour("unready"))
    kubernetes.create("deployments", workload())
    before = running()
    newer = {"spec": {"template": {"spec": {"containers": [{"name": "api", "image": NEWER}]}}}}
    log.on("Waiting for deployment", lambda: kubernetes.patch("deployments", "api", newer))
    with pytest.raises(ChangedMeanwhile, match=NEWER) as changed:
        engine.roll_out(target(), before, Deadline(60))
    with pytest.raises(ChangedMeanwhile):
        engine.revert(target(), before, Deadline(60))
    # The same before anything was set: what ran when the release began does not run any more.
    with pytest.raises(ChangedMeanwhile):
        engine.roll_out(target(), before, Deadline(60))
    assert images(kubernetes.get("deployments", "api")) == {"api": NEWER}
    managers = [entry["manager"] for entry in kubernetes.get("deployments", "api")["metadata"]["managedFields"]]
    assert "somebody-else" in managers
    assert "--show-managed-fields" in changed.value.fix


def test_roll_out_workload_that_is_deleted_meanwhile_was_changed_by_something_else(
    kubernetes: Namespace, engine: Kubernetes, running: Callable[..., Running], log: Log
) -> None:
    kubernetes.images(NEW, Behaviour("unready"))
    kubernetes.create("deployments", workload())
    before = running()
    log.on("Waiting for deployment", lambda: kubernetes.kubectl("delete", "deployment", "api"))
    with pytest.raises(ChangedMeanwhile, match="deleted deployment/api"):
        engine.roll_out(target(), before, Deadline(60))


def test_roll_out_deadline_passes_and_revert_does_not_wait(
    kubernetes: Namespace, engine: Kubernetes, running: Callable[..., Running], pods_say: Callable[[str], Deadline]
) -> None:
    kubernetes.images(NEW, Behaviour("unready"))
    kubernetes.create("deployments", workload())
    before = running()
    with pytest.raises(RollOutFailed, match="the deadline passed"):
        engine.roll_out(target(), before, pods_say("'ready': False"))
    engine.revert(target(), before, Deadline(60), wait=False)
    assert images(kubernetes.get("deployments", "api")) == {"api": OLD}


def test_roll_out_same_image_again_replaces_the_pods(
    kubernetes: Namespace, engine: Kubernetes, running: Callable[..., Running]
) -> None:
    kubernetes.create("deployments", workload())
    before = running()
    generation = kubernetes.get("deployments", "api")["metadata"]["generation"]
    engine.roll_out(target("api", OLD, OLD_SHA), before, Deadline(60))
    assert kubernetes.get("deployments", "api")["metadata"]["generation"] == generation + 1


def test_statefulset_failing_image_is_rolled_back_though_its_pod_blocks_it(
    kubernetes: Namespace, engine: Kubernetes, running: Callable[..., Running], pods_say: Callable[[str], Deadline]
) -> None:
    kubernetes.images(NEWER, Behaviour("crash"))
    kubernetes.create("statefulsets", workload("db", kind="StatefulSet"))
    assert engine.roll_out(target("db"), running("db"), Deadline(60)).replicas == 2
    before = running("db")
    with pytest.raises(RollOutFailed, match="the deadline passed") as failed:
        engine.roll_out(target("db", NEWER, "3" * 40), before, pods_say("CrashLoopBackOff"))
    assert "CrashLoopBackOff" in failed.value.evidence.reason
    assert engine.running(["db"], Deadline(60))["db"].settled, "a pod that crashes does not move by itself"
    engine.revert(target("db", NEWER, "3" * 40), before, Deadline(60))
    assert {pod["spec"]["containers"][0]["image"] for pod in kubernetes.all("pods")} == {NEW}
    assert running("db").sha == NEW_SHA
    by_hand = engine.by_hand(target("db", OLD))
    assert by_hand.startswith(f"kubectl --context here set image statefulset/db db={OLD} && ")


def test_roll_out_after_a_killed_one_does_not_wait_for_its_progress_deadline(
    kubernetes: Namespace, engine: Kubernetes, make_runtime: Callable[..., Runtime]
) -> None:
    kubernetes.images(NEW, Behaviour("crash"))
    # The old pod stays available beside the one that crashes: as many are available as are wanted.
    kubernetes.create("deployments", workload(progressDeadlineSeconds=600, replicas=1))
    settled(engine, ["api"], Deadline(60), make_runtime())
    kubernetes.patch("deployments", "api", {"spec": {"template": {"spec": {"containers": [{"name": "api", "image": NEW}]}}}})
    before = settled(engine, ["api"], Deadline(60), make_runtime())["api"]
    assert (before.image, before.ready) == (NEW, 0)
    assert engine.roll_out(target(image=NEWER), before, Deadline(60)).replicas == 1


def test_daemonset_rolls_out_on_every_node(kubernetes: Namespace, engine: Kubernetes, running: Callable[..., Running]) -> None:
    kubernetes.create("daemonsets", workload("agent", kind="DaemonSet"))
    assert engine.roll_out(target("agent"), running("agent"), Deadline(60)).replicas == 1
    assert running("agent") == Running("agent", NEW, NEW.partition("@")[2], NEW_SHA, 1, 1)


def test_running_no_replica_is_empty_and_proves_nothing(
    kubernetes: Namespace, engine: Kubernetes, running: Callable[..., Running]
) -> None:
    kubernetes.images(NEW, Behaviour("missing"))
    kubernetes.create("deployments", workload("zero", replicas=0))
    kubernetes.create("daemonsets", workload("nowhere", kind="DaemonSet", pod={"nodeSelector": {"disk": "none"}}))
    for service in ("zero", "nowhere"):
        before = running(service)
        assert before.empty
        assert engine.roll_out(target(service), before, Deadline(60)).replicas == 0


@pytest.mark.parametrize(
    ("kind", "spec", "what"),
    [
        ("Deployment", {"paused": True}, "it is paused"),
        ("StatefulSet", {"updateStrategy": {"type": "OnDelete"}}, "its update strategy is OnDelete"),
        ("StatefulSet", {"updateStrategy": {"rollingUpdate": {"partition": 1}}}, "has the partition 1"),
        ("DaemonSet", {"updateStrategy": {"type": "OnDelete"}}, "its update strategy is OnDelete"),
    ],
)
def test_examine_what_would_not_move_is_refused(
    kubernetes: Namespace, engine: Kubernetes, running: Callable[..., Running], kind: str, spec: dict[str, Any], what: str
) -> None:
    kubernetes.create(f"{kind.lower()}s", workload(kind=kind, **spec))
    before = running()
    for call in (engine.examine, engine.roll_out):
        with pytest.raises(Refused, match=what) as refused:
            call(target(), before, Deadline(60))
        assert refused.value.fix
    assert images(kubernetes.get(f"{kind.lower()}s", "api")) == {"api": OLD}


def test_roll_out_webhook_that_keeps_the_digest_is_no_change_by_others(
    kubernetes: Namespace, engine: Kubernetes, running: Callable[..., Running]
) -> None:
    kubernetes.create("deployments", workload())
    before = running()
    with Webhook(kubernetes, lambda image: image.replace("registry.example", "mirror.example/cache")):
        assert engine.roll_out(target(), before, Deadline(60)).replicas == 2
        mirrored = f"mirror.example/cache/api@{NEW.partition('@')[2]}"
        assert (running().image, running().digest) == (mirrored, NEW.partition("@")[2])
        engine.revert(target(), before, Deadline(60))
    assert running().digest == before.digest


def test_roll_out_webhook_that_replaces_the_digest_fails(
    kubernetes: Namespace, engine: Kubernetes, running: Callable[..., Running]
) -> None:
    kubernetes.create("deployments", workload())
    before = running()
    with Webhook(kubernetes, lambda _image: NEWER), pytest.raises(RollOutFailed, match=f"the cluster made {NEWER} of it"):
        engine.roll_out(target(), before, Deadline(60))
    engine.revert(target(), before, Deadline(60))
    assert images(kubernetes.get("deployments", "api")) == {"api": OLD}


def test_roll_out_registry_that_serves_another_digest_changes_nothing(
    kubernetes: Namespace, httpserver: HTTPServer, tmp_path: Path
) -> None:
    kubernetes.create("deployments", workload())
    asked, swapped = (f"sha256:{letter * 64}" for letter in "ab")
    manifest = f"/v2/org/api/manifests/{asked}"
    httpserver.expect_request(manifest).respond_with_data(headers={"Docker-Content-Digest": swapped})
    services = f"api=127.0.0.1:{httpserver.port}/org/api@{asked}"
    given = {"engine": "kubernetes", "environment": "staging", "context": "here", "services": services, "timeout": "60s"}
    ended = run("roll-out", given, tmp_path, KUBECONFIG=kubernetes.kubeconfig("admin"))
    assert (ended.code, ended.outputs["verdict"]) == (1, "inconclusive")
    assert f"its answer has the digest {swapped}" in ended.outputs["reason"]
    assert images(kubernetes.get("deployments", "api")) == {"api": OLD}


def test_logs_overlapping_selectors_show_own_pods(
    kubernetes: Namespace, engine: Kubernetes, running: Callable[..., Running]
) -> None:
    expressions = [{"key": "app", "operator": "In", "values": ["one", "two"]}, {"key": "gone", "operator": "DoesNotExist"}]
    kubernetes.images(OLD, Behaviour(lines=("I am one",)))
    kubernetes.images(NEW, Behaviour(lines=("I am two",)))
    for name, image in (("one", OLD), ("two", NEW)):
        body = workload(name, containers=[container(name, image)], selector={"matchExpressions": expressions})
        kubernetes.create("deployments", body)
        running(name)
    assert [engine.logs(name, Deadline(60)).log for name in ("one", "two")] == ["I am one", "I am two"]


def test_container_of_a_service_is_found_and_named_by_hand(
    kubernetes: Namespace, connect: Callable[..., Kubernetes], tmp_path: Path
) -> None:
    two = [container("app"), container("proxy", "registry.example/proxy:1")]
    default = {"kubectl.kubernetes.io/default-container": "proxy"}
    kubernetes.create("deployments", workload("annotated", containers=two, annotations=default))
    kubernetes.create("deployments", workload("plain", containers=two))
    kubernetes.create("deployments", workload("solo", containers=[container("main")]))
    engine = connect()
    now = engine.running(["annotated", "annotated/app", "plain/app", "plain/proxy", "solo"], Deadline(60))
    found = {service: here.image for service, here in now.items()}
    proxy = "registry.example/proxy:1"
    assert found == {"annotated": proxy, "annotated/app": OLD, "plain/app": OLD, "plain/proxy": proxy, "solo": OLD}
    with pytest.raises(Failed, match="container plain in deployment/plain: it has app, proxy") as missing:
        engine.running(["plain"], Deadline(60))
    assert connect(container="app").running(["plain"], Deadline(60))["plain"].image == OLD
    # The suggestion is one that the action reads.
    (line,) = (line.strip() for line in missing.value.fix.splitlines() if "=" in line)
    assert services(line.replace("${{ github.sha }}", NEW_SHA))[0].service == "plain/app"
    # An engine that has seen the workload names its container; another one lets the shell ask for it.
    for by_hand, service in ((engine, "solo"), (connect(), "solo"), (connect(), "plain/app")):
        words = by_hand.by_hand(target(service, NEWER)).partition(" && ")[0]
        shell = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "KUBECONFIG": kubernetes.kubeconfig()}
        done = subprocess.run(["sh", "-c", words], env=shell, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        assert NEWER in images(kubernetes.get("deployments", service.partition("/")[0])).values()


def role_of_the_readme() -> list[dict[str, Any]]:
    """The rules that the README lists."""
    (text,) = (
        block for block in re.findall(r"```yaml\n(.*?)```", README.read_text("utf-8"), re.DOTALL) if "kind: Role\n" in block
    )
    found: Any = plain(read(text).root)
    return list(found["rules"])


def test_rights_of_the_readme_are_enough_and_needed(
    kubernetes: Namespace,
    connect: Callable[..., Kubernetes],
    make_runtime: Callable[..., Runtime],
    pods_say: Callable[[str], Deadline],
) -> None:
    kubernetes.images(NEWER, Behaviour("crash"))
    for kind, name in (("Deployment", "api"), ("StatefulSet", "db"), ("DaemonSet", "agent")):
        kubernetes.create(f"{kind.lower()}s", workload(name, kind=kind))
    engine = connect("deployer")
    with pytest.raises(Inconclusive, match='cannot get resource "deployments"') as denied:
        engine.running(["api"], Deadline(60))
    assert 'apiGroups: ["apps"]\n      resources: [deployments]\n      verbs: [get]' in denied.value.fix

    kubernetes.allow(role_of_the_readme())
    all_of_them = ["api", "db", "agent"]
    for service, before in settled(engine, all_of_them, Deadline(60), make_runtime()).items():
        assert engine.roll_out(target(service), before, Deadline(60)).replicas
    # Of the three, only a StatefulSet's revert also deletes pods.
    before = settled(engine, ["db"], Deadline(60), make_runtime())["db"]
    with pytest.raises(RollOutFailed) as failed:
        engine.roll_out(target("db", NEWER), before, pods_say("CrashLoopBackOff"))
    evidence = failed.value.evidence
    assert ("CrashLoopBackOff" in evidence.reason, evidence.log, "BackOff" in evidence.events) == (True, "listening", True)
    engine.revert(target("db", NEWER), before, Deadline(60))
    runs = passing(lambda: any(is_running_job(pod) for pod in kubernetes.all("pods")), left=0.5)
    for command, deadline, code in (("exit 3", Deadline(60), 3), ("sleep 60", runs, None)):
        job = Job("migrate", Image(REPOSITORY, OLD.partition("@")[2]), ("sh", "-c", command), {"TOKEN": "s3cret-value"}, "api")
        end = engine.job(job, deadline, lambda *_: None)
        assert (end.cleaned, end.exit_code if code else None) == (True, code)


def test_api_server_that_does_not_answer_is_asked_again(
    kubernetes: Namespace, make_runtime: Callable[..., Runtime], log: Log, tmp_path: Path
) -> None:
    kubernetes.create("deployments", workload())
    real = Path(kubernetes.kubeconfig()).read_text()
    nowhere = re.sub(r"https://127\.0\.0\.1:\d+", "https://127.0.0.1:9", real)
    path = tmp_path / "kubeconfig"
    path.write_text(nowhere)
    engine = Kubernetes(make_runtime(KUBECONFIG=str(path)))
    log.on("Trying again", lambda: path.write_text(real))
    assert engine.running(["api"], Deadline(60))["api"].image == OLD
    path.write_text(nowhere)
    with pytest.raises(EngineUnreachable, match="kubectl get deployment"):
        engine.running(["api"], Deadline(1))


def test_service_that_does_not_exist_is_missing(kubernetes: Namespace, engine: Kubernetes) -> None:
    assert engine.running(["worker"], Deadline(60)) == {}
    with pytest.raises(ServiceMissing):
        engine.roll_out(target("worker"), Running("worker"), Deadline(60))


def test_resolve_tag_asks_the_registry(make_runtime: Callable[..., Runtime], httpserver: HTTPServer) -> None:
    engine = Kubernetes(make_runtime())
    repository = f"127.0.0.1:{httpserver.port}/shop/api"
    digest = "sha256:" + "c" * 64
    httpserver.expect_request(f"/v2/shop/api/manifests/{NEW_SHA}", method="HEAD").respond_with_data(
        headers={"Docker-Content-Digest": digest}
    )
    assert engine.resolve(f"{repository}:{NEW_SHA}", Deadline(60)) == Image(repository, digest)
    httpserver.expect_request("/v2/shop/api/manifests/none", method="HEAD").respond_with_data(status=404)
    with pytest.raises(ImageMissing):
        engine.resolve(f"{repository}:none", Deadline(60))
    engine.close()
