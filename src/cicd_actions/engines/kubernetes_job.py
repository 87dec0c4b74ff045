"""A one-shot job on Kubernetes: one pod, no second try, read to its last line, and deleted.

https://kubernetes.io/docs/concepts/workloads/controllers/job/
"""

from __future__ import annotations

import json
import secrets
from typing import Any

from cicd_actions.engines import left_behind
from cicd_actions.engines.kubectl import Json, Kubectl, NotFound, container_status, reason
from cicd_actions.engines.patience import answered
from cicd_actions.engines.protocol import JOB_LABEL, REVISION, EngineUnreachable, ImageMissing, Job, JobEnd
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import ActionError, Failed, UnusableInput
from cicd_actions.toolkit.lines import Line
from cicd_actions.toolkit.runtime import Runtime

POLL = 0.5
_KEPT_SECONDS = 3600
"""How long the cluster keeps a Job whose run was lost, before it removes it with its pod and its Secret."""

_OF_POD = (
    "serviceAccountName",
    "automountServiceAccountToken",
    "imagePullSecrets",
    "volumes",
    "securityContext",
    "nodeSelector",
    "tolerations",
    "affinity",
    "priorityClassName",
    "hostAliases",
    "dnsPolicy",
    "dnsConfig",
    "enableServiceLinks",
)
_OF_CONTAINER = ("env", "envFrom", "volumeMounts", "resources", "securityContext", "imagePullPolicy", "workingDir")
_NO_IMAGE = {"ErrImageNeverPull", "ImagePullBackOff", "InvalidImageName"}


def run_job(
    job: Job, like: Json | None, container: str, kubectl: Kubectl, runtime: Runtime, deadline: Deadline, on_line: Line
) -> JobEnd:
    """See `protocol.Engine.job`. `container` is the one of the Deployment `like` whose settings are taken over."""
    if job.networks:
        raise UnusableInput("Kubernetes has no networks that a job could be told.", fix="Leave the input `network` out.")
    name = f"{job.name}-{secrets.token_hex(4)}"
    begun = runtime.clock()
    watch = _Watch(name, job, kubectl, runtime, on_line)
    manifest = _manifest(name, job, like, container, deadline)
    manifest["metadata"]["annotations"] |= left_behind.labels(runtime.variables, deadline.remaining + job.grace)
    _sweep(job, kubectl, runtime, deadline)
    try:
        made = json.loads(
            kubectl.call("create", "--validate=false", "-f", "-", "-o", "json", stdin=json.dumps(manifest), deadline=deadline)
        )
        if job.environment:
            secret = _secret(name, job, made["metadata"]["uid"])
            kubectl.call("create", "--validate=false", "-f", "-", stdin=json.dumps(secret), deadline=deadline)
        end = watch.to_the_end(deadline)
        timed_out = end is None
        if end is None:
            end = watch.ended_early() or (None, "it did not end on SIGTERM and was killed")
    except BaseException:
        try:
            watch.ended_early()
        except ActionError as error:
            runtime.log(f"The job could not be ended: {error.what}")
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
    if like is not None:
        template = like["spec"]["template"]["spec"]
        found = next(each for each in template["containers"] if each["name"] == container)
        pod = {key: template[key] for key in _OF_POD if key in template}
        main = {key: found[key] for key in _OF_CONTAINER if key in found}
    main |= {"name": "job", "image": job.image.pinned}
    if job.command:
        # `command` replaces the image's entrypoint, and with it what the image would have added.
        main["command"] = list(job.command)
    if job.working_directory:
        main["workingDir"] = job.working_directory
    if job.environment:
        own = [{"name": key, "valueFrom": {"secretKeyRef": {"name": name, "key": key}}} for key in job.environment]
        kept = [entry for entry in main.get("env") or [] if entry["name"] not in job.environment]
        main["env"] = [*kept, *own]
    pod |= {"restartPolicy": "Never", "terminationGracePeriodSeconds": max(int(job.grace), 1), "containers": [main]}
    labels = {JOB_LABEL: job.name}
    annotations = {REVISION: job.sha} if job.sha else {}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": labels, "annotations": annotations},
        "spec": {
            "backoffLimit": 0,
            "ttlSecondsAfterFinished": _KEPT_SECONDS,
            # The cluster ends it even when this run is lost.
            "activeDeadlineSeconds": max(int(deadline.remaining + job.grace), 1),
            "template": {"metadata": {"labels": labels, "annotations": annotations}, "spec": pod},
        },
    }


def _secret(name: str, job: Job, uid: str) -> Json:
    """The job's variables. It belongs to the Job, so the cluster deletes it with the Job, whoever does that."""
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

    def to_the_end(self, deadline: Deadline) -> tuple[int | None, str] | None:
        """The exit code and Kubernetes' word; `None` at the deadline."""
        while not deadline.expired:
            pod = answered(lambda: self._pod(deadline), deadline, self._runtime)
            end = self._end(pod)
            if pod is not None and end is not None:
                self._read(pod, 10.0, follow=False)
                return end
            if pod is not None and "running" in (container_status(pod, "job").get("state") or {}):
                # Comes back when the container ends, or the connection does.
                self._read(pod, deadline.remaining, follow=True)
            else:
                self._runtime.sleep(deadline.timeout(POLL))
        return None

    def ended_early(self) -> tuple[int | None, str] | None:
        """SIGTERM to the pod; its last lines are read while it has time to end."""
        deadline = Deadline(self._job.grace + 1, self._runtime.clock)
        pod = self._pod(deadline)
        if pod is None:
            return None
        grace = f"--grace-period={max(int(self._job.grace), 1)}"
        try:
            self._kubectl.call("delete", "pod", pod["metadata"]["name"], grace, "--wait=false", deadline=deadline)
        except NotFound:
            return None
        self._read(pod, deadline.remaining, follow=True)
        return self._end(self._pod(Deadline(2.0, self._runtime.clock)))

    def delete(self) -> bool:
        """The Job; with it go its pod and its Secret."""
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
            self._runtime.log(f"The Job {self._name} could not be deleted (the cluster does it after an hour): {error}")
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
        if waiting in _NO_IMAGE:
            raise ImageMissing(f"The image of the job {self._job.name} cannot be had.", cause=reason(pod, "job"))
        if waiting == "CreateContainerError":
            raise Failed(f"Kubernetes could not start the job {self._job.name}: {reason(pod, 'job')}")
        phase = (pod.get("status") or {}).get("phase", "")
        return (None, reason(pod, "job")) if phase in {"Failed", "Succeeded"} else None

    def _read(self, pod: Json, seconds: float, *, follow: bool) -> None:
        """Hand over the lines that are new; `kubectl` reads a log from its start each time."""
        count = 0

        def pass_on(stream: str, text: str) -> None:
            nonlocal count
            if stream == "stderr":
                return  # kubectl's own word about the connection; a pod's two streams both come as stdout
            count += 1
            if count > self._passed:
                self._passed = count
                self._on_line("stdout", text)

        words = ["logs", pod["metadata"]["name"], "-c", "job", *(["--follow"] if follow else [])]
        try:
            self._kubectl.stream(*words, timeout=seconds, on_line=pass_on)
        except EngineUnreachable as error:
            self._runtime.log(error.what)
