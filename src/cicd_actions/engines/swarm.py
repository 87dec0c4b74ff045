"""Docker Swarm: start-first, health-gated updates of services, and replicated jobs.

How an update went is read from `UpdateStatus`: Swarm answers an update at once, and one that rolled itself back still counts
as done for its own command line. https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Service
"""

from __future__ import annotations

import copy
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from docker import errors as sdk

from cicd_actions.engines import left_behind
from cicd_actions.engines.docker_api import SECOND, DockerApi, Json, Log
from cicd_actions.engines.docker_job import merged, to_the_end, unique_name
from cicd_actions.engines.protocol import (
    JOB_LABEL,
    REVISION,
    EngineUnreachable,
    Evidence,
    Image,
    ImageMissing,
    Job,
    JobEnd,
    RolledOut,
    RollOutFailed,
    Running,
    ServiceMissing,
    Target,
)
from cicd_actions.engines.swarm_tasks import Tasks
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import Failed
from cicd_actions.toolkit.lines import Line
from cicd_actions.toolkit.runtime import Runtime

POLL = 0.25
_MOVING = {"updating", "rollback_started"}
_WENT_BACK = {"rollback_started", "rollback_completed", "rollback_paused"}


class Swarm:
    """See `protocol.Engine`. The engine that is reached has to be a manager."""

    name = "swarm"
    opaque_images = False

    def __init__(self, runtime: Runtime, *, stack: str = "", parallelism: int = 1, monitor: float = 5.0) -> None:
        self._runtime = runtime
        self._api = DockerApi(runtime)
        self._tasks = Tasks(self._api)
        self._prefix = f"{stack}_" if stack else ""
        self._parallelism = parallelism
        self._monitor = int(monitor * SECOND)

    def close(self) -> None:
        self._api.close()

    def by_hand(self, target: Target) -> str:
        words = ["docker", "service", "update", "--with-registry-auth"]
        words += ["--label-add", f"{REVISION}={target.sha}"] if target.sha else []
        return shlex.join([*words, "--image", target.image.pinned, self._prefix + target.service])

    def running(self, services: Sequence[str], deadline: Deadline) -> Mapping[str, Running]:
        self._api.deadline = deadline
        found: dict[str, Running] = {}
        for service in services:
            state = self._api.retried(f"ask what {service} runs", lambda service=service: self._look(service), deadline)  # type: ignore[misc]
            if state is not None:
                found[service] = self._running(service, state)
        return found

    def resolve(self, image: str, deadline: Deadline) -> Image:
        self._api.deadline = deadline
        found = self._api.resolve(image, deadline)
        if found.opaque and self._nodes() > 1:
            raise Failed(
                f"The image {image} is on one engine only, and this Swarm has several.",
                fix="Push it to a registry that every node reaches, and name it as it is called there.",
            )
        return found

    def roll_out(self, target: Target, before: Running, deadline: Deadline, *, way_back: bool = True) -> RolledOut:  # noqa: ARG002
        self._api.deadline = deadline
        started = self._runtime.clock()
        notes: list[str] = []
        spec = self._planned(self._existing(target.service)["Spec"], target, way_back=way_back, notes=notes)
        self._change(target.service, spec, target.image.pinned)
        self._arrived(target, deadline)
        if not self._tasks.health_checked(spec):
            notes.append("has no health check: a replica counted as arrived because its process ran. Add a HEALTHCHECK.")
        return RolledOut(target.service, self._runtime.clock() - started, tuple(notes))

    def revert(self, before: Running, deadline: Deadline, *, wait: bool = True) -> None:
        self._api.deadline = deadline
        wanted = before.point
        if not isinstance(wanted, dict):
            raise RollOutFailed(before.service, f"{before.service}: nobody noted what ran before.", reverted=False)
        state = self._existing(before.service)
        if state["Spec"] != wanted:
            if state.get("PreviousSpec") == wanted:
                self._change(before.service, state["Spec"], before.image, rollback=True)
            else:
                # Something else changed the service in between, or it went back once already.
                self._change(before.service, wanted, before.image)
        if wait:
            self._came_back(before, deadline)

    def job(self, job: Job, deadline: Deadline, on_line: Line) -> JobEnd:
        self._api.deadline = deadline
        self._sweep(job)
        spec = self._job_spec(job)
        spec["Labels"] |= left_behind.labels(self._api.runtime.variables, deadline.remaining + job.grace)
        try:
            with self._api.asking(f"start the job {job.name}"):
                identity = self._api.client.new_service(spec)
        except sdk.NotFound as error:
            raise Failed(f"The Swarm refused to start the job {job.name}: {error.explanation}") from None
        end = to_the_end(_SwarmJob(self._api, self._tasks, identity), job, self._api, deadline, on_line)
        if end.exit_code is None and not end.timed_out:
            kind = ImageMissing if "No such image" in end.detail else Failed
            raise kind(f"The Swarm could not run the job {job.name}: {end.detail}")
        return end

    def logs(self, service: str, deadline: Deadline, *, lines: int = 50) -> Evidence:
        self._api.deadline = deadline

        def look() -> Evidence:
            task = self._tasks.newest_failing(self._existing(service)["ID"])
            return self._tasks.evidence(task, lines) if task else Evidence(reason=f"{service} has no replica.")

        return self._api.retried(f"look at the replicas of {service}", look, deadline)

    def _look(self, service: str) -> Json | None:
        try:
            found: Json = self._api.client.inspect_service(self._prefix + service)
        except sdk.NotFound:
            return None
        # The engine also takes the beginning of an id for a name.
        return found if found["Spec"]["Name"] == self._prefix + service else None

    def _existing(self, service: str) -> Json:
        with self._api.asking(f"look at the service {service}"):
            state = self._look(service)
        if state is None:
            raise ServiceMissing(
                f"The Swarm has no service {self._prefix}{service}.", fix="Create it once with `docker stack deploy`."
            )
        return state

    def _running(self, service: str, state: Json) -> Running:
        spec = state["Spec"]
        container = spec["TaskTemplate"]["ContainerSpec"]
        image = str(container["Image"])
        digest = image if image.startswith("sha256:") else image.partition("@")[2]
        ready, wanted = self._tasks.replicas(state)
        labels = {**(container.get("Labels") or {}), **(spec.get("Labels") or {})}
        return Running(
            service,
            image=image,
            digest=digest,
            sha=labels.get(REVISION) or self._image_revision(image),
            ready=ready,
            wanted=wanted,
            settled=_update_state(state) not in _MOVING,
            point=copy.deepcopy(spec),
        )

    def _image_revision(self, image: str) -> str:
        here = self._api.local_image(image)
        labels = ((here or {}).get("Config") or {}).get("Labels") or {}
        return str(labels.get(REVISION, ""))

    def _nodes(self) -> int:
        with self._api.asking("count the Swarm's nodes"):
            return len(self._api.client.nodes())

    def _planned(self, spec: Json, target: Target, *, way_back: bool, notes: list[str]) -> Json:
        planned = copy.deepcopy(spec)
        template = planned["TaskTemplate"]
        if template["ContainerSpec"]["Image"] == target.image.pinned:
            # The same image again: without this Swarm would see nothing to do, and replace no replica.
            template["ForceUpdate"] = template.get("ForceUpdate", 0) + 1
        template["ContainerSpec"]["Image"] = target.image.pinned
        planned["Labels"] = {name: text for name, text in (spec.get("Labels") or {}).items() if name != REVISION}
        if target.sha:
            planned["Labels"][REVISION] = target.sha
        order = "start-first"
        why = _stop_first(spec)
        if why:
            order = "stop-first"
            notes.append(why)
        common: Json = {"Monitor": self._monitor, "MaxFailureRatio": 0, "Order": order}
        delay = (spec.get("UpdateConfig") or {}).get("Delay", 0)
        planned["UpdateConfig"] = {
            **common,
            "Parallelism": self._parallelism,
            "Delay": delay,
            "FailureAction": "rollback" if way_back else "pause",
        }
        # What ran before is known to work, and seconds count: all replicas at once, the new ones stay until the old are up.
        planned["RollbackConfig"] = {**common, "Parallelism": 0, "Delay": 0, "FailureAction": "pause"}
        return planned

    def _change(self, service: str, spec: Json, image: str, *, rollback: bool = False) -> None:
        for attempt in range(5):
            state = self._existing(service)
            try:
                with self._api.asking(f"change the service {service}"):
                    version = state["Version"]["Index"]
                    self._api.client.change_service(state["ID"], version, spec, image=image, rollback=rollback)
            except EngineUnreachable as error:
                # Swarm counts the version up whenever it notes an update's progress, not only when somebody changes it.
                if "out of sequence" not in error.what or attempt == 4:
                    raise
            else:
                return

    def _arrived(self, target: Target, deadline: Deadline) -> None:
        evidence: Evidence | None = None
        said = ""
        while True:
            state = self._api.retried("ask how the update is", lambda: self._existing(target.service), deadline)
            update = _update_state(state)
            image = state["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"]
            tasks = self._api.retried("ask how the replicas are", lambda state=state: self._tasks.of(state["ID"]), deadline)  # type: ignore[misc]
            # Taken at once: Swarm keeps few failed tasks, and removes their containers with them.
            evidence = evidence or self._tasks.first_failure(tasks, target.image.pinned)
            said = self._tell(target, state, said)
            if update in _WENT_BACK or image != target.image.pinned:
                self._wait_for_rollback(target.service, deadline)
                raise self._failure(target, state, evidence, reverted=_update_state(self._existing(target.service)))
            if update == "paused":
                raise self._failure(target, state, evidence, reverted=update)
            # `completed` alone is not enough: after an engine's restart it is said while a replica is still being started.
            if update in {"", "completed"} and self._tasks.all_run(tasks, state):
                return
            if deadline.expired:
                raise self._failure(target, state, evidence, reverted="deadline")
            self._runtime.sleep(POLL)

    def _tell(self, target: Target, state: Json, said: str) -> str:
        ready, wanted = self._tasks.replicas(state, target.image.pinned)
        line = f"{target.service}: {ready} of {wanted} replicas run the new image."
        if line != said:
            self._runtime.log(line)
        return line

    def _wait_for_rollback(self, service: str, deadline: Deadline) -> None:
        self._runtime.log(f"{service}: Swarm is taking it back.")
        while _update_state(self._api.retried("ask how the rollback is", lambda: self._existing(service), deadline)) in _MOVING:
            if deadline.expired:
                return
            self._runtime.sleep(POLL)

    def _failure(self, target: Target, state: Json, evidence: Evidence | None, *, reverted: str) -> RollOutFailed:
        message = (state.get("UpdateStatus") or {}).get("Message", "")
        back = reverted == "rollback_completed"
        if reverted == "deadline":
            what = f"{target.service} did not arrive within the time."
        elif back:
            what = f"{target.service} did not come up healthy, and Swarm took it back."
        else:
            what = f"{target.service} did not come up healthy; Swarm's update is `{reverted}`."
        if evidence is None:
            task = self._tasks.newest_failing(state["ID"])
            evidence = self._tasks.evidence(task) if task else Evidence(reason=message)
        return RollOutFailed(target.service, what, reverted=back, evidence=evidence, cause=evidence.reason or message)

    def _came_back(self, before: Running, deadline: Deadline) -> None:
        while True:
            state = self._api.retried("ask how the way back is", lambda: self._existing(before.service), deadline)
            update = _update_state(state)
            ready, wanted = self._tasks.replicas(state, before.image)
            if update not in _MOVING and ready >= wanted:
                return
            if update in {"paused", "rollback_paused"} or deadline.expired:
                why = f"Swarm's update is `{update}`" if not deadline.expired else "the time is over"
                task = self._tasks.newest_failing(state["ID"])
                raise RollOutFailed(
                    before.service,
                    f"{before.service} did not come back to {before.image}: {why}; {ready} of {wanted} replicas run it.",
                    reverted=False,
                    evidence=self._tasks.evidence(task) if task else None,
                    fix=f"    docker service ps {self._prefix}{before.service}\n"
                    f"    docker service update --image {before.image} {self._prefix}{before.service}",
                )
            self._runtime.sleep(POLL)

    def _job_spec(self, job: Job) -> Json:
        template: Json = {"ContainerSpec": {}}
        if job.like:
            like = self._existing(job.like)["Spec"]["TaskTemplate"]
            template = copy.deepcopy(like)
            own = self._api.local_image(template["ContainerSpec"]["Image"])
            self._api.remember_secrets(template["ContainerSpec"].get("Env") or [], own)
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
            "Name": unique_name(self._prefix, job),
            "Labels": labels,
            "TaskTemplate": template,
            "Mode": {"ReplicatedJob": {"MaxConcurrent": 1, "TotalCompletions": 1}},
        }

    def _sweep(self, job: Job) -> None:
        """Removes the jobs that runs which are over have left behind, running or not."""
        with self._api.asking("look for jobs of lost runs"):
            for service in self._api.client.services(filters={"label": f"{JOB_LABEL}={job.name}"}):
                over = self._tasks.job_end(service["ID"]) is not None
                if over or left_behind.abandoned(service["Spec"].get("Labels") or {}, self._api.runtime.variables):
                    if not over:
                        self._runtime.log(f"Ending the job {service['Spec']['Name']}: its run was killed.")
                    self._api.client.remove_service(service["ID"])


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
                    # Swarm would send SIGTERM and wait; whoever gets here has waited.
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


def _update_state(state: Json) -> str:
    return str((state.get("UpdateStatus") or {}).get("State", ""))


def _stop_first(spec: Json) -> str:
    """Why the old replica has to stop before the new one starts; empty where it need not."""
    ports = (spec.get("EndpointSpec") or {}).get("Ports") or []
    if any(port.get("PublishMode") == "host" for port in ports):
        return "publishes a port of the node itself (mode `host`), which only one replica can hold: each was away for a moment."
    if "Global" in spec["Mode"]:
        return "runs once on every node (mode `global`): each replica was stopped before its successor started."
    return ""
