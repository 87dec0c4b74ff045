"""Manifests of the workloads that the Kubernetes tests roll out."""

from __future__ import annotations

from typing import Any

from cicd_actions.engines.protocol import REVISION, Image, Target

REPOSITORY = "registry.example/api"
OLD, NEW, NEWER = (f"{REPOSITORY}@sha256:{letter * 64}" for letter in "abc")
OLD_SHA, NEW_SHA = "1" * 40, "2" * 40


def target(service: str = "api", image: str = NEW, sha: str = NEW_SHA) -> Target:
    """The image that the service should run."""
    name, _, digest = image.partition("@")
    return Target(service, Image(name, digest), sha)


def container(name: str = "api", image: str = OLD, **more: Any) -> dict[str, Any]:
    """A container with a readiness probe; a field given as `None` is left out."""
    found = {"name": name, "image": image, "readinessProbe": {"httpGet": {"path": "/health", "port": 8000}}, **more}
    return {key: value for key, value in found.items() if value is not None}


def workload(
    name: str = "api",
    *,
    kind: str = "Deployment",
    containers: list[dict[str, Any]] | None = None,
    pod: dict[str, Any] | None = None,
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
    **spec: Any,
) -> dict[str, Any]:
    """A workload of one container at `OLD`; `pod`, `labels` and `annotations` are the template's."""
    base: dict[str, Any] = {
        "selector": {"matchLabels": {"app": name}},
        "template": {
            "metadata": {"labels": {"app": name, **(labels or {})}, "annotations": {REVISION: OLD_SHA, **(annotations or {})}},
            "spec": {"containers": containers or [container(name)], **(pod or {})},
        },
    }
    if kind == "Deployment":
        base |= {"replicas": 2, "progressDeadlineSeconds": 60}
    if kind == "StatefulSet":
        base |= {"replicas": 2, "serviceName": name}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": {**base, **spec}}


def service(name: str = "api", selector: dict[str, str] | None = None) -> dict[str, Any]:
    """A Service that chooses the pods of the workload of that name."""
    spec = {"selector": selector or {"app": name}, "ports": [{"port": 80, "targetPort": 8000}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}
