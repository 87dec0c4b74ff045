"""Watches which ready pods each Service of a namespace chooses, at every version of the cluster's state.

The API server gives each change of any object the next resource version, so the events of Services and pods, in that order, are
the states through which the namespace went: a Service that chose no ready pod for a moment is found, however short it was.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from tests.harness.kube_apiserver import Namespace

Json = dict[str, Any]
KINDS = ("services", "pods")
_LAST = "the-last-change"


class ChosenPods:
    """What was seen. `history` has an entry for each change of what one Service chooses."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace
        self._events: list[tuple[int, str, Json]] = []
        self._threads = [threading.Thread(target=self._watch, args=(kind,), daemon=True) for kind in KINDS]
        self._begun = threading.Barrier(len(KINDS) + 1)

    def start(self) -> None:
        for thread in self._threads:
            thread.start()
        self._begun.wait(20)

    def stop(self) -> None:
        """Waits until everything that happened until now was seen."""
        metadata = {"name": _LAST}
        port = {"ports": [{"port": 80}]}
        self._namespace.create("services", {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": port})
        pod = {"containers": [{"name": "last", "image": "last"}]}
        self._namespace.create("pods", {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod})
        for thread in self._threads:
            thread.join(20)
            assert not thread.is_alive()
        for kind in KINDS:
            self._namespace.delete(kind, _LAST)

    def history(self) -> list[tuple[int, str, list[str]]]:
        """The resource version, the Service, and the images of the ready pods that it chose from then on."""
        known: dict[str, dict[str, Json]] = {kind: {} for kind in KINDS}
        found: list[tuple[int, str, list[str]]] = []
        last: dict[str, list[str]] = {}
        for version, change, item in sorted(self._events, key=lambda event: event[0]):
            there = known["services" if item["kind"] == "Service" else "pods"]
            there.pop(item["metadata"]["name"], None)
            if change != "DELETED":
                there[item["metadata"]["name"]] = item
            for name, service in known["services"].items():
                images = sorted(_images(service, known["pods"]))
                if images != last.get(name) and service["spec"].get("selector"):
                    last[name] = images
                    found.append((version, name, images))
        return found

    def assert_never_empty(self) -> None:
        """Raises where a Service chose no ready pod, once it had chosen one."""
        begun: set[str] = set()
        for version, name, images in self.history():
            assert images or name not in begun, f"{name} chose no ready pod at {version}: {self.history()}"
            begun.add(name)

    def _watch(self, kind: str) -> None:
        server = self._namespace.server
        with httpx.Client(base_url=server.url, verify=server.authority.context(), headers=server.api.headers) as client:
            path = f"/api/v1/namespaces/{self._namespace.name}/{kind}"
            listed = client.get(path).json()
            for item in listed["items"]:
                item["kind"] = "Service" if kind == "services" else "Pod"
                self._events.append((int(item["metadata"]["resourceVersion"]), "ADDED", item))
            since = {"watch": "true", "resourceVersion": listed["metadata"]["resourceVersion"]}
            with client.stream("GET", path, params=since, timeout=600) as answer:
                self._begun.wait(20)
                for line in answer.iter_lines():
                    event = json.loads(line)
                    item = event["object"]
                    if item["metadata"]["name"] == _LAST:
                        return
                    self._events.append((int(item["metadata"]["resourceVersion"]), event["type"], item))


@contextmanager
def chosen_pods(namespace: Namespace) -> Iterator[ChosenPods]:
    """Watches until the end of the block."""
    watched = ChosenPods(namespace)
    watched.start()
    try:
        yield watched
    finally:
        watched.stop()


def _images(service: Json, pods: dict[str, Json]) -> list[str]:
    wanted = (service["spec"].get("selector") or {}).items()
    chosen = [pod for pod in pods.values() if wanted <= (pod["metadata"].get("labels") or {}).items()]
    return [pod["spec"]["containers"][0]["image"] for pod in chosen if _ready(pod)]


def _ready(pod: Json) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
    return ready and "deletionTimestamp" not in pod["metadata"]
