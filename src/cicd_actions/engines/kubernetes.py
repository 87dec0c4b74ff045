"""Kubernetes: Deployments whose image is set by digest, watched by `kubectl rollout status`, and taken back by `rollout undo`.

How fast replicas are replaced, and that no request is lost meanwhile, is said by the Deployment itself (its strategy and its
readiness probe): https://kubernetes.io/docs/concepts/workloads/controllers/deployment/
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone

from cicd_actions.engines.kubectl import Json, Kubectl, NotFound
from cicd_actions.engines.kubernetes_job import run_job
from cicd_actions.engines.patience import answered
from cicd_actions.engines.protocol import (
    REVISION,
    EngineUnreachable,
    Evidence,
    Image,
    Job,
    JobEnd,
    RolledOut,
    RollOutFailed,
    Running,
    ServiceMissing,
    Target,
)
from cicd_actions.engines.reference import reference
from cicd_actions.engines.registry import Registry
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import Failed
from cicd_actions.toolkit.grammar import NotUnderstood
from cicd_actions.toolkit.lines import Line
from cicd_actions.toolkit.runtime import Runtime

_NUMBER = "deployment.kubernetes.io/revision"
_RESTARTED = "kubectl.kubernetes.io/restartedAt"


class Kubernetes:
    """See `protocol.Engine`. A service is the Deployment of that name."""

    name = "kubernetes"
    opaque_images = False

    def __init__(self, runtime: Runtime, *, context: str = "", namespace: str = "", container: str = "") -> None:
        self._runtime = runtime
        self._kubectl = Kubectl(runtime, context=context, namespace=namespace)
        self._registry = Registry(runtime)
        self._container = container

    def close(self) -> None:
        self._registry.close()

    def by_hand(self, target: Target) -> str:
        name = f"deployment/{target.service}"
        set_image = self._kubectl.by_hand("set", "image", name, f"{self._container or target.service}={target.image.pinned}")
        return f"{set_image} && {self._kubectl.by_hand('rollout', 'status', name)}"

    def running(self, services: Sequence[str], deadline: Deadline) -> Mapping[str, Running]:
        found: dict[str, Running] = {}
        for service in services:
            try:
                deployment = self._deployment(service, deadline)
            except ServiceMissing:
                continue
            found[service] = self._running(service, deployment, deadline)
        return found

    def resolve(self, image: str, deadline: Deadline) -> Image:
        return self._registry.resolve(image, deadline)

    def roll_out(self, target: Target, before: Running, deadline: Deadline, *, way_back: bool = True) -> RolledOut:  # noqa: ARG002
        started = self._runtime.clock()
        deployment = self._deployment(target.service, deadline)
        if deployment["spec"].get("paused"):
            raise Failed(
                f"The Deployment {target.service} is paused: nothing would move.",
                fix=f"    kubectl rollout resume deployment/{target.service}",
            )
        notes = _notes(deployment, self._name_of(deployment))
        self._set(target, deployment, deadline)
        self._arrived(target.service, target.image.pinned, deadline)
        return RolledOut(target.service, self._runtime.clock() - started, tuple(notes))

    def revert(self, before: Running, deadline: Deadline, *, wait: bool = True) -> None:
        deployment = self._deployment(before.service, deadline)
        now = _image(deployment, self._name_of(deployment))
        if now != before.image or _sha(deployment) != before.sha:
            self._undo(before, deadline)
        if wait:
            self._arrived(before.service, before.image, deadline)

    def job(self, job: Job, deadline: Deadline, on_line: Line) -> JobEnd:
        like = self._deployment(job.like, deadline) if job.like else None
        return run_job(job, like, self._name_of(like) if like else job.name, self._kubectl, self._runtime, deadline, on_line)

    def logs(self, service: str, deadline: Deadline, *, lines: int = 50) -> Evidence:
        deployment = self._deployment(service, deadline)
        container = self._name_of(deployment)
        pod = self._failing(deployment, container, deadline)
        return self._kubectl.evidence(pod, container, deadline, lines) if pod else Evidence(reason=f"{service} has no pod.")

    def _deployment(self, service: str, deadline: Deadline) -> Json:
        try:
            return answered(lambda: self._kubectl.get("deployment", service, deadline=deadline), deadline, self._runtime)
        except NotFound:
            raise ServiceMissing(
                f"There is no Deployment {service} in this namespace.",
                fix="Create it once with `kubectl apply`, or correct `context` and `namespace`.",
            ) from None

    def _running(self, service: str, deployment: Json, deadline: Deadline) -> Running:
        image = _image(deployment, self._name_of(deployment))
        wanted = int(deployment["spec"].get("replicas", 1))
        status = deployment.get("status") or {}
        digest = _digest(image) or self._digest_of_pods(deployment, deadline)
        return Running(
            service,
            image=image,
            digest=digest,
            sha=_sha(deployment),
            ready=min(int(status.get("updatedReplicas", 0)), int(status.get("availableReplicas", 0))),
            wanted=wanted,
            settled=_settled(deployment),
            point=deployment["metadata"].get("annotations", {}).get(_NUMBER, ""),
        )

    def _name_of(self, deployment: Json) -> str:
        """The container that is the service."""
        names = [container["name"] for container in deployment["spec"]["template"]["spec"]["containers"]]
        name = self._container or (deployment["metadata"]["name"] if len(names) > 1 else names[0])
        if name not in names:
            raise Failed(
                f"The Deployment {deployment['metadata']['name']} has no container {name}; it has {', '.join(names)}.",
                fix=f"    with:\n      container: {names[0]}",
            )
        return str(name)

    def _digest_of_pods(self, deployment: Json, deadline: Deadline) -> str:
        """What a tag was when the pods were started; unknown where they differ."""
        container = self._name_of(deployment)
        found: set[str] = set()
        for pod in self._pods(deployment, deadline):
            for status in (pod.get("status") or {}).get("containerStatuses") or []:
                if status["name"] == container and status.get("ready"):
                    found.add(_digest(str(status.get("imageID", ""))))
        return found.pop() if len(found) == 1 else ""

    def _pods(self, deployment: Json, deadline: Deadline) -> list[Json]:
        labels = deployment["spec"]["selector"].get("matchLabels") or {}
        selector = ",".join(f"{name}={value}" for name, value in sorted(labels.items()))
        return self._kubectl.items("pods", "-l", selector, deadline=deadline)

    def _set(self, target: Target, deployment: Json, deadline: Deadline) -> None:
        """One patch for image and commit, so that they are one revision, and go back together."""
        container = self._name_of(deployment)
        annotations: dict[str, str | None] = {REVISION: target.sha or None}
        if _image(deployment, container) == target.image.pinned and _sha(deployment) == target.sha:
            # The same again: without this nothing would be replaced.
            annotations[_RESTARTED] = datetime.now(timezone.utc).isoformat(timespec="seconds")
        template: Json = {
            "metadata": {"annotations": annotations},
            "spec": {"containers": [{"name": container, "image": target.image.pinned}]},
        }
        cause = f"cicd-actions: {target.sha or target.image.digest}"
        patch: Json = {"metadata": {"annotations": {"kubernetes.io/change-cause": cause}}, "spec": {"template": template}}
        self._patch(target.service, patch, deadline)

    def _patch(self, service: str, patch: Json, deadline: Deadline) -> None:
        self._kubectl.call("patch", "deployment", service, "--type=strategic", "-p", json.dumps(patch), deadline=deadline)

    def _undo(self, before: Running, deadline: Deadline) -> None:
        try:
            self._kubectl.call(
                "rollout", "undo", f"deployment/{before.service}", f"--to-revision={before.point}", deadline=deadline
            )
        except EngineUnreachable as error:
            if "unable to find specified revision" not in error.what:
                raise
            # Its ReplicaSet is gone (`revisionHistoryLimit`): the image is what can be set again.
            deployment = self._deployment(before.service, deadline)
            image = {"name": self._name_of(deployment), "image": before.image}
            template: Json = {"metadata": {"annotations": {REVISION: before.sha or None}}, "spec": {"containers": [image]}}
            self._patch(before.service, {"spec": {"template": template}}, deadline)

    def _arrived(self, service: str, image: str, deadline: Deadline) -> None:
        while True:
            done = self._kubectl.stream(
                "rollout",
                "status",
                f"deployment/{service}",
                f"--timeout={max(int(deadline.remaining), 1)}s",
                timeout=deadline.remaining + 2,
                on_line=lambda _stream, text: self._runtime.log(f"{service}: {text}"),
            )
            deployment = self._deployment(service, Deadline(30, self._runtime.clock))
            container = self._name_of(deployment)
            if _image(deployment, container) != image:
                raise RollOutFailed(
                    service,
                    f"{service} was changed by something else meanwhile: it is at {_image(deployment, container)}.",
                    reverted=None,
                )
            if done.exit_code == 0 and not done.timed_out:
                return
            if _gave_up(deployment) or deadline.expired or done.timed_out or "timed out" in done.stderr:
                raise self._failure(service, deployment, container)
            # The connection broke; the roll-out goes on in the cluster.
            self._runtime.log(f"{service}: watching again ({done.stderr.strip()[:300]}).")
            self._runtime.sleep(deadline.timeout(1.0))

    def _failure(self, service: str, deployment: Json, container: str) -> RollOutFailed:
        deadline = Deadline(30, self._runtime.clock)
        pod = self._failing(deployment, container, deadline)
        evidence = self._kubectl.evidence(pod, container, deadline) if pod else Evidence()
        why = "Kubernetes gave up on it (progress deadline exceeded)" if _gave_up(deployment) else "the time is over"
        return RollOutFailed(
            service, f"{service} did not arrive: {why}.", reverted=False, evidence=evidence, cause=evidence.reason
        )

    def _failing(self, deployment: Json, container: str, deadline: Deadline) -> Json | None:
        """The newest pod of the current image that is not ready, else the newest of all."""
        pods = sorted(
            self._pods(deployment, deadline), key=lambda pod: str(pod["metadata"].get("creationTimestamp")), reverse=True
        )
        image = _image(deployment, container)
        for pod in pods:
            images = {each["name"]: each["image"] for each in pod["spec"]["containers"]}
            ready = any(
                status["name"] == container and status.get("ready")
                for status in (pod.get("status") or {}).get("containerStatuses") or []
            )
            if images.get(container) == image and not ready:
                return pod
        return pods[0] if pods else None


def _image(deployment: Json, container: str) -> str:
    return next(
        str(each["image"]) for each in deployment["spec"]["template"]["spec"]["containers"] if each["name"] == container
    )


def _sha(deployment: Json) -> str:
    metadata = deployment["spec"]["template"].get("metadata") or {}
    return str((metadata.get("annotations") or {}).get(REVISION, ""))


def _digest(image: str) -> str:
    try:
        return reference(image.removeprefix("docker-pullable://")).digest
    except NotUnderstood:
        return ""


def _condition(deployment: Json, kind: str) -> Json:
    for condition in (deployment.get("status") or {}).get("conditions") or []:
        if condition.get("type") == kind:
            return dict(condition)
    return {}


def _gave_up(deployment: Json) -> bool:
    return bool(_condition(deployment, "Progressing").get("reason") == "ProgressDeadlineExceeded")


def _settled(deployment: Json) -> bool:
    """As `kubectl rollout status` decides it; one that Kubernetes gave up on does not move any more either."""
    status = deployment.get("status") or {}
    if _gave_up(deployment) or deployment["spec"].get("paused"):
        return True
    wanted = int(deployment["spec"].get("replicas", 1))
    updated = int(status.get("updatedReplicas", 0))
    seen = int(status.get("observedGeneration", 0)) >= int(deployment["metadata"].get("generation", 0))
    return seen and updated >= wanted and int(status.get("replicas", 0)) <= updated <= int(status.get("availableReplicas", 0))


def _notes(deployment: Json, container: str) -> list[str]:
    notes: list[str] = []
    if (deployment["spec"].get("strategy") or {}).get("type") == "Recreate":
        notes.append("is replaced by the strategy `Recreate`: nobody answers between the old pods and the new.")
    found = next(each for each in deployment["spec"]["template"]["spec"]["containers"] if each["name"] == container)
    if not found.get("readinessProbe"):
        notes.append("has no readiness probe: a pod counted as arrived because its process ran. Add one.")
    return notes
