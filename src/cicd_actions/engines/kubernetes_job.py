"""Runs a one-shot job on Kubernetes: one pod, no second try, its log read to the last line, and everything deleted.

https://kubernetes.io/docs/concepts/workloads/controllers/job/
"""

from __future__ import annotations

import secrets
from typing import Any

from cicd_actions.engines import kubernetes_workload as workloads
from cicd_actions.engines import left_behind
from cicd_actions.engines.kubectl import Json, Kubectl, NotFound, container_status, failing_container, reason
from cicd_actions.engines.patience import answered
from cicd_actions.engines.protocol import JOB_LABEL, REVISION, EngineUnreachable, ImageMissing, Job, JobEnd
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import ActionError, Failed, Inconclusive, UnusableInput
from cicd_actions.toolkit.lines import Line
from cicd_actions.toolkit.runtime import Runtime

POLL = 0.5
_KEPT_SECONDS = 3600
"""Seconds that the cluster keeps a Job whose run was killed, before it removes it with its pod and its Secret."""

_NOT_OF_POD = {"containers", "initContainers", "restartPolicy", "terminationGracePeriodSeconds", "activeDeadlineSeconds"}
"""The fields of a service's pod that its job does not take over. It takes every other one."""

_NOT_OF_CONTAINER = {
    "args",
    "command",
    "lifecycle",
    "livenessProbe",
    "ports",
    "readinessProbe",
    "resizePolicy",
    "startupProbe",
}
"""The fields that belong to the service's process, and not to where it runs."""

_KUBECTLS = "kubectl.kubernetes.io/"
_NO_IMAGE = {"ErrImageNeverPull", "ImagePullBackOff", "InvalidImageName"}


def run_job(
    job: Job, like: Json | None, container: str, kubectl: Kubectl, runtime: Runtime, deadline: Deadline, on_line: Line
) -> JobEnd:
    """See `protocol.Engine.job`. The job takes over the settings of `container` in the workload `like`."""
    if job.networks:
        raise UnusableInput("Cannot use networks on Kubernetes: it has none to choose from.", fix="Remove the input `network`.")
    name = f"{job.name}-{secrets.token_hex(4)}"
    begun = runtime.clock()
    watch = _Watch(name, job, kubectl, runtime, on_line)
    manifest = _manifest(name, job, like, container, deadline)
    manifest["metadata"]["annotations"] |= left_behind.labels(runtime.variables, deadline.remaining + job.grace)
    _sweep(job, kubectl, runtime, deadline)
    try:
        made = kubectl.create(manifest, deadline=deadline)
        if job.environment:
            kubectl.create(_secret(name, job, made["metadata"]["uid"]), deadline=deadline)
        end = watch.to_the_end(deadline)
        timed_out = end is None
        if end is None:
            end = watch.ended_early() or (None, watch.not_started or "it did not end on SIGTERM and was killed")
    except BaseException:
        try:
            watch.ended_early()
        except ActionError as error:
            runtime.log(f"Could not end the job: {error.what}")
        raise
    finally:
        cleaned = watch.delete()
    return JobEnd(end[0], runtime.clock() - begun, timed_out, end[1], cleaned)


def _sweep(job: Job, kubectl: Kubectl, runtime: Runtime, deadline: Deadline) -> None:
    """Deletes the Jobs that killed runs have left behind. The cluster ends them at their own deadline where this cannot."""
    try:
        for found in kubectl.items("jobs", "-l", f"{JOB_LABEL}={job.name}", deadline=deadline):
            name = found["metadata"]["name"]
            if left_behind.abandoned(found["metadata"].get("annotations") or {}, runtime.variables):
                runtime.log(f"Deleting the Job {name}: its run was killed.")
                kubectl.call(
                    "delete", "job", name, "--cascade=background", "--ignore-not-found", "--wait=false", deadline=deadline
                )
    except (ActionError, NotFound) as error:
        runtime.log(f"Could not look for jobs of killed runs: {error}")


def _manifest(name: str, job: Job, like: Json | None, container: str, deadline: Deadline) -> Json:
    pod: Json = {}
    main: Json = {}
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    if like is not None:
        pod, main = _of_service(like, container)
        labels, annotations = _marks(like)
    main |= {"name": "job", "image": job.image.pinned}
    if job.command:
        # `command` replaces the image's entrypoint, and with it the arguments that the image would add.
        main["command"] = list(job.command)
    if job.working_directory:
        main["workingDir"] = job.working_directory
    if job.environment:
        own = [{"name": key, "valueFrom": {"secretKeyRef": {"name": name, "key": key}}} for key in job.environment]
        kept = [entry for entry in main.get("env") or [] if entry["name"] not in job.environment]
        main["env"] = [*kept, *own]
    pod |= {"restartPolicy": "Never", "terminationGracePeriodSeconds": max(int(job.grace), 1), "containers": [main]}
    # Nothing sets this condition, so the pod is never ready, and no Service sends it requests, whatever labels it selects by.
    pod["readinessGates"] = [{"conditionType": JOB_LABEL}]
    own_labels = {JOB_LABEL: job.name}
    own_annotations = {REVISION: job.sha} if job.sha else {}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": own_labels, "annotations": own_annotations},
        "spec": {
            "backoffLimit": 0,
            "ttlSecondsAfterFinished": _KEPT_SECONDS,
            # The cluster ends it even when this run is killed.
            "activeDeadlineSeconds": max(int(deadline.remaining + job.grace), 1),
            "template": {
                "metadata": {"labels": labels | own_labels, "annotations": annotations | own_annotations},
                "spec": pod,
            },
        },
    }


def _of_service(like: Json, container: str) -> tuple[Json, Json]:
    """Returns the pod and the container of the service without what belongs to its replicas or its process.

    Native sidecars and init containers prepare what the container needs, so they come along. Those with the service's own
    image do not: they do its work, and may migrate the database themselves.
    """
    spec = like["spec"]["template"]["spec"]
    found = next(each for each in spec["containers"] if each["name"] == container)
    pod = {key: value for key, value in spec.items() if key not in _NOT_OF_POD}
    main = {key: value for key, value in found.items() if key not in _NOT_OF_CONTAINER}
    own = set(workloads.with_image_of(like, container))
    inits = [dict(each) for each in spec.get("initContainers") or [] if each["name"] not in own]
    if inits:
        pod["initContainers"] = inits
    if affinity := _affinity(like):
        pod["affinity"] = affinity
    else:
        pod.pop("affinity", None)
    # A StatefulSet mounts volumes by its claim templates, which belong to its replicas.
    volumes = {each["name"] for each in spec.get("volumes") or []}
    for each in (main, *inits):
        if "volumeMounts" in each:
            each["volumeMounts"] = [mount for mount in each["volumeMounts"] if mount["name"] in volumes]
    return pod, main


def _affinity(like: Json) -> Json:
    """Returns the service's affinity without the rules that keep pods away from its replicas: no node might be left."""
    affinity = dict(like["spec"]["template"]["spec"].get("affinity") or {})
    labels = (like["spec"]["template"].get("metadata") or {}).get("labels") or {}
    away = affinity.pop("podAntiAffinity", None) or {}
    kept = {key: [term for term in terms if not _is_of(term, labels)] for key, terms in away.items()}
    if any(kept.values()):
        affinity["podAntiAffinity"] = {key: terms for key, terms in kept.items() if terms}
    return affinity


def _is_of(term: Json, labels: dict[str, str]) -> bool:
    """Whether an affinity term, weighted or not, chooses pods with these labels."""
    return workloads.selects(term.get("podAffinityTerm", term).get("labelSelector") or {}, labels)


def _marks(like: Json) -> tuple[dict[str, str], dict[str, str]]:
    """Returns the labels and annotations of the service's pods, without those that say which pods are its replicas."""
    metadata = like["spec"]["template"].get("metadata") or {}
    selector = like["spec"]["selector"]
    keys = {*(selector.get("matchLabels") or {}), *(each["key"] for each in selector.get("matchExpressions") or [])}
    labels = {key: value for key, value in (metadata.get("labels") or {}).items() if key not in keys}
    annotations = {
        key: value
        for key, value in (metadata.get("annotations") or {}).items()
        if key != REVISION and not key.startswith(_KUBECTLS)
    }
    return labels, annotations


def _secret(name: str, job: Job, uid: str) -> Json:
    """Returns the Secret with the job's variables. The Job owns it, so the cluster deletes it with the Job."""
    owner: dict[str, Any] = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": uid}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "labels": {JOB_LABEL: job.name}, "ownerReferences": [owner]},
        "stringData": dict(job.environment),
    }


class _Watch:
    def __init__(self, name: str, job: Job, kubectl: Kubectl, runtime: Runtime, on_line: Line) -> None:
        self._name = name
        self._job = job
        self._kubectl = kubectl
        self._runtime = runtime
        self._on_line = on_line
        self._passed = 0
        self.not_started = ""
        """Why the container has not started yet: the scheduler's reason, a webhook's, a quota's."""

    def to_the_end(self, deadline: Deadline) -> tuple[int | None, str] | None:
        """Returns the exit code and Kubernetes' reason; `None` at the deadline."""
        while not deadline.expired:
            try:
                pod = answered(lambda: self._pod(deadline), deadline, self._runtime)
            except EngineUnreachable:
                # The deadline cut the question short. Ending the job asks again, and says so where nothing answers.
                return None
            end = self._end(pod)
            if pod is not None and end is not None:
                self._read(pod, 10.0, follow=False)
                return end
            if pod is not None and "running" in (container_status(pod, "job").get("state") or {}):
                self.not_started = ""
                # Returns when the container ends, or the connection does.
                self._read(pod, deadline.remaining, follow=True)
            else:
                self._say_why(reason(pod, "job") if pod else self._kubectl.events(self._name, deadline))
                self._runtime.sleep(deadline.timeout(POLL))
        return None

    def _say_why(self, why: str) -> None:
        if why and why != self.not_started:
            self._runtime.log(f"The job {self._job.name} has not started: {why}")
            self.not_started = why

    def ended_early(self) -> tuple[int | None, str] | None:
        """Sends SIGTERM to the pod, and reads its last lines while it has time to end."""
        deadline = Deadline(self._job.grace + 1, self._runtime.clock)
        pod = self._pod(deadline)
        if pod is None:
            return None
        grace = f"--grace-period={max(int(self._job.grace), 1)}"
        try:
            self._kubectl.call("delete", "pod", pod["metadata"]["name"], grace, "--wait=false", deadline=deadline)
        except NotFound:
            return None
        except Inconclusive as error:
            # Without that right the Job goes, and its pod with it.
            self._runtime.log(error.what)
            self.delete()
        self._read(pod, deadline.remaining, follow=True)
        try:
            return self._end(self._pod(Deadline(2.0, self._runtime.clock)))
        except EngineUnreachable:
            return None

    def delete(self) -> bool:
        """Deletes the Job, and with it its pod and its Secret. Returns whether that worked."""
        try:
            self._kubectl.call(
                "delete",
                "job",
                self._name,
                "--cascade=background",
                "--ignore-not-found",
                "--wait=false",
                deadline=Deadline(10.0, self._runtime.clock),
            )
        except (ActionError, NotFound) as error:
            self._runtime.log(f"Could not delete the Job {self._name}; the cluster does so after an hour. {error}")
            return False
        return True

    def _pod(self, deadline: Deadline) -> Json | None:
        pods = self._kubectl.items("pods", "-l", f"job-name={self._name}", deadline=deadline)
        return pods[0] if pods else None

    def _end(self, pod: Json | None) -> tuple[int | None, str] | None:
        if pod is None:
            return None
        state = container_status(pod, "job").get("state") or {}
        if "terminated" in state:
            word = state["terminated"].get("reason", "")
            return int(state["terminated"]["exitCode"]), word if word not in {"Completed", "Error"} else ""
        waiting = (state.get("waiting") or {}).get("reason", "")
        init = (container_status(pod, failing_container(pod, "job")).get("state") or {}).get("waiting") or {}
        why = reason(pod, "job")
        if waiting in _NO_IMAGE or init.get("reason") in _NO_IMAGE:
            raise ImageMissing(
                f"Could not start the job {self._job.name}: its image is not available.", cause=reason(pod, "job")
            )
        if waiting == "CreateContainerError":
            raise Failed(f"Could not start the job {self._job.name}: {why}")
        phase = (pod.get("status") or {}).get("phase", "")
        return (None, why) if phase in {"Failed", "Succeeded"} else None

    def _read(self, pod: Json, seconds: float, *, follow: bool) -> None:
        """Hands over the new lines; `kubectl` reads a log from its start each time."""
        count = 0

        def pass_on(stream: str, text: str) -> None:
            nonlocal count
            if stream == "stderr":
                return  # kubectl's own messages; both streams of a pod arrive on stdout
            count += 1
            if count > self._passed:
                self._passed = count
                self._on_line("stdout", text)

        words = ["logs", pod["metadata"]["name"], "-c", "job", *(["--follow"] if follow else [])]
        try:
            self._kubectl.stream(*words, timeout=seconds, on_line=pass_on)
        except EngineUnreachable as error:
            self._runtime.log(error.what)
