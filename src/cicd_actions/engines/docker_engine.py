"""One Docker Engine without an orchestrator: each container of a service is replaced by one that is healthy already.

The new container starts beside the old one, unreachable by the service's name, and gets the name's traffic once it is healthy.
For the time of `monitor` the name leads to both. A proxy that looks the name up now and then, or checks its servers, so knows
the new one before the old one stops, and no request is lost.

Only one container can hold a published port, a static address or an unnamed volume. There the old container stops before the
new one starts, and the report says how long the service was away. The old container is kept, stopped, until the next
roll-out: a rollback starts it again.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence

from docker import errors as sdk

from cicd_actions.engines import docker_ends, docker_settings
from cicd_actions.engines.container_job import run_job
from cicd_actions.engines.docker_api import DockerApi
from cicd_actions.engines.docker_client import Json
from cicd_actions.engines.docker_container import Containers
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
from cicd_actions.engines.staying_up import Cause, Uptime
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import ActionError
from cicd_actions.toolkit.lines import Line
from cicd_actions.toolkit.runtime import Runtime

POLL = 0.1
START = 10.0
"""Seconds for which a container is started again that the engine fails to start: a busy one does so now and then."""


class DockerEngine:
    """See `protocol.Engine`. `project` is the Compose project of the containers, where they belong to one."""

    name = "docker"
    opaque_images = False
    own_programs = False
    when_ended = "{} is rolled back in part at most: this engine does not go on without the step."

    def __init__(self, runtime: Runtime, *, project: str = "", monitor: float = 5.0) -> None:
        self._runtime = runtime
        self._api = DockerApi(runtime)
        self._containers = Containers(self._api, project)
        self._monitor = monitor

    def close(self) -> None:
        self._api.close()

    def by_hand(self, target: Target) -> str:
        """Returns a command and a comment: a container's image cannot be changed, so the container has to be created again."""
        pull = shlex.join(["docker", "pull", target.image.pinned])
        inspect = shlex.join(["docker", "inspect", target.service])
        return f"{pull}  # then create {target.service} again from it, with the options that `{inspect}` shows"

    def running(self, services: Sequence[str], deadline: Deadline) -> Mapping[str, Running]:
        self._api.deadline = deadline
        found: dict[str, Running] = {}
        for service in services:
            running = self._api.retried(
                f"ask what {service} runs",
                lambda service=service: self._look(service),  # type: ignore[misc]
                deadline,
            )
            if running is not None:
                found[service] = running
        return found

    def resolve(self, image: str, deadline: Deadline) -> Image:
        self._api.deadline = deadline
        return self._api.resolve(image, deadline)

    def examine(self, target: Target, before: Running, deadline: Deadline) -> None:
        self._api.deadline = deadline
        self._containers.examine(target.service)

    def roll_out(self, target: Target, before: Running, deadline: Deadline, *, rollback: bool = True) -> RolledOut:
        self._api.deadline = deadline
        service = target.service
        first, *_ = self._existing(service)
        with self._containers.held(service, first):
            # Another run may have ended since `before` was read.
            now = {state["Id"] for state in self._existing(service)}
            if isinstance(before.point, tuple) and now != set(before.point):
                raise self._changed(service, "its containers are not those that ran before")
            return self._roll_out(target, deadline)

    def _roll_out(self, target: Target, deadline: Deadline) -> RolledOut:
        started = self._runtime.clock()
        service = target.service
        self._containers.examine(service)
        self._api.pull(target.image, deadline)
        self._containers.end_leftovers(service)
        known = {state["Image"] for state in self._existing(service)}
        arrived: set[str] = set()
        notes: list[str] = []
        while left := [state for state in self._containers_of(service) if state["Id"] not in arrived]:
            if left[0]["Image"] not in known:
                raise self._changed(service, f"{_name(left[0])} runs {left[0]['Config']['Image']} now")
            try:
                arrived.add(self._replace(left[0], target, deadline, notes))
            except RollOutFailed as failure:
                # Those that arrived before it are for `revert`.
                failure.reverted = failure.reverted and not arrived
                raise
            except Refused as refused:
                if not arrived:
                    raise
                raise RollOutFailed(service, refused.what, reverted=False, cause=refused.cause, fix=refused.fix) from None
        if not self._health_checked(arrived):
            notes.append(f"has no health check, so it counted as arrived after {self._monitor:g} s. Add a HEALTHCHECK.")
        return RolledOut(service, self._runtime.clock() - started, tuple(dict.fromkeys(notes)), len(arrived))

    def revert(self, target: Target, before: Running, deadline: Deadline, *, wait: bool = True) -> None:
        self._api.deadline = deadline
        slots = self._containers.slots(before.service)
        there = [state for slot in slots for state in (slot.current, slot.kept) if state is not None]
        first, *_ = there or self._existing(before.service)
        with self._containers.held(before.service, first):
            self._revert(target, before, deadline, wait=wait)

    def _revert(self, target: Target, before: Running, deadline: Deadline, *, wait: bool) -> None:
        old = before.point if isinstance(before.point, tuple) else ()
        again = False
        for slot in self._containers.slots(before.service):
            now = slot.current
            if now is not None and now["Id"] in old and now["State"]["Running"]:
                continue
            kept = next((each for each in (slot.kept, now) if each is not None and each["Id"] in old), None)
            newer = now if now is not None and now is not kept else None
            if newer is not None and not self._containers.made_for(target, newer):
                raise self._changed(before.service, f"{_name(newer)} runs {newer['Config']['Image']} now")
            if kept is None:
                again = True
            elif kept["Id"] in old:
                self._return(kept, newer, before.service, deadline, wait=wait)
        if again:
            # The kept container is gone.
            self._roll_out(Target(before.service, self.resolve(before.image, deadline), before.sha), deadline)

    def job(self, job: Job, deadline: Deadline, on_line: Line) -> JobEnd:
        self._api.deadline = deadline
        like = self._existing(job.like)[0] if job.like else None
        return run_job(job, like, self._containers, self._api, deadline, on_line)

    def logs(self, service: str, deadline: Deadline, *, lines: int = 50) -> Evidence:
        self._api.deadline = deadline

        def look() -> Evidence:
            states = self._existing(service)
            failing = [state for state in states if not docker_ends.up(state)]
            newest = max(failing or states, key=lambda state: str(state["Created"]))
            return self._api.evidence(str(newest["Id"]), lines=lines)

        return self._api.retried(f"read the log of {service}", look, deadline)

    def uptime(self, service: str, deadline: Deadline) -> Uptime:
        self._api.deadline = deadline
        states = self._api.retried(f"ask whether {service} stays up", lambda: self._existing(service), deadline)
        return Uptime(tuple(end for state in states for end in docker_ends.ends(state)), sum(map(docker_ends.failing, states)))

    def _look(self, service: str) -> Running | None:
        slots = self._containers.slots(service)
        states = [slot.current for slot in slots if slot.current is not None]
        return self._running(service, states, unfinished=any(slot.made for slot in slots)) if states else None

    def _containers_of(self, service: str) -> list[Json]:
        """Returns the containers that are the service now, one per replica."""
        return [slot.current for slot in self._containers.slots(service) if slot.current is not None]

    def _existing(self, service: str) -> list[Json]:
        found = self._containers_of(service)
        if not found:
            raise ServiceMissing(
                f"Could not find a container of {service} on this Docker Engine.",
                cause="Only a container's own labels and its name count, not labels that its image carries.",
                fix="Start it once, with its ports, networks and variables: `docker compose up -d`, or `docker run --name`.",
            )
        return found

    def _running(self, service: str, states: Sequence[Json], *, unfinished: bool) -> Running:
        images = [self._containers.image_of(state) or {} for state in states]
        digests = [
            self._containers.digest(str(state["Config"]["Image"]), image, str(state["Image"]))
            for state, image in zip(states, images, strict=True)
        ]
        labels = states[0]["Config"].get("Labels") or {}
        return Running(
            service,
            image=self._containers.deployable(states[0], images[0]),
            digest=digests[0],
            sha=str(labels.get(REVISION, "")),
            ready=sum(digest == digests[0] and docker_ends.up(state) for state, digest in zip(states, digests, strict=True)),
            wanted=len(states),
            settled=not self._containers.busy(service),
            unfinished=unfinished,
            point=tuple(state["Id"] for state in states),
        )

    def _healthy(self, candidate: str, target: Target, deadline: Deadline) -> None:
        self._start(candidate, f"start a new container of {target.service}", deadline)
        self._runtime.log(f"{target.service}: a new container started beside the old one.")
        self._await_health(candidate, target.service, deadline)

    def _start(self, container: str, what: str, deadline: Deadline) -> None:
        patience = Deadline(deadline.timeout(START), self._runtime.clock)
        self._api.retried(what, lambda: self._api.client.start(container), patience)

    def _await_health(self, container: str, service: str, deadline: Deadline) -> None:
        """Waits until the container is healthy; one without a health check has to run for the time of `monitor`."""
        began = self._runtime.clock()
        while True:
            health = self._health(container, service, deadline)
            if health == "healthy" or (health == "none" and self._runtime.clock() - began >= self._monitor):
                return
            if deadline.expired:
                raise self._failure(service, container, "was not healthy before the deadline passed")
            self._runtime.sleep(POLL)

    def _watch(self, container: str, service: str, deadline: Deadline) -> None:
        """Watches the container for the time of `monitor`, or to the deadline: it has to stay up."""
        watch = Deadline(deadline.timeout(self._monitor), self._runtime.clock)
        while not watch.expired:
            self._health(container, service, deadline)
            self._runtime.sleep(watch.timeout(POLL))

    def _health(self, container: str, service: str, deadline: Deadline) -> str:
        """Returns the engine's word for its health, `none` without a check.

        Raises `RollOutFailed` when it is not up, and `NotStarted` when something else ended it.
        """
        state = self._api.retried("ask for the container's health", lambda: self._api.container(container), deadline)
        if state is None:
            raise self._stopped(service, "something removed it")
        now = state["State"]
        health = str((now.get("Health") or {}).get("Status", "none"))
        if now["Running"] and not now.get("Restarting") and not state.get("RestartCount", 0) and health != "unhealthy":
            return health
        if not now["Running"] and not now.get("Restarting"):
            cause = docker_ends.cause(state)
            # An engine that restarts stops its containers: a program that obeys ends with 0.
            if cause is Cause.OUTSIDE or (cause is Cause.UNKNOWN and self._api.interrupted):
                raise self._stopped(service, f"something stopped it (exit code {now.get('ExitCode')})")
        raise self._failure(service, container, "did not come up healthy")

    def _stopped(self, service: str, how: str) -> NotStarted:
        return NotStarted(
            service,
            f"Could not tell whether {service} comes up: the new container is gone, because {how}.",
            cause="The engine was restarted, or a person or another program stopped the container.",
            fix="Run the roll-out again.",
        )

    def _failure(self, service: str, container: str, what: str) -> RollOutFailed:
        evidence = self._api.evidence(container)
        return RollOutFailed(service, f"{service} {what}.", reverted=True, evidence=evidence, cause=evidence.reason)

    def _replace(self, old: Json, target: Target, deadline: Deadline, notes: list[str]) -> str:
        """Replaces one container by one of the target's image; returns the id of the new one. Undoes all of it on failure."""
        held = docker_settings.alone(old)
        candidate = self._containers.candidate(old, target) if docker_settings.can_be_tried(old) else ""
        try:
            if candidate:
                self._healthy(candidate, target, deadline)
            if not held:
                self._swap(old, candidate, target.service, deadline)
                return candidate
            final = self._hand_over(old, target, held, deadline, notes)
        except RollOutFailed as failure:
            failure.reverted = self._undo(old, candidate)
            raise
        except BaseException:
            self._undo(old, candidate)
            raise
        self._containers.discard(candidate, volumes=True)
        return final

    def _swap(self, old: Json, candidate: str, service: str, deadline: Deadline) -> None:
        """Lets the service's name lead to both for a while, then stops the old one: one of them always answers."""
        with self._api.asking("hand the traffic over"):
            self._unchanged(old, service)
            self._containers.give_names(candidate, old)
        self._watch(candidate, service, deadline)
        with self._api.asking("hand the traffic over"):
            self._unchanged(old, service)
            self._containers.keep(old)
            self._api.client.rename(candidate, _name(old))

    def _hand_over(self, old: Json, target: Target, held: Sequence[str], deadline: Deadline, notes: list[str]) -> str:
        """Stops the old container, then starts the one that takes over what only one can hold; returns its id."""
        final = self._containers.successor(old, target)
        began = self._runtime.clock()
        try:
            with self._api.asking(f"hand over {', '.join(held)}"):
                self._unchanged(old, target.service)
                self._containers.keep(old)
            self._start(final, f"hand over {', '.join(held)}", deadline)
            self._await_health(final, target.service, deadline)
            with self._api.asking("name the new container"):
                self._api.client.rename(final, _name(old))
        except BaseException:
            self._containers.discard(final, volumes=True)
            raise
        gap = self._runtime.clock() - began
        swarm = " Swarm on the same host has no such gap." if docker_settings.published(old) else ""
        notes.append(f"was away for up to {gap:.1f} s, because only one container can hold {', '.join(held)}.{swarm}")
        return final

    def _unchanged(self, old: Json, service: str) -> None:
        """Raises `ChangedMeanwhile` where somebody removed, renamed or changed the container since this run read it."""
        now = self._api.container(old["Id"])
        if now is None or now["Name"] != old["Name"]:
            raise self._changed(service, f"{_name(old)} was removed or renamed")
        if now["HostConfig"] != old["HostConfig"] or set(docker_settings.networks(now)) != set(docker_settings.networks(old)):
            raise self._changed(service, f"the limits or networks of {_name(old)} were changed")

    def _changed(self, service: str, how: str) -> ChangedMeanwhile:
        return ChangedMeanwhile(
            service,
            f"{service} was changed by something else during the roll-out: {how}. It was left as it is.",
            fix="Run the roll-out again if this release should replace it.",
        )

    def _return(self, kept: Json, newer: Json | None, service: str, deadline: Deadline, *, wait: bool) -> None:
        """Starts the kept container in place of the newer one."""
        held = docker_settings.alone(kept)
        with self._api.asking(f"roll {service} back"):
            if newer is not None:
                if held:
                    self._containers.stop(newer)
                self._containers.step_down(newer)
            self._containers.restore(str(kept["Id"]), (newer or kept)["HostConfig"]["RestartPolicy"])
        if wait:
            self._await_health(str(kept["Id"]), service, deadline)
        if newer is None:
            return
        if wait and not held:
            # As in the roll-out, the name leads to both for a while.
            self._watch(str(kept["Id"]), service, deadline)
            with self._api.asking(f"stop the release that {service} was rolled back from"):
                self._containers.stop(newer)
        self._containers.discard(str(newer["Id"]), volumes=False)

    def _undo(self, old: Json, candidate: str) -> bool:
        """Removes the candidate and starts the old container, where this run stopped it. Says whether that stands as before."""
        self._containers.discard(candidate, volumes=True)
        try:
            with self._api.asking("start the old container again"):
                now = self._api.container(old["Id"])
                if now is not None and self._containers.was_set_aside(old["Id"]):
                    self._containers.restore(old["Id"], old["HostConfig"]["RestartPolicy"])
                return now is not None
        except (ActionError, sdk.NotFound) as error:
            self._runtime.log(f"Could not start {_name(old)} again: {error}")
            return False

    def _health_checked(self, containers: Iterable[str]) -> bool:
        states = filter(None, map(self._api.container, containers))
        return all((state["State"].get("Health") or {}).get("Status", "none") != "none" for state in states)


def _name(state: Json) -> str:
    return str(state["Name"]).lstrip("/")
