"""The rule about traffic: it moves only to what passed a health check."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cicd_actions.pipeline_audit.applied import compose_files, manifests
from cicd_actions.pipeline_audit.facts import Facts
from cicd_actions.pipeline_audit.rules.definition import Answer, Broken, Held, NotApplicable, Rule, Tier, Unknown
from cicd_actions.pipeline_audit.rules.examples import HEAD, STATUS, UNDO, deploy_job
from cicd_actions.toolkit.yaml12 import Mapping, Node, Sequence
from cicd_actions.workflows.files import scalar_text
from cicd_actions.workflows.place import Place

_WORKLOADS = {"Deployment", "StatefulSet", "DaemonSet", "Rollout"}


def _ungated_traffic(facts: Facts) -> Iterator[Answer]:
    looked = [*_probes(facts), *_checks(facts)]
    broken = [one for one in looked if one is not None]
    yield from broken
    if looked and not broken:
        yield Held("Every container that gets traffic has a health check.")
    elif not looked:
        yield _by_platform(facts)


def _probes(facts: Facts) -> Iterator[Broken | None]:
    """What each container of the applied manifests lacks; `None` for one that lacks nothing."""
    for path in manifests(facts):
        for root in facts.repository.yaml(path):
            if isinstance(root, Mapping) and scalar_text(root.get("kind")) in _WORKLOADS:
                for container, line, ready in _containers(root):
                    message = f"The container `{container}` gets traffic without a `readinessProbe`."
                    yield None if ready else Broken(Place(path, line), message, key=container)


def _checks(facts: Facts) -> Iterator[Broken | None]:
    """The same for the services of the applied Compose files."""
    for path in compose_files(facts):
        for root in facts.repository.yaml(path):
            services = root.get("services") if isinstance(root, Mapping) else None
            for key, service in services.entries if isinstance(services, Mapping) else ():
                if isinstance(service, Mapping) and _serves(service):
                    ready = service.get("healthcheck") is not None or _image_checks(facts)
                    message = f"The service `{key.text}` gets traffic without a `healthcheck`."
                    yield None if ready else Broken(Place(path, key.line), message, _HEALTHCHECK, key=key.text)


def _by_platform(facts: Facts) -> Answer:
    gated = [effect for _, _, effect in facts.pipeline.deploys if effect.waits]
    hosted = [effect for _, _, effect in facts.pipeline.deploys if effect.platform and not effect.platform.service]
    charts = [
        path
        for path in facts.repository.paths
        if "/templates/" in path and "readinessProbe" in (facts.repository.text(path) or "")
    ]
    if charts:
        return Held("The chart has a `readinessProbe`.", Place(min(charts), 1))
    if gated:
        return Held(f"{gated[0].what} waits for healthy replicas.", gated[0].place)
    if hosted:
        return NotApplicable("The platform serves files.")
    return Unknown("The workloads are not described in this repository, so their health checks could not be read.")


_HEALTHCHECK = "healthcheck:\n  test: [CMD, curl, --fail, http://localhost:8000/health/ready]\n  interval: 5s"


def _containers(root: Mapping) -> Iterator[tuple[str, int, bool]]:
    node: Node | None = root
    for key in ("spec", "template", "spec", "containers"):
        node = node.get(key) if isinstance(node, Mapping) else None
    for item in node.items if isinstance(node, Sequence) else ():
        if isinstance(item, Mapping) and item.get("ports") is not None:
            yield scalar_text(item.get("name")), item.line, item.get("readinessProbe") is not None


def _serves(service: Mapping) -> bool:
    """Whether a service is the application itself: it gets traffic, and is not a database or a proxy."""
    image = scalar_text(service.get("image")).lower()
    infrastructure = (
        r"(postgres|mysql|mariadb|redis|valkey|mongo|rabbitmq|nginx|traefik|caddy|haproxy|minio|certbot"
        r"|adminer|grafana|prometheus|kafka|elasticsearch|nats)"
    )
    return service.get("ports") is not None and not re.search(infrastructure, image)


def _image_checks(facts: Facts) -> bool:
    return any(
        re.search(r"^HEALTHCHECK\s+(?!NONE)", facts.repository.text(path) or "", re.MULTILINE)
        for path in facts.repository.named("Dockerfile*", "*.Dockerfile")
    )


_MANIFEST = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: api
spec:
  template:
    spec:
      containers:
        - name: api
          image: ghcr.io/org/api:v1.4.2
          ports:
            - containerPort: 8000
"""


UNGATED_TRAFFIC = Rule(
    "ungated-traffic",
    Tier.MAJOR,
    "Traffic moves only to replicas that passed their health check.",
    "Without a health check a replica gets requests before it can answer them, also one that never will.",
    "readinessProbe:\n  httpGet:\n    path: /health/ready\n    port: 8000",
    _ungated_traffic,
    {".github/workflows/deploy.yml": HEAD + deploy_job("- run: kubectl apply -f k8s/", STATUS, UNDO), "k8s/api.yml": _MANIFEST},
    {
        ".github/workflows/deploy.yml": HEAD + deploy_job("- run: kubectl apply -f k8s/", STATUS, UNDO),
        "k8s/api.yml": _MANIFEST
        + "          readinessProbe:\n            httpGet:\n              path: /health/ready\n              port: 8000\n",
    },
    "It reads the manifests, stack files and Compose files that the deploy applies.",
    of_deploys=True,
)
