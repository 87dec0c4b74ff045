"""Runs a one-shot job on a plain Docker Engine, as one container."""

from __future__ import annotations

from docker import errors as sdk

from cicd_actions.engines import docker_settings, left_behind
from cicd_actions.engines.docker_api import DockerApi, Log
from cicd_actions.engines.docker_client import Json
from cicd_actions.engines.docker_container import Containers
from cicd_actions.engines.docker_job import merged, to_the_end, unique_name
from cicd_actions.engines.protocol import JOB_LABEL, REVISION, Job, JobEnd
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import Failed
from cicd_actions.toolkit.lines import Line


def run_job(job: Job, like: Json | None, containers: Containers, api: DockerApi, deadline: Deadline, on_line: Line) -> JobEnd:
    """See `protocol.Engine.job`. The job takes over the settings of the container `like`."""
    _sweep(job, containers, api)
    api.pull(job.image, deadline)
    config = _config(job, like, containers, api)
    config["Labels"] |= left_behind.labels(api.runtime.variables, deadline.remaining + job.grace)
    name = unique_name("", job)
    identity = ""
    try:
        with api.asking(f"start the job {job.name}"):
            identity = str(api.client.create_container_from_config(config, name)["Id"])
            _attach(identity, job, like, api)
            api.client.start(identity)
    except BaseException as error:
        containers.discard(identity, volumes=True)
        if isinstance(error, sdk.NotFound):
            raise Failed(f"The Docker Engine refused to start the job {job.name}: {error.explanation}") from None
        raise
    return to_the_end(_ContainerJob(api, identity), job, api, deadline, on_line)


def _config(job: Job, like: Json | None, containers: Containers, api: DockerApi) -> Json:
    config: Json = {"HostConfig": {}, "Env": [], "Labels": {}}
    if like is not None:
        config = containers.like(like)
        api.remember_secrets(config["Env"], None)
    config["HostConfig"] |= {"RestartPolicy": {"Name": "no"}, "PortBindings": {}, "AutoRemove": False}
    config["Labels"] = {JOB_LABEL: job.name, **({REVISION: job.sha} if job.sha else {})}
    config |= {
        "Image": job.image.pinned,
        "Env": merged(config["Env"], job.environment),
        "Healthcheck": {"Test": ["NONE"]},
    }
    if job.command:
        config |= {"Entrypoint": list(job.command[:1]), "Cmd": list(job.command[1:])}
    if job.working_directory:
        config["WorkingDir"] = job.working_directory
    if job.networks:
        config["HostConfig"]["NetworkMode"] = job.networks[0]
    return config


def _attach(identity: str, job: Job, like: Json | None, api: DockerApi) -> None:
    """Joins the networks beyond the first, without the service's names: its traffic must not reach the job."""
    names = job.networks[1:]
    if like is not None and not job.networks:
        names = tuple(docker_settings.networks(like))[1:]
    for network in names:
        api.client.connect_container_to_network(identity, network)


def _sweep(job: Job, containers: Containers, api: DockerApi) -> None:
    """Removes the jobs that runs which are over have left behind, running or not."""
    with api.asking("look for jobs of killed runs"):
        for found in api.client.containers(all=True, filters={"label": f"{JOB_LABEL}={job.name}"}):
            state = api.container(found["Id"])
            own = docker_settings.own_labels(state, api.local_image(state["Image"])) if state else {}
            if JOB_LABEL not in own:
                continue
            over = found.get("State") in {"exited", "dead"}
            if over or left_behind.abandoned(own, api.runtime.variables):
                if not over:
                    api.runtime.log(f"Ending the job {found['Names'][0].lstrip('/')}: its run was killed.")
                containers.discard(found["Id"], volumes=False)


class _ContainerJob:
    """See `docker_job.Started`."""

    def __init__(self, api: DockerApi, identity: str) -> None:
        self._api = api
        self._identity = identity

    def ended(self) -> tuple[int | None, str] | None:
        state = self._api.container(self._identity)
        if state is None:
            return None, "somebody removed its container"
        now = state["State"]
        if now["Status"] in {"created", "running", "paused", "restarting"}:
            return None
        return int(now["ExitCode"]), "OOMKilled" if now.get("OOMKilled") else str(now.get("Error", ""))

    def log(self) -> Log:
        return Log(self._api, "/containers/{0}/logs", self._identity)

    def terminate(self) -> None:
        with self._api.asking("end the job"):
            self._api.client.kill(self._identity, "SIGTERM")

    def kill(self) -> None:
        with self._api.asking("kill the job"):
            self._api.client.kill(self._identity)

    def remove(self) -> None:
        try:
            with self._api.asking("remove the job"):
                self._api.client.remove_container(self._identity, force=True, v=True)
        except sdk.NotFound:
            return
