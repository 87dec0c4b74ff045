"""roll-out by `canary` and `blue-green` on a real API server, from its inputs to its verdict.

Pods are not run here: one server answers on all of their addresses, and clients choose among the ready pods of the Service.
"""

from __future__ import annotations

import hashlib
import random
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from cicd_actions.engines.protocol import REVISION
from cicd_actions.toolkit.yaml12 import plain, read
from tests.fakes.prometheus import Prometheus, started
from tests.harness.action import Ended, Step, run
from tests.harness.chosen_pods import chosen_pods, pods_of
from tests.harness.kube_apiserver import Namespace
from tests.harness.serving import serving
from tests.harness.workloads import NEW_SHA, OLD_SHA, container, service, workload

pytestmark = pytest.mark.kubernetes

ROOT = Path(__file__).resolve().parents[3]
MANIFESTS = [b'{"schemaVersion": 2, "release": "old"}', b'{"schemaVersion": 2, "release": "new"}']
OLD, NEW = (f"sha256:{hashlib.sha256(manifest).hexdigest()}" for manifest in MANIFESTS)
PODS = '{pod=~"{service}-[a-z0-9]+-[a-z0-9]{5}"}'


class Pods(ThreadingHTTPServer):
    """Answers on the address of each pod as that pod: with the commit of its release."""

    daemon_threads = True

    def __init__(self, namespace: Namespace) -> None:
        super().__init__(("0.0.0.0", 0), _Pod)
        self.namespace = namespace


class _Pod(BaseHTTPRequestHandler):
    server: Pods

    def do_GET(self) -> None:
        asked = self.connection.getsockname()[0]
        (pod,) = (pod for pod in self.server.namespace.all("pods") if pod.get("status", {}).get("podIP") == asked)
        self.send_response(200)
        self.send_header("X-Version", pod["metadata"]["annotations"][REVISION])
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *words: Any) -> None: ...


class Clients:
    """Ask the Service all the time; Prometheus counts what its pods answer. A pod of the new release fails `failing` of it."""

    def __init__(self, namespace: Namespace, prometheus: Prometheus, failing: float) -> None:
        self.namespace, self.prometheus, self.failing = namespace, prometheus, failing
        self.unanswered = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        prometheus.counters = {"requests_total": {}, "errors_total": {}}

    def __enter__(self) -> Clients:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join(20)

    def _ask(self) -> None:
        requests, errors = self.prometheus.counters["requests_total"], self.prometheus.counters["errors_total"]
        while not self._stopped.wait(0.1):
            pods = pods_of(self.namespace.get("services", "api"), self.namespace.all("pods"))
            self.unanswered += not pods
            for pod in random.choices(pods, k=300) if pods else ():  # noqa: S311 - as a Service does
                name = pod["metadata"]["name"]
                requests[name] = requests.get(name, 0) + 1
                if NEW in pod["spec"]["containers"][0]["image"] and random.random() < self.failing:  # noqa: S311
                    errors[name] = errors.get(name, 0) + 1


@contextmanager
def shop(kubernetes: Namespace, registry: HTTPServer, failing: float = 0.0) -> Iterator[dict[str, str]]:
    """A Deployment with one pod, its clients, and the inputs of a roll-out of the next release."""

    def manifest(request: Request) -> Response:
        asked = request.path.rpartition("/")[2]
        kind = "application/vnd.oci.image.manifest.v1+json"
        return Response(MANIFESTS[asked == NEW], headers={"Docker-Content-Digest": asked}, content_type=kind)

    registry.expect_request(re.compile(r"/v2/.*")).respond_with_handler(manifest)
    name = f"127.0.0.1:{registry.port}/org/api"
    kubernetes.create("services", service())
    containers = [container(image=f"{name}@{OLD}")]
    kubernetes.create("deployments", workload(containers=containers, replicas=1))
    kubernetes.kubectl("rollout", "status", "deployment/api", "--timeout=60s")
    with (
        serving(Pods(kubernetes)) as pods,
        started() as prometheus,
        Clients(kubernetes, prometheus, failing) as clients,
        chosen_pods(kubernetes) as chosen,
    ):
        gate = f'- url: "http://{{api.address}}:{pods.server_address[1]}/"\n  expect-version: "{{sha}}"'
        yield {
            "engine": "kubernetes",
            "context": "here",
            "services": f"api={name}@{NEW}",
            "sha": NEW_SHA,
            "strategy": "canary",
            "steps": "50% 1000 requests within 60s",
            "bake": "1s",
            "stage-targets": f"{gate}\n  version-from: header:X-Version\n  timeout: 5s",
            "prometheus": prometheus.url,
            "requests-query": f"requests_total{PODS}",
            "errors-query": f"errors_total{PODS}",
        }
    chosen.assert_never_empty()
    assert not clients.unanswered


def rules(page: str, has: str) -> list[Any]:
    """The rules of a role that a page lists."""
    (text,) = (each for each in re.findall(r"```yaml\n(.*?)```", (ROOT / page).read_text("utf-8"), re.DOTALL) if has in each)
    found: Any = plain(read(text if "rules:" in text else f"rules:\n{text}").root)
    return list(found["rules"])


def allow_the_deployer(kubernetes: Namespace) -> None:
    """Gives the deployer what the documentation says, and no more."""
    given = [
        *rules("actions/roll-out/README.md", "kind: Role\n"),
        *rules("docs/progressive-delivery.md", "verbs: [get, list, patch]"),
    ]
    kubernetes.allow(given)


def verdict(ended: Ended) -> tuple[int, str, str, str]:
    return ended.code, ended.outputs["verdict"], ended.outputs["rolled-out"], ended.outputs["stage"]


def test_canary_and_blue_green_by_the_rights_of_the_documentation_are_promoted(
    kubernetes: Namespace, httpserver: HTTPServer
) -> None:
    allow_the_deployer(kubernetes)
    with shop(kubernetes, httpserver) as inputs:
        ended = run("roll-out", inputs, KUBECONFIG=kubernetes.kubeconfig("deployer"))
        assert verdict(ended) == (0, "pass", "true", "promoted"), ended.log
        back = {**inputs, "services": inputs["services"].replace(NEW, OLD), "sha": OLD_SHA, "strategy": "blue-green"}
        other = {"stage-targets": back["stage-targets"].replace("{sha}", "f" * 40)}
        wrong = run("roll-out", {**back, **other}, KUBECONFIG=kubernetes.kubeconfig("deployer"))
        assert verdict(wrong) == (1, "fail", "false", "abandoned"), wrong.log
        returned = run("roll-out", back, KUBECONFIG=kubernetes.kubeconfig("deployer"))
        assert verdict(returned) == (0, "pass", "true", "promoted"), returned.log
    assert re.search(r"50 %: pass\. Errors: 0 of \d{4,} ", ended.log), ended.log
    (only,) = kubernetes.all("deployments")
    assert OLD in only["spec"]["template"]["spec"]["containers"][0]["image"]


def test_canary_with_errors_is_abandoned(kubernetes: Namespace, httpserver: HTTPServer) -> None:
    with shop(kubernetes, httpserver, failing=0.2) as inputs:
        ended = run("roll-out", inputs, KUBECONFIG=kubernetes.kubeconfig())
        assert verdict(ended) == (1, "fail", "false", "abandoned"), ended.log
    assert "The new release of api failed at 50 %. Errors: " in ended.outputs["reason"]
    (only,) = kubernetes.all("deployments")
    assert OLD in only["spec"]["template"]["spec"]["containers"][0]["image"]
    assert not only["spec"].get("paused")


def test_blue_green_that_waits_outlives_a_killed_run_and_a_rolling_release_abandons_it(
    kubernetes: Namespace, httpserver: HTTPServer
) -> None:
    with shop(kubernetes, httpserver) as inputs:
        without = {"prometheus": "", "requests-query": "", "errors-query": ""}
        refused = run("roll-out", {**inputs, **without}, KUBECONFIG=kubernetes.kubeconfig())
        assert "does not count what the releases answer" in refused.outputs["reason"]
        asked = {**inputs, **without, "strategy": "blue-green"}
        step = Step("roll-out", {**asked, "bake": "60s"}, KUBECONFIG=kubernetes.kubeconfig())
        step.await_log("Giving the new release all of the traffic", 90)
        step.kill()
        ended = run("roll-out", {**asked, "promote": "manual"}, KUBECONFIG=kubernetes.kubeconfig())
        assert verdict(ended) == (0, "pass", "false", "staged"), ended.log
        old = {**asked, "strategy": "rolling", "services": inputs["services"].replace(NEW, OLD), "sha": OLD_SHA}
        ended = run("roll-out", old, KUBECONFIG=kubernetes.kubeconfig())
        assert ended.code == 0, ended.log
        assert "abandoned the stage of" in ended.log
    assert kubernetes.get("services", "api")["spec"]["selector"] == {"app": "api"}
