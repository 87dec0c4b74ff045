"""Runs a one-shot job on a Swarm, as a replicated job with one replica."""

from __future__ import annotations

import copy
from typing import Any

from docker import errors as sdk

from cicd_actions.engines import left_behind
from cicd_actions.engines.docker_api import SECOND, DockerApi, Log
from cicd_actions.engines.docker_client import Json
from cicd_actions.engines.docker_job import merged, to_the_end, unique_name
from cicd_actions.engines.protocol import JOB_LABEL, REVISION, ImageMissing, Job, JobEnd
from cicd_actions.engines.swarm_tasks import Tasks
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import Failed
from cicd_actions.toolkit.lines import Line


def run_job(
    job: Job, like: Json | None, prefix: str, api: DockerApi, tasks: Tasks, deadline: Deadline, on_line: Line
) -> JobEnd:
    """See `protocol.Engine.job`. The job takes over the task template `like`; its name begins with `prefix`."""
    _sweep(job, api, tasks)
    spec = _spec(job, like, prefix, api)
    spec["Labels"] |= left_behind.labels(api.runtime.variables, deadline.remaining + job.grace)
    try:
        with api.asking(f"start the job {job.name}"):
            identity = api.client.new_service(spec)
    except sdk.NotFound as error:
        raise Failed(f"The Swarm refused to start the job {job.name}: {error.explanation}") from None
    end = to_the_end(_SwarmJob(api, tasks, identity), job, api, deadline, on_line)
    if end.exit_code is None and not end.timed_out:
        kind = ImageMissing if "No such image" in end.detail else Failed
        raise kind(f"The Swarm could not run the job {job.name}: {end.detail}")
    return end


def _spec(job: Job, like: Json | None, prefix: str, api: DockerApi) -> Json:
    template: Json = {"ContainerSpec": {}}
    if like is not None:
        template = copy.deepcopy(like)
        own = api.local_image(template["ContainerSpec"]["Image"])
        api.remember_secrets(template["ContainerSpec"].get("Env") or [], own)
    container: Json = template["ContainerSpec"]
    for name in ("Command", "Args", "Hostname"):
        container.pop(name, None)
    if job.command:
        container |= {"Command": list(job.command), "Args": []}
    if job.working_directory:
        container["Dir"] = job.working_directory
    container |= {
        "Image": job.image.pinned,
        "Env": merged(container.get("Env") or [], job.environment),
        "Healthcheck": {"Test": ["NONE"]},
        "StopGracePeriod": int(job.grace * SECOND),
    }
    template |= {"RestartPolicy": {"Condition": "none", "MaxAttempts": 0}, "ForceUpdate": 0}
    if job.networks:
        template["Networks"] = [{"Target": name} for name in job.networks]
    for attachment in template.get("Networks") or []:
        attachment.pop("Aliases", None)  # the service's traffic must not reach the job
    labels = {JOB_LABEL: job.name, **({REVISION: job.sha} if job.sha else {})}
    return {
        "Name": unique_name(prefix, job),
        "Labels": labels,
        "TaskTemplate": template,
        "Mode": {"ReplicatedJob": {"MaxConcurrent": 1, "TotalCompletions": 1}},
    }


def _sweep(job: Job, api: DockerApi, tasks: Tasks) -> None:
    """Removes the jobs that runs which are over have left behind, running or not."""
    with api.asking("look for jobs of killed runs"):
        for service in api.client.services(filters={"label": f"{JOB_LABEL}={job.name}"}):
            over = tasks.job_end(service["ID"]) is not None
            if over or left_behind.abandoned(service["Spec"].get("Labels") or {}, api.runtime.variables):
                if not over:
                    api.runtime.log(f"Ending the job {service['Spec']['Name']}: its run was killed.")
                api.client.remove_service(service["ID"])


class _SwarmJob:
    """See `docker_job.Started`."""

    def __init__(self, api: DockerApi, tasks: Tasks, identity: str) -> None:
        self._api = api
        self._tasks = tasks
        self._identity = identity

    def ended(self) -> tuple[int | None, str] | None:
        return self._tasks.job_end(self._identity)

    def log(self) -> Log | None:
        container = self._container()
        if container:
            return Log(self._api, "/containers/{0}/logs", container)
        # On another node: the manager fetches the lines.
        return Log(self._api, "/services/{0}/logs", self._identity) if self._started_elsewhere() else None

    def terminate(self) -> None:
        container = self._container()
        with self._api.asking("end the job"):
            if container:
                self._api.client.kill(container, "SIGTERM")
            else:
                self._api.client.remove_service(self._identity)

    def kill(self) -> None:
        if container := self._container():
            with self._api.asking("kill the job"):
                self._api.client.kill(container)

    def remove(self) -> None:
        container = self._container()
        try:
            with self._api.asking("remove the job"):
                self._api.client.remove_service(self._identity)
                if container:
                    # Swarm would send SIGTERM and wait; this code has waited already.
                    self._api.client.remove_container(container, force=True, v=True)
        except sdk.NotFound:
            return

    def _task(self) -> Json | None:
        with self._api.asking("look at the job"):
            tasks = self._tasks.of(self._identity)
        return tasks[0] if tasks else None

    def _container(self) -> str:
        identity = _container_of(self._task())
        return identity if identity and self._api.container(identity) is not None else ""

    def _started_elsewhere(self) -> bool:
        return bool(_container_of(self._task()))


def _container_of(task: Any) -> str:
    return str((((task or {}).get("Status") or {}).get("ContainerStatus") or {}).get("ContainerID", ""))
