"""Reads a Deployment, a StatefulSet, a DaemonSet or a Rollout as the API server gives it. Asks nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cicd_actions.engines import kubernetes_rollout as rollouts
from cicd_actions.engines.kubectl import Json
from cicd_actions.engines.protocol import REVISION, Refused
from cicd_actions.engines.reference import reference
from cicd_actions.engines.staying_up import moment
from cicd_actions.toolkit.errors import Failed
from cicd_actions.toolkit.grammar import NotUnderstood

KINDS = ("deployment", "statefulset", "daemonset", rollouts.RESOURCE)
CAUSE = "kubernetes.io/change-cause"
_DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"

_OWNERS = (
    ("argocd.argoproj.io/tracking-id", "", "Argo CD"),
    ("argocd.argoproj.io/instance", "", "Argo CD"),
    ("kustomize.toolkit.fluxcd.io/name", "", "Flux"),
    ("helm.toolkit.fluxcd.io/name", "", "Flux"),
    ("meta.helm.sh/release-name", "", "Helm"),
    ("app.kubernetes.io/managed-by", "Helm", "Helm"),
)
"""The labels and annotations that a tool leaves on what it applies, their value (any, where it is empty), and the tool.

- https://argo-cd.readthedocs.io/en/stable/user-guide/resource_tracking/
- https://fluxcd.io/flux/components/kustomize/kustomizations/
- https://helm.sh/docs/chart_best_practices/labels/"""


def ref(workload: Json) -> str:
    """Returns its name for kubectl: `deployment/api`."""
    return f"{workload['kind'].lower()}/{workload['metadata']['name']}"


def container_of(workload: Json, chosen: str) -> str:
    """Returns the container that is the service.

    That is `chosen`, else the template's default container, else the one named like the workload, else the only one.
    Raises `Failed` where there is no such container.
    """
    template = workload["spec"]["template"]
    names = [str(container["name"]) for container in template["spec"]["containers"]]
    annotations = template.get("metadata", {}).get("annotations") or {}
    workload_name = str(workload["metadata"]["name"])
    name = chosen or annotations.get(_DEFAULT_CONTAINER) or (workload_name if len(names) > 1 else names[0])
    if name not in names:
        image = str(template["spec"]["containers"][0]["image"])
        raise Failed(
            f"Could not find the container {name} in {ref(workload)}: it has {', '.join(names)}.",
            cause="The service is the container that the line names, that `container` names, the default container, or the"
            " container named like the service.",
            fix=f"    with:\n      services: |\n        {workload_name}/{names[0]}={_name(image)}:${{{{ github.sha }}}}",
        )
    return str(name)


def images(workload: Json, names: Iterable[str]) -> dict[str, str]:
    """Returns the images of these containers, init containers among them; a container that is gone has no entry."""
    wanted = set(names)
    return {name: image for name, image in _all_images(workload).items() if name in wanted}


def with_image_of(workload: Json, container: str) -> list[str]:
    """Returns the container and every other one, init containers too, that has exactly its image: they move together."""
    found = _all_images(workload)
    return [container, *(name for name, image in found.items() if name != container and image == found[container])]


def has_template_of(pod: Json, workload: Json) -> bool:
    """Whether the pod has the images of the workload's present template; it may have containers beside those."""
    return _images_of(workload["spec"]["template"]["spec"]).items() <= _images_of(pod["spec"]).items()


def _all_images(workload: Json) -> dict[str, str]:
    return _images_of(workload["spec"]["template"]["spec"])


def _images_of(spec: Json) -> dict[str, str]:
    return {str(each["name"]): str(each["image"]) for each in [*spec["containers"], *(spec.get("initContainers") or [])]}


def with_images(workload: Json, wanted: Mapping[str, str]) -> Json:
    """Returns the part of a patch that sets these containers' images; of the kind that `patch_kind` names."""
    if workload["kind"] == rollouts.KIND:
        pod = workload["spec"]["template"]["spec"]
        lists = {kind: pod.get(kind) or [] for kind in ("containers", "initContainers")}
        return {
            kind: [{**each, "image": wanted.get(each["name"], each["image"])} for each in entries]
            for kind, entries in lists.items()
            if any(each["name"] in wanted for each in entries)
        }
    inits = {each["name"] for each in workload["spec"]["template"]["spec"].get("initContainers") or []}
    found: Json = {"containers": [], "initContainers": []}
    for name, image in wanted.items():
        found["initContainers" if name in inits else "containers"].append({"name": name, "image": image})
    return {kind: entries for kind, entries in found.items() if entries}


def patch_kind(workload: Json) -> str:
    """Returns how the API server merges a patch of it: it knows the lists of built-in kinds only."""
    return "merge" if workload["kind"] == rollouts.KIND else "strategic"


def sha(workload: Json) -> str:
    """Returns the commit in the pod template's annotation, or empty text."""
    metadata = workload["spec"]["template"].get("metadata") or {}
    return str((metadata.get("annotations") or {}).get(REVISION, ""))


def digest(image: str) -> str:
    """Returns the digest of a reference or of a status's image id, or empty text."""
    try:
        return reference(image.removeprefix("docker-pullable://")).digest
    except NotUnderstood:
        return ""


def _name(image: str) -> str:
    try:
        return reference(image).repository
    except NotUnderstood:
        return image


def selector(workload: Json) -> str:
    """Returns its label selector as kubectl's `--selector` takes it."""
    found = workload["spec"]["selector"]
    parts = [f"{key}={value}" for key, value in sorted((found.get("matchLabels") or {}).items())]
    for each in found.get("matchExpressions") or []:
        key, operator, values = each["key"], each["operator"], ",".join(each.get("values") or [])
        parts.append({"Exists": key, "DoesNotExist": f"!{key}"}.get(operator) or f"{key} {operator.lower()} ({values})")
    return ",".join(parts)


def selects(label_selector: Json, labels: Mapping[str, str]) -> bool:
    """Whether a label selector chooses an object with these labels."""
    if any(labels.get(key) != value for key, value in (label_selector.get("matchLabels") or {}).items()):
        return False
    for each in label_selector.get("matchExpressions") or []:
        has, among = each["key"] in labels, labels.get(each["key"]) in (each.get("values") or [])
        if not {"Exists": has, "DoesNotExist": not has, "In": among, "NotIn": not among}[each["operator"]]:
            return False
    return True


def owned_by(item: Json, uids: set[str]) -> bool:
    """Whether one of these objects controls the item."""
    owners = item["metadata"].get("ownerReferences") or []
    return any(owner.get("controller") and owner["uid"] in uids for owner in owners)


def observed(workload: Json) -> bool:
    """Whether the status says anything about the present specification."""
    return int(_status(workload).get("observedGeneration", 0)) >= int(workload["metadata"].get("generation", 0))


def wanted(workload: Json) -> int | None:
    """Returns how many pods it should have; `None` for a DaemonSet whose nodes were not counted yet."""
    if workload["kind"] != "DaemonSet":
        return int(workload["spec"].get("replicas", 1))
    return int(_status(workload).get("desiredNumberScheduled", 0)) if observed(workload) else None


def ready(workload: Json) -> int:
    """Returns how many pods of the present template are available for sure; 0 while the status is of an older specification.

    The status counts available pods of every template together, so each old pod may be one of them. Argo keeps old pods for a
    while after the last step, and has counted the new ones by then.
    """
    if workload["kind"] == rollouts.KIND and observed(workload) and rollouts.healthy(workload):
        return int(workload["spec"].get("replicas", 1))
    updated, available, total = _counts(workload)
    return max(0, min(updated, available - max(0, total - updated))) if observed(workload) else 0


def _counts(workload: Json) -> tuple[int, int, int]:
    """Returns the pods that have the present template, those that are available, and all."""
    status = _status(workload)
    names = {
        "Deployment": ("updatedReplicas", "availableReplicas", "replicas"),
        rollouts.KIND: ("updatedReplicas", "availableReplicas", "replicas"),
        # `availableReplicas` exists since 1.22 only.
        "StatefulSet": ("updatedReplicas", "readyReplicas", "replicas"),
        "DaemonSet": ("updatedNumberScheduled", "numberAvailable", "desiredNumberScheduled"),
    }[workload["kind"]]
    updated, available, total = (int(status.get(name, 0)) for name in names)
    return updated, available, total


def gave_up(workload: Json) -> bool:
    """Whether Kubernetes gave up on the present specification: its progress deadline passed, or Argo aborted it."""
    if workload["kind"] == rollouts.KIND:
        return observed(workload) and bool(rollouts.failed(workload))
    return observed(workload) and _condition(workload, "Progressing").get("reason") == "ProgressDeadlineExceeded"


def arrived_at(workload: Json) -> float | None:
    """Returns when the present specification's roll-out was complete, in seconds since 1970; `None` where nothing tells."""
    progress = _condition(workload, "Progressing")
    complete = observed(workload) and progress.get("reason") == "NewReplicaSetAvailable"
    return moment(progress["lastUpdateTime"]) if complete else None


def settled(workload: Json) -> bool:
    """Decides as `kubectl rollout status` does; a workload that does not move by itself is settled too."""
    if gave_up(workload) or unmovable(workload):
        return True
    if workload["kind"] == rollouts.KIND:
        return observed(workload) and rollouts.healthy(workload)
    count = wanted(workload)
    updated, available, total = _counts(workload)
    return observed(workload) and count is not None and updated >= count and total <= updated <= available


def refused_pods(workload: Json) -> str:
    """Returns why the API server refuses its pods (a quota, a policy), or empty text."""
    return str(_condition(workload, "ReplicaFailure").get("message", ""))


def _status(workload: Json) -> Json:
    if workload["kind"] == rollouts.KIND:
        return rollouts.status_of(workload)
    return dict(workload.get("status") or {})


def _condition(workload: Json, kind: str) -> Json:
    for condition in _status(workload).get("conditions") or []:
        if condition.get("type") == kind and (kind == "Progressing" or condition.get("status") == "True"):
            return dict(condition)
    return {}


def unmovable(workload: Json) -> Refused | None:
    """Returns why a new image would not reach every pod by itself, or `None`."""
    if workload["kind"] == rollouts.KIND:
        return rollouts.refused(workload)
    name, spec = ref(workload), workload["spec"]
    strategy = spec.get("updateStrategy") or {}
    partition = int((strategy.get("rollingUpdate") or {}).get("partition") or 0)
    if spec.get("paused"):
        return Refused(
            f"Cannot roll out {name}: it is paused.",
            cause="Kubernetes replaces no pod of a paused Deployment.",
            fix=f"    kubectl rollout resume {name}",
        )
    if strategy.get("type") == "OnDelete":
        return Refused(
            f"Cannot roll out {name}: its update strategy is OnDelete.",
            cause="Kubernetes replaces a pod only when somebody deletes it, so old pods would keep running.",
            fix="    spec:\n      updateStrategy:\n        type: RollingUpdate",
        )
    if partition:
        return Refused(
            f"Cannot roll out {name}: its update strategy has the partition {partition}.",
            cause=f"Kubernetes keeps the pods with a number below {partition} on the old image.",
            fix="    spec:\n      updateStrategy:\n        rollingUpdate:\n          partition: 0",
        )
    return None


def notes(workload: Json, container: str) -> list[str]:
    """Returns what a person should know about a roll-out of it."""
    found: list[str] = []
    spec = workload["spec"]["template"]["spec"]
    if (workload["spec"].get("strategy") or {}).get("type") == "Recreate":
        found.append("uses the strategy `Recreate`: no pod answers between the old ones and the new.")
    main = next(each for each in spec["containers"] if each["name"] == container)
    if not main.get("readinessProbe"):
        found.append("has no readiness probe: a pod counts as ready once its process runs. Add one.")
    metadata = workload["metadata"]
    marks = {**(metadata.get("annotations") or {}), **(metadata.get("labels") or {})}
    owners = dict.fromkeys(owner for key, value, owner in _OWNERS if marks.get(key) and value in {"", marks[key]})
    if owners:
        found.append(
            f"is managed by {' and '.join(owners)}, which sets the image back at its next sync. Change the image in its source"
            " too, or tell it to ignore this field."
        )
    moving = with_image_of(workload, container)
    others = [
        name
        for name, image in _all_images(workload).items()
        if name not in moving and _name(image) == _name(str(main["image"]))
    ]
    if others:
        found.append(f"keeps the image of {', '.join(others)}: it is of the same repository, but not the service's image.")
    return found
