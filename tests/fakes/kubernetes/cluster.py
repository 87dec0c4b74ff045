"""The state behind the stand-in: Deployments that roll out, Jobs that run, as functions of the time since they were changed.

It shows which requests are made, in which order, with which bodies (checked against Kubernetes' own schemas), and how an
engine reads the answers. It does not show scheduling, probes, or what a real controller does at the edges.
"""

from __future__ import annotations

import copy
import hashlib
import json
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from kubernetes_validate.utils import ValidationError, validate

Json = dict[str, Any]
VERSION = "1.32"
REVISION = "deployment.kubernetes.io/revision"
_KEYED = {"containers": "name", "env": "name", "volumes": "name", "initContainers": "name", "volumeMounts": "mountPath"}


class Refused(Exception):
    """An answer other than success: `code`, `reason` and text, as the API server gives them."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason


@dataclass
class Image:
    """How containers of an image behave: `good`, `unready`, `crash`, `missing`; for jobs, what they print and how they end."""

    kind: str = "good"
    lines: list[str] = field(default_factory=lambda: ["listening"])
    exit_code: int = 0
    seconds: float = 0.2
    on_term: str = "terminated"


@dataclass
class _Rollout:
    template: Json
    hash: str
    since: float


class Cluster:
    """Everything in it. `images` says how images behave; what is not named is good."""

    def __init__(self, clock: Any = time.monotonic) -> None:
        self.lock = threading.RLock()
        self.images: dict[str, Image] = {}
        self.objects: dict[tuple[str, str], Json] = {}
        self.deleted_at: dict[str, float] = {}
        self._rollouts: dict[str, list[_Rollout]] = {}
        self._started: dict[str, float] = {}
        self._clock = clock
        self._version = 1

    def create(self, kind: str, body: Json) -> Json:
        """`POST`: checked, named, and stored."""
        name = body["metadata"]["name"]
        if (kind, name) in self.objects:
            raise Refused(409, "AlreadyExists", f'{kind} "{name}" already exists')
        return self._store(kind, copy.deepcopy(body))

    def change(self, kind: str, name: str, body: Json) -> Json:
        """The object as it is after a patch or a `PUT`."""
        before = self._found(kind, name)
        changed = copy.deepcopy(body)
        for key in ("uid", "generation", "creationTimestamp", "namespace"):
            changed["metadata"][key] = before["metadata"][key]
        return self._store(kind, changed, before)

    def delete(self, kind: str, name: str) -> Json:
        """A pod ends with its grace; what a Job owns goes with it."""
        found = self._found(kind, name)
        if kind == "pods":
            self.deleted_at.setdefault(name, self._clock())
            return found
        del self.objects[kind, name]
        owned = [key for key, other in self.objects.items() if _owned_by(other, found)]
        for key in owned:
            del self.objects[key]
        return found

    def get(self, kind: str, name: str) -> Json:
        """The object with its status as of now."""
        return next(item for item in self.all(kind) if item["metadata"]["name"] == self._found(kind, name)["metadata"]["name"])

    def all(self, kind: str) -> list[Json]:
        """All objects of a kind with their status as of now."""
        if kind == "pods":
            return self._pods()
        if kind == "events":
            return [_event(pod) for pod in self._pods() if _waiting(pod)]
        stored = [copy.deepcopy(item) for (each, _), item in sorted(self.objects.items()) if each == kind]
        if kind == "deployments":
            for item in stored:
                item["status"] = self._deployment_status(item)
        return stored

    def log(self, pod: str) -> tuple[list[str], bool]:
        """The lines so far, and whether there will be more."""
        found = next((item for item in self._pods() if item["metadata"]["name"] == pod), None)
        if found is None:
            raise Refused(404, "NotFound", f'pods "{pod}" not found')
        image = self._image(found["spec"]["containers"][0]["image"])
        state = found["status"]["containerStatuses"][0]["state"]
        if "waiting" in state and image.kind != "crash":
            raise Refused(400, "BadRequest", f'container "{pod}" is waiting to start: {state["waiting"]["reason"]}')
        elapsed = self._clock() - self._started[pod]
        if image.kind == "crash" or "terminated" in state:
            lines = list(image.lines)
        else:
            lines = image.lines[: int(len(image.lines) * min(elapsed / max(image.seconds, 0.01), 1)) + 1]
        if pod in self.deleted_at and "terminated" in state:
            lines = [*lines[: max(len(lines) - 1, 1)], image.on_term]
        return lines, "running" in state

    def _found(self, kind: str, name: str) -> Json:
        if kind == "pods":
            for pod in self._pods():
                if pod["metadata"]["name"] == name:
                    return pod
        elif (kind, name) in self.objects:
            return self.objects[kind, name]
        group = ".apps" if kind in {"deployments", "replicasets"} else ""
        raise Refused(404, "NotFound", f'{kind}{group} "{name}" not found')

    def _store(self, kind: str, body: Json, before: Json | None = None) -> Json:
        body.pop("status", None)
        try:
            validate(body, VERSION, strict=True)
        except ValidationError as error:
            raise Refused(422, "Invalid", f"{kind} is invalid: {error.path}: {error.message}") from None
        self._version += 1
        meta = body["metadata"]
        meta.setdefault("uid", str(uuid.uuid4()))
        meta.setdefault("namespace", "default")
        meta.setdefault("creationTimestamp", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
        moved = before is None or before["spec"] != body.get("spec") if kind == "deployments" else False
        meta["generation"] = meta.get("generation", 0) + int(moved)
        meta["resourceVersion"] = str(self._version)
        name = meta["name"]
        self.objects[kind, name] = body
        self._started.setdefault(name, self._clock())
        if kind == "deployments" and (before is None or before["spec"]["template"] != body["spec"]["template"]):
            self._roll(body)
        return copy.deepcopy(body)

    def _roll(self, deployment: Json) -> None:
        """A new revision: an earlier ReplicaSet of the same template is used again, under a new number."""
        name = deployment["metadata"]["name"]
        template = copy.deepcopy(deployment["spec"]["template"])
        digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:10]
        self._rollouts.setdefault(name, []).append(_Rollout(template, digest, self._clock()))
        number = str(len(self._rollouts[name]))
        deployment["metadata"].setdefault("annotations", {})[REVISION] = number
        labels = {**template["metadata"]["labels"], "pod-template-hash": digest}
        template["metadata"]["labels"] = labels
        owner = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "name": name,
            "uid": deployment["metadata"]["uid"],
            "controller": True,
        }
        self.objects["replicasets", f"{name}-{digest}"] = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {
                "name": f"{name}-{digest}",
                "namespace": deployment["metadata"]["namespace"],
                "uid": str(uuid.uuid4()),
                "labels": labels,
                "annotations": {REVISION: number},
                "ownerReferences": [owner],
                "creationTimestamp": deployment["metadata"]["creationTimestamp"],
                "resourceVersion": str(self._version),
            },
            "spec": {
                "replicas": deployment["spec"].get("replicas", 1),
                "selector": {"matchLabels": labels},
                "template": template,
            },
        }

    def _image(self, image: str) -> Image:
        return self.images.get(image, Image())

    def _current(self, deployment: Json) -> tuple[_Rollout, Image]:
        rollout = self._rollouts[deployment["metadata"]["name"]][-1]
        return rollout, self._image(rollout.template["spec"]["containers"][0]["image"])

    def _deployment_status(self, deployment: Json) -> Json:
        rollout, image = self._current(deployment)
        wanted = deployment["spec"].get("replicas", 1)
        elapsed = self._clock() - rollout.since
        good = image.kind == "good"
        updated = min(wanted, int(elapsed / 0.1)) if good else min(wanted, 1)
        first = len(self._rollouts[deployment["metadata"]["name"]]) == 1
        available = updated if good and first else wanted
        surge = 0 if updated == wanted and good else 1
        condition = {"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated", "message": "progressing"}
        if good and updated == wanted:
            condition["reason"] = "NewReplicaSetAvailable"
        elif elapsed > deployment["spec"].get("progressDeadlineSeconds", 600):
            condition |= {"status": "False", "reason": "ProgressDeadlineExceeded", "message": "timed out progressing"}
        return {
            "observedGeneration": deployment["metadata"]["generation"],
            "replicas": wanted + surge,
            "updatedReplicas": updated,
            "readyReplicas": available,
            "availableReplicas": available,
            "unavailableReplicas": surge,
            "conditions": [condition],
        }

    def _pods(self) -> list[Json]:
        pods: list[Json] = []
        for (kind, name), item in sorted(self.objects.items()):
            if kind == "deployments":
                rollout, image = self._current(item)
                labels = {**rollout.template["metadata"]["labels"], "pod-template-hash": rollout.hash}
                count = item["spec"].get("replicas", 1) if image.kind == "good" else 1
                pods += [
                    self._pod(f"{name}-{rollout.hash}-{at}", rollout.template, labels, rollout.since) for at in range(count)
                ]
            elif kind == "jobs":
                template = item["spec"]["template"]
                labels = {**template["metadata"].get("labels", {}), "job-name": name}
                pod = self._pod(f"{name}-x7k2p", template, labels, self._started[name], once=True)
                if pod is not None:
                    pods.append(pod)
        return [pod for pod in pods if pod]

    def _pod(self, name: str, template: Json, labels: Json, since: float, *, once: bool = False) -> Json:
        self._started.setdefault(name, since)
        container = template["spec"]["containers"][0]
        image = self._image(container["image"])
        elapsed = self._clock() - since
        state, phase = self._state(name, image, elapsed, once=once)
        ready = image.kind == "good" and "running" in state
        status: Json = {
            "name": container["name"],
            "image": container["image"],
            "imageID": container["image"],
            "ready": ready,
            "started": "running" in state,
            "restartCount": 2 if image.kind == "crash" and not once else 0,
            "state": state,
        }
        if status["restartCount"]:
            status["lastState"] = {"terminated": {"exitCode": 1, "reason": "Error"}}
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name,
                "namespace": "default",
                "labels": labels,
                "uid": f"uid-{name}",
                "creationTimestamp": f"2026-11-20T00:00:{int(since) % 60:02d}Z",
                "resourceVersion": "1",
            },
            "spec": copy.deepcopy(template["spec"]),
            "status": {"phase": phase, "containerStatuses": [status], "conditions": []},
        }

    def _state(self, name: str, image: Image, elapsed: float, *, once: bool) -> tuple[Json, str]:  # noqa: PLR0911 - one a state
        if image.kind == "missing":
            return {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}, "Pending"
        if name in self.deleted_at:
            return {"terminated": {"exitCode": 143, "reason": "Error"}}, "Failed"
        if once:
            if elapsed < 0.1:
                return {"waiting": {"reason": "ContainerCreating"}}, "Pending"
            if elapsed < 0.1 + image.seconds:
                return {"running": {"startedAt": "2026-11-20T00:00:00Z"}}, "Running"
            word = "Completed" if image.exit_code == 0 else "Error"
            phase = "Succeeded" if image.exit_code == 0 else "Failed"
            return {"terminated": {"exitCode": image.exit_code, "reason": word}}, phase
        if image.kind == "crash":
            return {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container"}}, "Running"
        return {"running": {"startedAt": "2026-11-20T00:00:00Z"}}, "Running"


def merged(target: Json, patch: Json) -> Json:
    """A strategic merge patch, as far as Deployments need it: lists of named things are merged by their names.

    https://github.com/kubernetes/community/blob/main/contributors/devel/sig-api-machinery/strategic-merge-patch.md
    """
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict) and isinstance(target.get(key), dict):
            merged(target[key], value)
        elif isinstance(value, list) and key in _KEYED and isinstance(target.get(key), list):
            for entry in value:
                same = [each for each in target[key] if each[_KEYED[key]] == entry[_KEYED[key]]]
                if same:
                    merged(same[0], entry)
                else:
                    target[key].append(entry)
        else:
            # Within a new object, null means "not there" as well.
            target[key] = merged({}, value) if isinstance(value, dict) else copy.deepcopy(value)
    return target


def _owned_by(item: Json, owner: Json) -> bool:
    return any(each["uid"] == owner["metadata"]["uid"] for each in item["metadata"].get("ownerReferences") or [])


def _waiting(pod: Json) -> Json:
    found: Json = pod["status"]["containerStatuses"][0]["state"].get("waiting") or {}
    return found


def _event(pod: Json) -> Json:
    name = pod["metadata"]["name"]
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{name}.1", "namespace": "default"},
        "involvedObject": {"kind": "Pod", "name": name, "namespace": "default"},
        "type": "Warning",
        "reason": "BackOff",
        "message": _waiting(pod).get("message", _waiting(pod)["reason"]),
        "lastTimestamp": "2026-11-20T00:00:00Z",
    }
