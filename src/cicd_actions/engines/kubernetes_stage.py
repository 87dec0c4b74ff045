"""Makes and reads what a stage on Kubernetes is: a second Deployment, and the Services that choose pods. Asks nothing.

The pods of both Deployments have the labels that the Services choose, so a Service says which release gets traffic: pinned to
the `pod-template-hash` of one release it chooses only that one, and without the pin it chooses the pods of both.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cicd_actions.engines import kubernetes_workload as workloads
from cicd_actions.engines import replica_share
from cicd_actions.engines.kubectl import Json
from cicd_actions.engines.protocol import REVISION, Refused
from cicd_actions.engines.stage_labels import STAGE, SUFFIX

PIN = "pod-template-hash"
"""The label that the Deployment controller gives a ReplicaSet and its pods:
https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#pod-template-hash-label"""

IMAGE = "org.cicd-actions.stage-image"
"""The annotation with the image that was asked for: an admission webhook may have made another reference of it."""

TOKEN = "org.cicd-actions.stage-token"
"""The annotation by which a run knows the stage that it made itself when the answer to the request was lost."""

_REVISION = "deployment.kubernetes.io/revision"
_LONGEST_LABEL = 63


@dataclass(frozen=True)
class Both:
    """Both Deployments, the Services that choose their pods, and the pods of each that may have traffic now.

    `old_hash` and `new_hash` are the releases' `pod-template-hash`. `live` is how many pods of the stage are not about to end.
    """

    first: Json
    standing: Json
    services: Sequence[Json]
    old: Sequence[Json]
    new: Sequence[Json]
    old_hash: str
    new_hash: str
    live: int


def both(first: Json, standing: Json, services: Iterable[Json], sets_and_pods: Sequence[Json]) -> Both:
    """Puts together what was read. A pod belongs to the Deployment that owns its ReplicaSet, whatever labels it has."""
    sets = [each for each in sets_and_pods if each["kind"] == "ReplicaSet"]

    def pods(owner: Json) -> list[Json]:
        uid = {str(owner["metadata"]["uid"])}
        uids = {str(each["metadata"]["uid"]) for each in sets if workloads.owned_by(each, uid)}
        return [each for each in sets_and_pods if each["kind"] == "Pod" and workloads.owned_by(each, uids)]

    new = pods(standing)
    return Both(
        first,
        standing,
        services_of(first, services),
        old=[pod for pod in pods(first) if takes_traffic(pod)],
        new=[pod for pod in new if takes_traffic(pod)],
        old_hash=hash_of(first, sets),
        new_hash=hash_of(standing, sets),
        live=sum(not pod["metadata"].get("deletionTimestamp") for pod in new),
    )


def name_of(service: str) -> str:
    """Returns the name of the stage's Deployment; `service` may be `workload/container`."""
    return service.partition("/")[0] + SUFFIX


def beside(first: Json, images: Mapping[str, str], sha: str, annotations: Mapping[str, str]) -> Json:
    """Returns the second Deployment, without a pod yet: that of the first, with the new images.

    Nothing of the first one's own labels and annotations is copied: by those, tools such as Argo CD know what they may remove.
    Raises `Refused` where the name does not fit a label.
    """
    name = str(first["metadata"]["name"])
    if len(name + SUFFIX) > _LONGEST_LABEL:
        raise Refused(
            f"Cannot stage {name}: the name {name}{SUFFIX} is longer than {_LONGEST_LABEL} characters.",
            fix="    with:\n      strategy: rolling",
        )
    spec = copy.deepcopy(first["spec"])
    spec.pop("paused", None)
    spec["replicas"] = 0
    spec["selector"].setdefault("matchLabels", {})[STAGE] = name
    metadata = spec["template"].setdefault("metadata", {})
    metadata["labels"] = {**(metadata.get("labels") or {}), STAGE: name}
    own = {key: text for key, text in (metadata.get("annotations") or {}).items() if key != REVISION}
    metadata["annotations"] = {**own, **({REVISION: sha} if sha else {})}
    pod = spec["template"]["spec"]
    for container in [*pod["containers"], *(pod.get("initContainers") or [])]:
        container["image"] = images.get(container["name"], container["image"])
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name + SUFFIX, "labels": {STAGE: name}, "annotations": {**annotations}},
        "spec": spec,
    }


def is_stage_of(found: Json, service: str) -> bool:
    """Whether this Deployment is the stage of that service; something else may have its name."""
    metadata = found["metadata"]
    own = (metadata.get("labels") or {}).get(STAGE) == service.partition("/")[0]
    return own and not metadata.get("deletionTimestamp")


def is_held(first: Json) -> bool:
    """Whether a stage stands beside the Deployment, or did: it is paused then, with a mark that says so."""
    metadata = first["metadata"]
    return STAGE in (metadata.get("annotations") or {}) and STAGE not in (metadata.get("labels") or {})


def is_empty(standing: Json) -> bool:
    """Whether the Deployment wants no pod any more, and its controller knows."""
    return workloads.wanted(standing) == 0 and workloads.observed(standing) and not standing["status"].get("replicas")


def image_of(standing: Json, container: str) -> str:
    """Returns the image that was asked for, where the stage runs its digest, else what it runs."""
    runs = workloads.images(standing, [container]).get(container, "")
    asked = str((standing["metadata"].get("annotations") or {}).get(IMAGE, ""))
    return asked if asked and workloads.digest(asked) == workloads.digest(runs) else runs


def hash_of(workload: Json, sets: Iterable[Json]) -> str:
    """Returns the `pod-template-hash` of the ReplicaSet that the Deployment brought up last; empty where there is none."""
    revision = (workload["metadata"].get("annotations") or {}).get(_REVISION)
    uid = {str(workload["metadata"]["uid"])}
    for each in sets:
        if workloads.owned_by(each, uid) and (each["metadata"].get("annotations") or {}).get(_REVISION) == revision:
            return str((each["metadata"].get("labels") or {}).get(PIN, ""))
    return ""


def services_of(workload: Json, services: Iterable[Json]) -> list[Json]:
    """Returns the Services that choose the Deployment's pods, whichever release they are pinned to."""
    labels = workload["spec"]["template"].get("metadata", {}).get("labels") or {}
    return [each for each in services if (own := selector_of(each)) and own.items() <= labels.items()]


def selector_of(service: Json) -> dict[str, str]:
    """Returns the labels by which the Service chooses pods, without the pin."""
    return {key: text for key, text in (service["spec"].get("selector") or {}).items() if key != PIN}


def pin_of(service: Json) -> str:
    """Returns the hash to which the Service is pinned, or empty text."""
    return str((service["spec"].get("selector") or {}).get(PIN, ""))


def chosen(service: Json, pods: Iterable[Json], pin: str | None = None) -> list[Json]:
    """Returns the pods that the Service chooses, or would choose with that pin."""
    wanted = {**selector_of(service), PIN: pin_of(service) if pin is None else pin}
    if not wanted[PIN]:
        del wanted[PIN]
    return [pod for pod in pods if wanted.items() <= (pod["metadata"].get("labels") or {}).items()]


def takes_traffic(pod: Json) -> bool:
    """Whether a Service sends requests to it: it is ready, and not about to end."""
    conditions = (pod.get("status") or {}).get("conditions") or []
    ready = any(each.get("type") == "Ready" and each.get("status") == "True" for each in conditions)
    return ready and not pod["metadata"].get("deletionTimestamp")


def share(both: Both) -> float:
    """Returns the new release's part of the ready pods behind a Service, in percent: the largest one of all Services."""
    shares = (replica_share.percent(len(chosen(each, both.new)), len(chosen(each, both.old))) for each in both.services)
    return max(shares, default=0.0)
