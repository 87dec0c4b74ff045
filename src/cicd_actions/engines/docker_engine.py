"""One Docker Engine without an orchestrator: a container a service, replaced by one that is healthy already.

The new container is started beside the old one, unreachable by the service's name, and gets the name's traffic only when it
is healthy. For the time of `monitor` the name leads to both, so that a proxy which looks it up now and then, or checks its
servers, knows the new one before the old one stops: no request is lost. A published port can be held by one container only,
so there the old one stops before the new one starts: a short gap, which is said. The old container is kept, stopped, until
the next roll-out: the way back is to start it again.
"""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Mapping, Sequence

from docker import errors as sdk

from cicd_actions.engines import left_behind
from cicd_actions.engines.docker_api import DockerApi, Json, Log
from cicd_actions.engines.docker_container import Containers, published
from cicd_actions.engines.docker_job import merged, to_the_end, unique_name
from cicd_actions.engines.protocol import (
    JOB_LABEL,
    REVISION,
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
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import ActionError, Failed
from cicd_actions.toolkit.lines import Line
from cicd_actions.toolkit.runtime import Runtime

POLL = 0.1


class DockerEngine:
    """See `protocol.Engine`. `project` is the Compose project of the containers, where they belong to one."""

    name = "docker"
    opaque_images = False

    def __init__(self, runtime: Runtime, *, project: str = "", monitor: float = 5.0) -> None:
        self._runtime = runtime
        self._api = DockerApi(runtime)
        self._containers = Containers(self._api, project)
        self._monitor = monitor

    def close(self) -> None:
        self._api.close()

    def by_hand(self, target: Target) -> str:
        """There is no one command: a container's image cannot be changed, so it is created anew."""
        pull = shlex.join(["docker", "pull", target.image.pinned])
        inspect = shlex.join(["docker", "inspect", target.service])
        return f"{pull}  # then create {target.service} anew from it, with the options that `{inspect}` shows"

    def running(self, services: Sequence[str], deadline: Deadline) -> Mapping[str, Running]:
        self._api.deadline = deadline
        found: dict[str, Running] = {}
        for service in services:
            state = self._api.retried(
                f"ask what {service} runs",
                lambda service=service: self._containers.of(service),  # type: ignore[misc]
                deadline,
            )
            if state is not None:
                found[service] = self._running(service, state)
        return found

    def resolve(self, image: str, deadline: Deadline) -> Image:
        self._api.deadline = deadline
        return self._api.resolve(image, deadline)

    def roll_out(self, target: Target, before: Running, deadline: Deadline, *, way_back: bool = True) -> RolledOut:  # noqa: ARG002
        self._api.deadline = deadline
        started = self._runtime.clock()
        old = self._existing(target.service)
        self._api.pull(target.image, deadline)
        self._containers.drop_kept(target.service)
        notes: list[str] = []
        # On the host's own network both would want the same ports: nothing can be tried beside the old container there.
        beside = old["HostConfig"]["NetworkMode"] != "host"
        candidate = self._containers.candidate(old, target) if beside else ""
        try:
            if candidate:
                self._healthy(candidate, target, deadline)
            if published(old):
                notes.append(self._replace(old, candidate, target, deadline))
            else:
                self._swap(old, candidate, target.service, deadline)
        except RollOutFailed as failure:
            failure.reverted = self._undo(old, candidate)
            raise
        except BaseException:
            self._undo(old, candidate)
            raise
        if not self._health_checked(target):
            notes.append(
                f"has no health check: it counted as arrived after running for {self._monitor:g} s. Add a HEALTHCHECK."
            )
        return RolledOut(target.service, self._runtime.clock() - started, tuple(notes))

    def revert(self, before: Running, deadline: Deadline, *, wait: bool = True) -> None:
        self._api.deadline = deadline
        now = self._containers.of(before.service)
        if now is not None and now["Id"] == before.point and now["State"]["Running"]:
            return
        kept = self._api.container(str(before.point)) if before.point else None
        if kept is None:
            self._again(before, deadline)
            return
        newer = now if now is not None and now["Id"] != kept["Id"] else None
        with self._api.asking(f"take {before.service} back"):
            if newer is not None:
                if published(newer):
                    self._containers.stop(newer)
                self._api.client.rename(newer["Id"], f"{newer['Name'].lstrip('/')}.{secrets.token_hex(3)}")
            policy = (now or kept)["HostConfig"]["RestartPolicy"]
            self._containers.restore(str(kept["Id"]), policy)
        if wait:
            self._await_health(str(kept["Id"]), before.service, deadline)
        if newer is None:
            return
        if wait and not published(newer):
            # As on the way there: the name leads to both for a while.
            self._watch(str(kept["Id"]), before.service, deadline)
            with self._api.asking(f"stop what {before.service} was left for"):
                self._containers.stop(newer)
        self._discard(str(newer["Id"]))

    def job(self, job: Job, deadline: Deadline, on_line: Line) -> JobEnd:
        self._api.deadline = deadline
        self._sweep(job)
        self._api.pull(job.image, deadline)
        config = self._job_config(job)
        config["Labels"] |= left_behind.labels(self._api.runtime.variables, deadline.remaining + job.grace)
        name = unique_name("", job)
        identity = ""
        try:
            with self._api.asking(f"start the job {job.name}"):
                identity = str(self._api.client.create_container_from_config(config, name)["Id"])
                self._attach(identity, job)
                self._api.client.start(identity)
        except sdk.NotFound as error:
            self._discard(identity)
            raise Failed(f"The Docker Engine refused to start the job {job.name}: {error.explanation}") from None
        except BaseException:
            self._discard(identity)
            raise
        return to_the_end(_ContainerJob(self._api, identity), job, self._api, deadline, on_line)

    def logs(self, service: str, deadline: Deadline, *, lines: int = 50) -> Evidence:
        self._api.deadline = deadline

        def look() -> Evidence:
            return self._api.evidence(str(self._existing(service)["Id"]), lines=lines)

        return self._api.retried(f"read the log of {service}", look, deadline)

    def _existing(self, service: str) -> Json:
        found = self._containers.of(service)
        if found is None:
            raise ServiceMissing(
                f"The Docker Engine runs no container {service}.",
                fix="Start it once, with its ports, networks and variables: `docker compose up -d`, or `docker run --name`.",
            )
        return found

    def _running(self, service: str, state: Json) -> Running:
        image = self._api.local_image(state["Image"]) or {}
        reference = str(state["Config"]["Image"])
        health = (state["State"].get("Health") or {}).get("Status", "")
        labels = state["Config"].get("Labels") or {}
        return Running(
            service,
            image=self._containers.deployable(state, image),
            digest=self._containers.digest(reference, image, str(state["Image"])),
            sha=str(labels.get(REVISION, "")),
            ready=int(bool(state["State"]["Running"]) and health in {"", "none", "healthy"}),
            wanted=1,
            point=state["Id"],
        )

    def _healthy(self, candidate: str, target: Target, deadline: Deadline) -> None:
        with self._api.asking(f"start a new container of {target.service}"):
            self._api.client.start(candidate)
        self._runtime.log(f"{target.service}: a new container is started beside the old one.")
        self._await_health(candidate, target.service, deadline)

    def _await_health(self, container: str, service: str, deadline: Deadline) -> None:
        """Until the container is healthy; one without a health check has to run for the time of `monitor`."""
        began = self._runtime.clock()
        while True:
            health = self._health(container, service, deadline)
            if health == "healthy" or (health == "none" and self._runtime.clock() - began >= self._monitor):
                return
            if deadline.expired:
                raise self._failure(service, container, "was not healthy within the time")
            self._runtime.sleep(POLL)

    def _watch(self, container: str, service: str, deadline: Deadline) -> None:
        """For the time of `monitor`, or to the deadline: it has to stay up."""
        watch = Deadline(deadline.timeout(self._monitor), self._runtime.clock)
        while not watch.expired:
            self._health(container, service, deadline)
            self._runtime.sleep(watch.timeout(POLL))

    def _health(self, container: str, service: str, deadline: Deadline) -> str:
        """The engine's word for its health, `none` where nobody checks it. Raises `RollOutFailed` when it is not up."""
        state = self._api.retried("ask how the container is", lambda: self._api.container(container), deadline)
        now = (state or {}).get("State") or {}
        health = str((now.get("Health") or {}).get("Status", "none"))
        restarted = now.get("Restarting") or (state or {}).get("RestartCount", 0)
        if state is None or not now["Running"] or restarted or health == "unhealthy":
            raise self._failure(service, container, "did not come up healthy")
        return health

    def _failure(self, service: str, container: str, what: str) -> RollOutFailed:
        evidence = self._api.evidence(container)
        return RollOutFailed(service, f"{service} {what}.", reverted=True, evidence=evidence, cause=evidence.reason)

    def _swap(self, old: Json, candidate: str, service: str, deadline: Deadline) -> None:
        """The service's name leads to both for a while, then the old one stops: there is always one that answers."""
        with self._api.asking("hand the traffic over"):
            self._containers.give_names(candidate, old)
        self._watch(candidate, service, deadline)
        with self._api.asking("hand the traffic over"):
            self._containers.keep(old)
            self._api.client.rename(candidate, old["Name"].lstrip("/"))

    def _replace(self, old: Json, candidate: str, target: Target, deadline: Deadline) -> str:
        """The candidate was healthy; one with the published ports takes over. The only way, since ports cannot be moved."""
        with self._api.asking("make the container with the published ports"):
            final = self._containers.successor(old, target)
        began = self._runtime.clock()
        try:
            with self._api.asking("hand the published ports over"):
                self._containers.keep(old)
                self._api.client.start(final)
            self._await_health(final, target.service, deadline)
            with self._api.asking("name the new container"):
                self._api.client.rename(final, old["Name"].lstrip("/"))
        except BaseException:
            self._discard(final)
            raise
        gap = self._runtime.clock() - began
        self._discard(candidate)
        ports = ", ".join(published(old))
        return (
            f"publishes a port ({ports}): nobody answered there for up to {gap:.1f} s. Swarm on the same host has no such gap."
        )

    def _undo(self, old: Json, candidate: str) -> bool:
        """Whatever was under way: the candidate goes, the old container stands as before. Says whether it does."""
        self._discard(candidate)
        try:
            with self._api.asking("let the old container stand as before"):
                now = self._api.container(old["Id"])
                if now is not None and (not now["State"]["Running"] or now["Name"] != old["Name"]):
                    self._containers.restore(old["Id"], old["HostConfig"]["RestartPolicy"])
                return now is not None
        except (ActionError, sdk.NotFound) as error:
            self._runtime.log(f"{old['Name'].lstrip('/')} could not be restored: {error}")
            return False

    def _discard(self, container: str) -> None:
        if not container:
            return
        try:
            with self._api.asking("remove a container"):
                self._api.client.remove_container(container, force=True, v=True)
        except sdk.NotFound:
            return
        except ActionError as error:
            self._runtime.log(f"The container {container[:12]} could not be removed: {error.what}")

    def _again(self, before: Running, deadline: Deadline) -> None:
        """The kept container is gone: its image is rolled out again."""
        image = self.resolve(before.image, deadline)
        self.roll_out(Target(before.service, image, before.sha), before, deadline)

    def _health_checked(self, target: Target) -> bool:
        state = self._existing(target.service)
        return bool((state["State"].get("Health") or {}).get("Status", "none") != "none")

    def _job_config(self, job: Job) -> Json:
        config: Json = {"HostConfig": {}, "Env": [], "Labels": {}}
        if job.like:
            like = self._existing(job.like)
            config = self._containers.like(like)
            self._api.remember_secrets(config["Env"], None)
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

    def _attach(self, identity: str, job: Job) -> None:
        """Join the networks beyond the first, without any of the service's names: its traffic must not reach the job."""
        names = job.networks[1:]
        if job.like and not job.networks:
            names = tuple(self._containers.networks(self._existing(job.like)))[1:]
        for network in names:
            self._api.client.connect_container_to_network(identity, network)

    def _sweep(self, job: Job) -> None:
        """Removes the jobs that runs which are over have left behind, running or not."""
        with self._api.asking("look for jobs of lost runs"):
            for found in self._api.client.containers(all=True, filters={"label": f"{JOB_LABEL}={job.name}"}):
                over = found.get("State") in {"exited", "dead"}
                if over or left_behind.abandoned(found.get("Labels") or {}, self._api.runtime.variables):
                    if not over:
                        self._api.runtime.log(f"Ending the job {found['Names'][0].lstrip('/')}: its run was killed.")
                    self._discard(found["Id"])


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
