"""The HTTPRoute of the Gateway API on the real API server, and a stand-in for a gateway, which accepts each change.

The resource has the group, the versions and the bounds of the Gateway API; what the tests do not need is let through.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from tests.harness.kube_apiserver import KubeApiServer, Namespace

Json = dict[str, Any]
GROUP = "gateway.networking.k8s.io"


def _text(**more: Any) -> Json:
    return {"type": "string", **more}


_BACKEND: Json = {
    "type": "object",
    "x-kubernetes-preserve-unknown-fields": True,
    "required": ["name"],
    "properties": {
        "name": _text(minLength=1, maxLength=253),
        "namespace": _text(),
        "kind": _text(default="Service"),
        "group": _text(),
        "port": {"type": "integer", "format": "int32", "minimum": 1, "maximum": 65535},
        "weight": {"type": "integer", "format": "int32", "minimum": 0, "maximum": 1_000_000, "default": 1},
    },
}
_RULE: Json = {
    "type": "object",
    "x-kubernetes-preserve-unknown-fields": True,
    "properties": {"backendRefs": {"type": "array", "maxItems": 16, "items": _BACKEND}},
}
_SCHEMA: Json = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "x-kubernetes-preserve-unknown-fields": True,
            "properties": {"rules": {"type": "array", "maxItems": 16, "items": _RULE}},
        },
        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    },
}


def install(server: KubeApiServer, group: str, kind: str, version: str, schema: Json) -> None:
    """Makes a resource known to the API server, once."""
    plural = f"{kind.lower()}s"
    names = {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()}
    served = {
        "name": version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
    }
    annotations = {"api-approved.kubernetes.io": "https://github.com/kubernetes-sigs/gateway-api/pull/2466"}
    body = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}", "annotations": annotations},
        "spec": {"group": group, "names": names, "scope": "Namespaced", "versions": [served]},
    }
    answer = server.api.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", json=body)
    assert answer.status_code in {201, 409}, answer.text
    end = time.monotonic() + 20
    while server.api.get(f"/apis/{group}/{version}/{plural}").status_code != 200:
        assert time.monotonic() < end
        time.sleep(0.05)


def route(*backends: list[Json]) -> Json:
    """An HTTPRoute with one rule for each list of backends."""
    rules = [
        {"matches": [{"path": {"type": "PathPrefix", "value": f"/{number}"}}], "backendRefs": refs}
        for number, refs in enumerate(backends)
    ]
    spec = {"parentRefs": [{"name": "public"}], "rules": rules}
    return {"apiVersion": f"{GROUP}/v1", "kind": "HTTPRoute", "metadata": {"name": "shop"}, "spec": spec}


@contextmanager
def gateway(namespace: Namespace, *backends: list[Json]) -> Iterator[None]:
    """An HTTPRoute whose changes a gateway accepts."""
    install(namespace.server, GROUP, "HTTPRoute", "v1", _SCHEMA)
    namespace.create("httproutes", route(*backends))
    accepted, stopped = threading.Event(), threading.Event()

    def accept() -> None:
        while not stopped.wait(0.05):
            try:
                asked = namespace.ask("GET", "httproutes", "shop")
            except httpx.TransportError:
                continue
            if not asked.is_success:
                continue
            found = asked.json()
            conditions = [
                {"type": kind, "status": "True", "observedGeneration": found["metadata"]["generation"]}
                for kind in ("Accepted", "ResolvedRefs")
            ]
            status = {"parents": [{"parentRef": {"name": "public"}, "conditions": conditions}]}
            if found.get("status") != status:
                path = f"/apis/{GROUP}/v1/namespaces/{namespace.name}/httproutes/shop/status"
                header = {"Content-Type": "application/merge-patch+json"}
                try:
                    answer = namespace.server.api.patch(path, content=json.dumps({"status": status}), headers=header)
                except httpx.TransportError:
                    continue
                if answer.is_success:
                    accepted.set()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        assert accepted.wait(20)
        yield
    finally:
        stopped.set()
        thread.join()
