"""The Rollout of Argo Rollouts on the real API server, and a stand-in for its controller.

The stand-in makes real ReplicaSets, walks through the canary's steps, and writes the status as Argo does, with its observed
generation as text. It divides no traffic.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpx

from tests.harness.gateway import install
from tests.harness.kube_apiserver import Namespace
from tests.harness.workloads import workload

Json = dict[str, Any]
GROUP, VERSION = "argoproj.io", "v1alpha1"
HASH = "rollouts-pod-template-hash"
_ANYTHING: Json = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def rollout(*steps: Json, name: str = "api", **spec: Any) -> Json:
    """A Rollout with these steps of a canary; `spec` replaces fields."""
    made = workload(name)
    strategy = {"canary": {"steps": list(steps)}}
    return {
        **made,
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "Rollout",
        "spec": {**made["spec"], "strategy": strategy, **spec},
    }


class _Controller:
    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace
        self._began: dict[str, float] = {}

    def look(self) -> None:
        """Does what one reconciliation of Argo does, for each Rollout."""
        for found in self._namespace.all("rollouts"):
            status = self._reconciled(found)
            if found.get("status") != status:
                path = f"/apis/{GROUP}/{VERSION}/namespaces/{self._namespace.name}/rollouts/{found['metadata']['name']}/status"
                header = {"Content-Type": "application/merge-patch+json"}
                self._namespace.server.api.patch(path, content=json.dumps({"status": status}), headers=header)

    def _reconciled(self, found: Json) -> Json:
        spec, status = found["spec"], found.get("status") or {}
        current = hashlib.sha256(json.dumps(spec["template"], sort_keys=True).encode()).hexdigest()[:10]
        stable = status.get("stableRS") or current
        steps = spec["strategy"]["canary"]["steps"]
        began = self._began.setdefault(current, time.monotonic())
        index = len(steps) if current == stable else int(status.get("currentStepIndex") or 0)
        if status.get("currentPodHash") != current:
            began = self._began[current] = time.monotonic()
            index = len(steps) if current == stable else 0
        aborted = bool(status.get("abort")) and status.get("currentPodHash") == current
        self._scale(found, current, 0 if aborted else spec["replicas"])
        sets = {each["metadata"]["labels"][HASH]: each for each in self._namespace.all("replicasets")}
        available = {key: int(each["status"].get("availableReplicas", 0)) for key, each in sets.items()}
        up = available.get(current, 0) == spec["replicas"]
        if up and index < len(steps):
            index += 1
        if up and index == len(steps):
            stable = current
            for other in set(sets) - {current}:
                self._scale(found, other, 0)
        late = not up and time.monotonic() - began > spec["progressDeadlineSeconds"]
        aborted = aborted or (late and current != stable)
        message = f'ProgressDeadlineExceeded: ReplicaSet "api-{current}" has timed out progressing.'
        return {
            "observedGeneration": str(found["metadata"]["generation"]),
            "phase": "Degraded" if aborted else "Healthy" if up and stable == current else "Progressing",
            "message": message if aborted else None,
            "abort": aborted or None,
            "currentPodHash": current,
            "stableRS": stable,
            "currentStepIndex": index,
            "replicas": sum(int(each["status"].get("replicas", 0)) for each in sets.values()),
            "updatedReplicas": int(sets[current]["status"].get("replicas", 0)) if current in sets else 0,
            "availableReplicas": sum(available.values()),
        }

    def _scale(self, found: Json, key: str, replicas: int) -> None:
        name = f"{found['metadata']['name']}-{key}"
        template = json.loads(json.dumps(found["spec"]["template"]))
        template["metadata"]["labels"][HASH] = key
        labels = template["metadata"]["labels"]
        owner = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": "Rollout",
            "name": found["metadata"]["name"],
            "uid": found["metadata"]["uid"],
            "controller": True,
        }
        body = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {"name": name, "labels": labels, "ownerReferences": [owner]},
            "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
        }
        if self._namespace.ask("POST", "replicasets", json=body).status_code == 409:
            self._namespace.patch("replicasets", name, {"spec": {"replicas": replicas}})


@contextmanager
def argo(namespace: Namespace) -> Iterator[None]:
    """The resource, and its controller in one namespace."""
    install(
        namespace.server, GROUP, "Rollout", VERSION, {"type": "object", "properties": {"spec": _ANYTHING, "status": _ANYTHING}}
    )
    controller, stopped = _Controller(namespace), threading.Event()

    def work() -> None:
        while not stopped.wait(0.05):
            with suppress(httpx.HTTPError, AssertionError):
                controller.look()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
