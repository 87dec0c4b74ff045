"""Watches which ready pods each Service of a namespace chooses, at every version of the cluster's state.

The API server gives each change of any object the next resource version, so the events of Services and pods, in that order, are
the states through which the namespace went: a Service that chose no ready pod for a moment is found, however short it was.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import httpx

from tests.harness.kube_apiserver import Namespace

Json = dict[str, Any]
GATEWAY = "gateway.networking.k8s.io"
KINDS = {
    "services": ("Service", "api/v1"),
    "pods": ("Pod", "api/v1"),
    "httproutes": ("HTTPRoute", "apis/gateway.networking.k8s.io/v1"),
}
_LAST = "the-last-change"


class ChosenPods:
    """What was seen. `history` has an entry for each change of what one Service chooses."""

    def __init__(self, namespace: Namespace, kinds: Sequence[str]) -> None:
        self._namespace = namespace
        self._kinds = kinds
        self._events: list[tuple[int, str, Json]] = []
        self._threads = [threading.Thread(target=self._watch, args=(kind,), daemon=True) for kind in kinds]
        self._begun = threading.Barrier(len(kinds) + 1)
        self._ended: set[str] = set()

    def start(self) -> None:
        for thread in self._threads:
            thread.start()
        self._begun.wait(60)

    def stop(self) -> None:
        """Waits until everything that happened until now was seen."""
        metadata = {"name": _LAST}
        port = {"ports": [{"port": 80}]}
        self._namespace.create("services", {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": port})
        pod = {"containers": [{"name": "last", "image": "last"}]}
        self._namespace.create("pods", {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod})
        if "httproutes" in self._kinds:
            spec: Json = {"rules": []}
            self._namespace.create(
                "httproutes", {"apiVersion": f"{GATEWAY}/v1", "kind": "HTTPRoute", "metadata": metadata, "spec": spec}
            )
        for thread in self._threads:
            thread.join(60)
        assert self._ended == set(self._kinds), "a watch ended before it had seen everything"
        for kind in self._kinds:
            self._namespace.delete(kind, _LAST)

    def history(self) -> list[tuple[int, str, list[str]]]:
        """The resource version, the Service, and the images of the ready pods that it chose from then on."""
        known: dict[str, dict[str, Json]] = {"services": {}, "pods": {}}
        found: list[tuple[int, str, list[str]]] = []
        last: dict[str, list[str]] = {}
        for version, change, item in sorted(self._events, key=lambda event: event[0]):
            if item["kind"] == "HTTPRoute":
                continue
            there = known["services" if item["kind"] == "Service" else "pods"]
            there.pop(item["metadata"]["name"], None)
            if change != "DELETED":
                there[item["metadata"]["name"]] = item
            for name, service in known["services"].items():
                chosen = pods_of(service, known["pods"].values())
                images = sorted(str(pod["spec"]["containers"][0]["image"]) for pod in chosen)
                if images != last.get(name) and service["spec"].get("selector"):
                    last[name] = images
                    found.append((version, name, images))
        return found

    def assert_route_never_leads_nowhere(self) -> None:
        """Raises where a rule of an HTTPRoute gave traffic to a Service that did not exist or chose no ready pod."""
        last: dict[str, list[str]] = {}
        rules: list[Json] = []
        events: list[tuple[int, str, Any]] = list(self.history())
        events += [(version, "", item) for version, _, item in self._events if item["kind"] == "HTTPRoute"]
        for version, name, what in sorted(events, key=lambda event: event[0]):
            if name:
                last[name] = what
            else:
                rules = what["spec"]["rules"]
            for each in [each for rule in rules for each in rule["backendRefs"]]:
                assert not each["weight"] or last.get(each["name"]), f"{each} chose no ready pod at {version}: {last}"

    def assert_never_empty(self) -> None:
        """Raises where a Service chose no ready pod, once it had chosen one. That of a stage may, without weight."""
        begun: set[str] = set()
        for version, name, images in self.history():
            assert images or name not in begun or name.endswith("-next"), (
                f"{name} chose no ready pod at {version}: {self.history()}"
            )
            begun.add(name)

    def _watch(self, kind: str) -> None:
        server = self._namespace.server
        with httpx.Client(base_url=server.url, verify=server.authority.context(), headers=server.api.headers) as client:
            name, group = KINDS[kind]
            path = f"/{group}/namespaces/{self._namespace.name}/{kind}"
            listed = client.get(path).json()
            for item in listed["items"]:
                item["kind"] = name
                self._events.append((int(item["metadata"]["resourceVersion"]), "ADDED", item))
            version = listed["metadata"]["resourceVersion"]
            self._begun.wait(60)
            while kind not in self._ended:
                since = {"watch": "true", "resourceVersion": version}
                # A watch that is lost goes on from the last version that it has seen.
                with (
                    contextlib.suppress(httpx.RemoteProtocolError, httpx.ReadError),
                    client.stream("GET", path, params=since, timeout=600) as answer,
                ):
                    for line in answer.iter_lines():
                        event = json.loads(line)
                        item = event["object"]
                        if item["metadata"]["name"] == _LAST:
                            self._ended.add(kind)
                            break
                        version = item["metadata"]["resourceVersion"]
                        self._events.append((int(version), event["type"], item))


@contextlib.contextmanager
def chosen_pods(namespace: Namespace, *more: str) -> Iterator[ChosenPods]:
    """Watches Services, pods, and `more` until the end of the block."""
    watched = ChosenPods(namespace, ["services", "pods", *more])
    watched.start()
    try:
        yield watched
    finally:
        watched.stop()


def pods_of(service: Json, pods: Iterable[Json]) -> list[Json]:
    """The ready pods that the Service chooses."""
    wanted = (service["spec"].get("selector") or {}).items()
    return [pod for pod in pods if wanted <= (pod["metadata"].get("labels") or {}).items() and _ready(pod)]


def _ready(pod: Json) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
    return ready and "deletionTimestamp" not in pod["metadata"]
