"""Rolls out Deployments, StatefulSets, DaemonSets and Argo's Rollouts: sets their image by digest, and waits until it runs.

The workload itself says how fast pods are replaced, and how no request is lost meanwhile (its strategy and its readiness
probe): https://kubernetes.io/docs/concepts/workloads/controllers/deployment/
"""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial

from cicd_actions.engines import kubernetes_pods as pods
from cicd_actions.engines import kubernetes_rollout as rollouts
from cicd_actions.engines import kubernetes_workload as workloads
from cicd_actions.engines.kubectl import Conflict, Json, Kubectl, NotAllowed, NotFound, container_status
from cicd_actions.engines.kubernetes_job import run_job
from cicd_actions.engines.patience import answered
from cicd_actions.engines.protocol import (
    REVISION,
    ChangedMeanwhile,
    Evidence,
    Image,
    Job,
    JobEnd,
    NotStarted,
    Refused,
    RolledOut,
    RollOutFailed,
    Running,
    ServiceMissing,
    Target,
)
from cicd_actions.engines.registry import Registry
from cicd_actions.engines.staying_up import Uptime
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import ActionError
from cicd_actions.toolkit.lines import Line
from cicd_actions.toolkit.process import Finished
from cicd_actions.toolkit.runtime import Runtime

WATCH = 10.0
"""Seconds of one `kubectl rollout status`. Between two of them the engine sees whether somebody changed the image."""

_RESTARTED = "kubectl.kubernetes.io/restartedAt"
_STUCK = {
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImageNeverPull",
    "ImagePullBackOff",
    "InvalidImageName",
    "RunContainerError",
}
"""The reasons for which a container waits until somebody changes something."""


@dataclass(frozen=True)
class _Before:
    """The fields that a roll-out changes, as they were: the images by container, and the change-cause."""

    images: Mapping[str, str]
    cause: str


class Kubernetes:
    """See `protocol.Engine`. A service is the workload of that name, or `workload/container`."""

    name = "kubernetes"
    opaque_images = False
    own_programs = False
    when_ended = "The engine goes on rolling {} back, unless the step ended before it was told to."

    def __init__(self, runtime: Runtime, *, context: str = "", namespace: str = "", container: str = "") -> None:
        self._runtime = runtime
        self._kubectl = Kubectl(runtime, context=context, namespace=namespace)
        self._registry = Registry(runtime)
        self._container = container
        self._written: dict[str, Mapping[str, str]] = {}
        self._by_hand: dict[str, tuple[str, Sequence[str]]] = {}

    def close(self) -> None:
        self._registry.close()

    def by_hand(self, target: Target) -> str:
        workload, _, container = target.service.partition("/")
        chosen = container or self._container
        name, containers = self._by_hand.get(target.service, (f"deployment/{workload}", [chosen] if chosen else []))
        images = [f"{each}={target.image.pinned}" for each in containers]
        if name.startswith(f"{rollouts.KIND.lower()}/"):
            # `kubectl set image` knows no Rollout. Flags stand behind the plugin's own words.
            return self._kubectl.by_plugin("argo", "rollouts", "set", "image", workload, *images)
        words = [self._kubectl.by_hand("set", "image", name, *images)]
        if not containers:
            # The engine has not seen the workload yet; the shell asks for the name.
            path = "jsonpath={.spec.template.spec.containers[0].name}"
            words.append(f'"$({self._kubectl.by_hand("get", name, "-o", path)})"={shlex.quote(target.image.pinned)}')
        return f"{' '.join(words)} && {self._kubectl.by_hand('rollout', 'status', name)}"

    def running(self, services: Sequence[str], deadline: Deadline) -> Mapping[str, Running]:
        found: dict[str, Running] = {}
        for service in services:
            try:
                workload = self._deployment(service, deadline)
            except ServiceMissing:
                continue
            found[service] = self._running(service, workload, deadline)
        return found

    def resolve(self, image: str, deadline: Deadline) -> Image:
        return self._registry.resolve(image, deadline)

    def examine(self, target: Target, before: Running, deadline: Deadline) -> None:
        if refusal := workloads.unmovable(self._deployment(target.service, deadline)):
            raise refusal

    def roll_out(self, target: Target, before: Running, deadline: Deadline, *, rollback: bool = True) -> RolledOut:
        started = self._runtime.clock()
        workload = self._deployment(target.service, deadline)
        if refusal := workloads.unmovable(workload):
            raise refusal
        container = self._name_of(target.service, workload)
        notes = workloads.notes(workload, container)
        expected = self._before(workload, container, before).images

        def patch(now: Json) -> Json:
            if workloads.images(now, expected) != expected:
                raise self._changed(target.service, now, expected)
            same = set(expected.values()) == {target.image.pinned} and workloads.sha(now) == target.sha
            # Without this, setting the same image again would replace nothing.
            restart = {_RESTARTED: datetime.now(timezone.utc).isoformat(timespec="seconds")} if same else {}
            cause = f"cicd-actions: {target.sha or target.image.digest}"
            return _patch(now, dict.fromkeys(expected, target.image.pinned), target.sha, cause, restart)

        workload = self._change(target.service, workload, patch, deadline)
        # An admission webhook may have changed the images on the way: to a mirror, for example.
        written = workloads.images(workload, expected)
        self._written[target.service] = written
        workload = self._arrived(target.service, workloads.ref(workload), written, deadline)
        self._prove(target, workload, deadline)
        return RolledOut(target.service, self._runtime.clock() - started, tuple(notes), workloads.ready(workload))

    def revert(self, target: Target, before: Running, deadline: Deadline, *, wait: bool = True) -> None:
        service = before.service
        workload = self._deployment(service, deadline)
        past = self._before(workload, self._name_of(service, workload), before)
        abandoned = str((workload.get("status") or {}).get("updateRevision", ""))

        def patch(now: Json) -> Json | None:
            images = workloads.images(now, past.images)
            if images == past.images and workloads.sha(now) == before.sha:
                return None
            if images.keys() != past.images.keys() or not all(
                image in {past.images[name], self._written.get(service, {}).get(name)}
                or workloads.digest(image) == target.image.digest
                for name, image in images.items()
            ):
                raise self._changed(service, now, self._written.get(service, past.images))
            return _patch(now, past.images, before.sha, past.cause, {})

        changed = self._change(service, workload, patch, deadline)
        if changed is not workload and changed["kind"] == "StatefulSet":
            self._replace_stuck(service, abandoned, deadline)
        if wait:
            # As stored: a webhook rewrites these images too.
            self._arrived(service, workloads.ref(changed), workloads.images(changed, past.images), deadline)

    def job(self, job: Job, deadline: Deadline, on_line: Line) -> JobEnd:
        like = self._deployment(job.like, deadline) if job.like else None
        container = self._name_of(job.like, like) if like else job.name
        return run_job(job, like, container, self._kubectl, self._runtime, deadline, on_line)

    def logs(self, service: str, deadline: Deadline, *, lines: int = 50) -> Evidence:
        workload = self._deployment(service, deadline)
        return self._evidence(workload, self._name_of(service, workload), deadline, lines)

    def uptime(self, service: str, deadline: Deadline) -> Uptime:
        workload = self._deployment(service, deadline)
        return pods.uptime(self._present(workload, deadline), self._name_of(service, workload), workloads.arrived_at(workload))

    def _deployment(self, service: str, deadline: Deadline) -> Json:
        """Returns the Deployment of that name, else the StatefulSet, the DaemonSet, or the Rollout."""
        name = service.partition("/")[0]
        for kind in workloads.KINDS:
            with contextlib.suppress(NotFound):
                try:
                    found = answered(partial(self._kubectl.get, kind, name, deadline=deadline), deadline, self._runtime)
                except NotAllowed:
                    if kind != rollouts.RESOURCE:  # a role that was made for the other kinds says nothing of a missing service
                        raise
                    continue
                if "template" not in found["spec"]:
                    raise rollouts.refused(found) or Refused(f"Cannot roll out {workloads.ref(found)}: it has no template.")
                return found
        raise ServiceMissing(
            f"Could not find a Deployment, StatefulSet, DaemonSet or Rollout {name} in this namespace.",
            fix="Create it once with `kubectl apply`, or correct `context` and `namespace`. For a Rollout, allow the account to"
            " `get` rollouts.argoproj.io.",
        )

    def _name_of(self, service: str, workload: Json) -> str:
        """Returns the container that is the service, and remembers what `by_hand` needs."""
        container = workloads.container_of(workload, service.partition("/")[2] or self._container)
        self._by_hand[service] = workloads.ref(workload), workloads.with_image_of(workload, container)
        return container

    def _running(self, service: str, workload: Json, deadline: Deadline) -> Running:
        container = self._name_of(service, workload)
        image = workloads.images(workload, [container])[container]
        return Running(
            service,
            image=image,
            digest=workloads.digest(image) or self._digest_of_pods(workload, container, deadline),
            sha=workloads.sha(workload),
            ready=workloads.ready(workload),
            wanted=workloads.wanted(workload),
            settled=workloads.settled(workload) or self._stuck(workload, deadline),
            point=self._before(workload, container, None),
        )

    def _before(self, workload: Json, container: str, before: Running | None) -> _Before:
        """Returns what `running` remembered, else what the workload has now."""
        if before is not None and isinstance(before.point, _Before):
            return before.point
        cause = (workload["metadata"].get("annotations") or {}).get(workloads.CAUSE, "")
        return _Before(workloads.images(workload, workloads.with_image_of(workload, container)), cause)

    def _stuck(self, workload: Json, deadline: Deadline) -> bool:
        """Whether an update waits for a change: a Deployment's progress deadline may be as long as the roll-out's own."""
        if not workloads.observed(workload):
            return False
        for pod in self._present(workload, deadline):
            statuses = (pod.get("status") or {}).get("containerStatuses") or []
            if any((each.get("state") or {}).get("waiting", {}).get("reason") in _STUCK for each in statuses):
                return True
        return False

    def _digest_of_pods(self, workload: Json, container: str, deadline: Deadline) -> str:
        """Returns the digest that ready pods report where the template has only a tag; empty where they differ."""
        statuses = [container_status(pod, container) for pod in self._pods(workload, deadline)]
        found = {workloads.digest(str(status.get("imageID", ""))) for status in statuses if status.get("ready")}
        return found.pop() if len(found) == 1 else ""

    def _pods(self, workload: Json, deadline: Deadline) -> list[Json]:
        """Returns the workload's own pods. Its selector may choose those of others too, so their owner decides."""
        chosen = ("-l", workloads.selector(workload))
        owners = {str(workload["metadata"]["uid"])}
        if workload["kind"] in {"Deployment", rollouts.KIND}:
            sets = self._kubectl.items("replicasets", *chosen, deadline=deadline)
            owners = {str(each["metadata"]["uid"]) for each in sets if workloads.owned_by(each, owners)}
        return [pod for pod in self._kubectl.items("pods", *chosen, deadline=deadline) if workloads.owned_by(pod, owners)]

    def _present(self, workload: Json, deadline: Deadline) -> list[Json]:
        """Returns its pods that have the present template's images."""
        return [pod for pod in self._pods(workload, deadline) if workloads.has_template_of(pod, workload)]

    def _change(self, service: str, workload: Json, patch: Callable[[Json], Json | None], deadline: Deadline) -> Json:
        """Applies the patch to the workload that it was made for, and makes it again where somebody else was faster.

        Returns the workload as the API server stored it; the same object where there was nothing to change.
        """
        while True:
            body = patch(workload)
            if body is None:
                return workload
            try:
                kind = workloads.patch_kind(workload)
                return self._kubectl.patch(workloads.ref(workload), body, deadline=deadline, kind=kind)
            except Conflict:
                deadline.check(f"changing {service}")
                workload = self._deployment(service, deadline)

    def _arrived(self, service: str, name: str, images: Mapping[str, str], deadline: Deadline) -> Json:
        """Waits until every pod has these images and is available. Returns the workload then."""
        said = ""

        def log(_stream: str, text: str) -> None:
            nonlocal said
            if text != said and "timed out waiting" not in text:
                said = text
                self._runtime.log(f"{service}: {text}")

        while True:
            seconds = min(max(deadline.remaining, 0.5), WATCH)
            # kubectl knows how its own kinds roll out. Another kind is looked at, for as long as that takes.
            watched = not name.startswith(f"{rollouts.KIND.lower()}/")
            words = ["rollout", "status", name, f"--timeout={int(seconds * 1000)}ms"]
            done = self._kubectl.stream(*words, timeout=seconds + 2, on_line=log) if watched else None
            try:
                workload = self._deployment(service, Deadline(30, self._runtime.clock))
            except ServiceMissing:
                raise ChangedMeanwhile(service, f"Something else deleted {name} during the roll-out.") from None
            if workloads.images(workload, images) != images:
                raise self._changed(service, workload, images)
            if workloads.settled(workload) and not workloads.gave_up(workload) if done is None else _ended(done):
                return workload
            if workloads.gave_up(workload) or deadline.remaining <= 0.5:
                raise self._failure(service, workload)
            if done is None:
                log("", rollouts.said(workload))
                self._runtime.sleep(deadline.timeout(1.0))
            elif not done.timed_out and "timed out" not in done.stderr:
                # The connection broke; the roll-out goes on in the cluster.
                self._runtime.log(f"{service}: watching again ({done.stderr.strip()[:300]}).")
                self._runtime.sleep(deadline.timeout(1.0))

    def _prove(self, target: Target, workload: Json, deadline: Deadline) -> None:
        """Raises `RollOutFailed` where an admission webhook replaced the image by another digest."""
        container = self._name_of(target.service, workload)
        image = workloads.images(workload, [container])[container]
        found = workloads.digest(image) or self._digest_of_pods(workload, container, deadline)
        if target.image.digest and found != target.image.digest:
            raise RollOutFailed(
                target.service,
                f"{target.service} does not run {target.image.pinned}: the cluster made {image} of it.",
                reverted=False,
                cause="An admission webhook replaced the image.",
                fix="Let the webhook keep the digest of an image, or leave this namespace out of it.",
            )

    def _changed(self, service: str, workload: Json, expected: Mapping[str, str]) -> ChangedMeanwhile:
        now = workloads.images(workload, expected)
        different = [f"{name} is at {now.get(name, 'nothing')}" for name, image in expected.items() if now.get(name) != image]
        return ChangedMeanwhile(
            service,
            f"Something else changed {workloads.ref(workload)} during the roll-out: {', '.join(different)}.",
            cause="A person, a controller or another run set a different image. It stays.",
            fix=f"See who did: kubectl get {workloads.ref(workload)} --show-managed-fields -o yaml",
        )

    def _failure(self, service: str, workload: Json) -> RollOutFailed | NotStarted:
        deadline, container = Deadline(30, self._runtime.clock), self._name_of(service, workload)
        evidence = self._evidence(workload, container, deadline, 50)
        why = "its progress deadline passed" if workloads.gave_up(workload) else "the deadline passed"
        if workload["kind"] == rollouts.KIND:
            why = rollouts.failed(workload) or why
        waiting = [pod for pod in self._present(workload, deadline) if not container_status(pod, container).get("ready")]
        if waiting and all(pods.not_started(pod, container) for pod in waiting):
            return NotStarted(
                service,
                f"Could not tell whether {service} becomes available: {why} before the cluster started its pods.",
                evidence=evidence,
                cause=evidence.reason,
                fix=f"    kubectl describe pod {waiting[0]['metadata']['name']}",
            )
        return RollOutFailed(
            service, f"{service} did not become available: {why}.", reverted=False, evidence=evidence, cause=evidence.reason
        )

    def _evidence(self, workload: Json, container: str, deadline: Deadline, lines: int) -> Evidence:
        """Returns what the newest failing pod says, else the newest of all, else why there is none."""
        found = self._pods(workload, deadline)
        found.sort(key=lambda pod: str(pod["metadata"].get("creationTimestamp")), reverse=True)
        found.sort(key=lambda pod: bool(container_status(pod, container).get("ready")))
        refused = workloads.refused_pods(workload)
        if not found or refused:
            return Evidence(reason=refused or f"{workloads.ref(workload)} has no pod.")
        return self._kubectl.evidence(found[0], container, deadline, lines)

    def _replace_stuck(self, service: str, abandoned: str, deadline: Deadline) -> None:
        """Deletes the failing pods of the abandoned revision: a StatefulSet waits forever for them to become ready.

        https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#forced-rollback
        """
        while not workloads.observed(workload := self._deployment(service, deadline)):
            self._runtime.sleep(deadline.timeout(0.1))
        for pod in self._pods(workload, deadline):
            revision = (pod["metadata"].get("labels") or {}).get("controller-revision-hash")
            container = self._name_of(service, workload)
            if revision != abandoned or container_status(pod, container).get("ready"):
                continue
            name = pod["metadata"]["name"]
            try:
                self._kubectl.call("delete", "pod", name, "--ignore-not-found", "--wait=false", deadline=deadline)
            except ActionError as error:
                self._runtime.log(f"{service}: could not delete the pod {name}, which blocks the rollback: {error.what}")


def _ended(done: Finished) -> bool:
    """Whether `kubectl rollout status` says that everything arrived."""
    return done.exit_code == 0 and not done.timed_out


def _patch(workload: Json, images: Mapping[str, str], sha: str, cause: str, annotations: Mapping[str, str]) -> Json:
    """Returns a patch of our fields alone. It fails where the workload is not the one that was read any more."""
    return {
        "metadata": {
            "resourceVersion": workload["metadata"]["resourceVersion"],
            "annotations": {workloads.CAUSE: cause or None},
        },
        "spec": {
            "template": {
                "metadata": {"annotations": {REVISION: sha or None, **annotations}},
                "spec": workloads.with_images(workload, images),
            }
        },
    }
