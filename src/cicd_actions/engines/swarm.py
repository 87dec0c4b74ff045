"""Docker Swarm: start-first, health-gated updates of services, and replicated jobs.

The outcome of an update is read from `UpdateStatus`: Swarm answers an update at once, and its command line succeeds even when
the update rolled itself back. https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Service
"""

from __future__ import annotations

import copy
import shlex
from collections.abc import Callable, Mapping, Sequence

from docker import errors as sdk

from cicd_actions.engines import swarm_spec
from cicd_actions.engines.docker_api import SECOND, DockerApi
from cicd_actions.engines.docker_client import Json
from cicd_actions.engines.protocol import (
    REVISION,
    ChangedMeanwhile,
    EngineUnreachable,
    Evidence,
    Image,
    ImageMissing,
    Job,
    JobEnd,
    NotStarted,
    RolledOut,
    RollOutFailed,
    Running,
    ServiceMissing,
    Target,
)
from cicd_actions.engines.staying_up import Uptime
from cicd_actions.engines.swarm_job import run_job
from cicd_actions.engines.swarm_tasks import Failures, Tasks
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import ActionError
from cicd_actions.toolkit.lines import Line
from cicd_actions.toolkit.runtime import Runtime

POLL = 0.25
_MOVING = {"updating", "rollback_started"}
RESTORE = 30.0
"""Seconds to wait for somebody else's update, before the service's own update settings are restored."""

AGAIN = 2
"""How often an update is started again that failed for no fault of the release. A busy engine fails to start a replica now and
then ("network sandbox ... does not exist"), and one that restarts ends those that it had."""

_BY_A_PERSON = "manually requested"
"""Part of Swarm's message about a rollback that a person asked for (`docker service rollback`)."""

_PAUSED = {"paused", "rollback_paused"}
_WENT_BACK = {"rollback_started", "rollback_completed", "rollback_paused"}


class Swarm:
    """See `protocol.Engine`. The engine that `DOCKER_HOST` names has to be a manager."""

    name = "swarm"
    opaque_images = False
    own_programs = False
    when_ended = "The engine goes on rolling {} back, unless the step ended before it was told to."

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
        if (found.opaque or found.local) and self._nodes() > 1:
            raise ImageMissing(
                f"Cannot roll {image} out: the image is on one engine only, and this Swarm has several.",
                cause="No registry has it, so the other nodes cannot pull it.",
                fix="Push it to a registry that every node reaches, and use its name there.",
            )
        return found

    def examine(self, target: Target, before: Running, deadline: Deadline) -> None:
        """Refuses nothing: Swarm replaces replicas with all that the service's specification says."""

    def roll_out(self, target: Target, before: Running, deadline: Deadline, *, rollback: bool = True) -> RolledOut:
        self._api.deadline = deadline
        started = self._runtime.clock()
        service = target.service
        spec = self._existing(service)["Spec"]
        why = swarm_spec.stop_first(spec)
        notes = [why] if why else []
        used = self._settings(spec, rollback=rollback)

        def changed(spec: Json) -> Json:
            now = swarm_spec.image(spec)
            if not any(swarm_spec.same(now, known) for known in (before.image, target.image.pinned)):
                raise self._changed(service, f"it runs {now} now")
            return swarm_spec.with_image(swarm_spec.armed(spec, used), target.image.pinned, target.sha)

        failures = self._failures(service, target.image.pinned)
        if rollback:
            # Swarm rolls back by the settings of the specification to which it returns.
            self._edit(service, lambda spec: swarm_spec.armed(spec, used))
        self._edit(service, changed)
        try:
            replicas = self._arrived_in_the_end(target, before, failures, changed, deadline)
        except ServiceMissing:
            raise self._changed(service, "somebody removed it") from None
        except ChangedMeanwhile:
            self._disarm(service, deadline)
            raise
        except RollOutFailed as failure:
            if failure.reverted:
                self._disarm(service, deadline)
            raise
        notes += self._disarm(service, deadline)
        if not self._tasks.health_checked(self._existing(service)["Spec"]):
            notes.append("has no health check: a replica counted as arrived because its process ran. Add a HEALTHCHECK.")
        return RolledOut(service, self._runtime.clock() - started, tuple(notes), replicas)

    def relabel(self, target: Target, deadline: Deadline) -> None:
        self._api.deadline = deadline
        self._edit(target.service, lambda spec: swarm_spec.with_revision(spec, target.image.pinned, target.sha))

    def uptime(self, service: str, deadline: Deadline) -> Uptime:
        self._api.deadline = deadline

        def look() -> Uptime:
            state = self._existing(service)
            return self._tasks.uptime(state["ID"], swarm_spec.image(state["Spec"]))

        return self._api.retried(f"ask whether {service} stays up", look, deadline)

    def revert(self, target: Target, before: Running, deadline: Deadline, *, wait: bool = True) -> None:
        self._api.deadline = deadline
        service, earlier = before.service, before.point
        if not isinstance(earlier, dict):
            raise RollOutFailed(service, f"Could not roll {service} back: what ran before is not known.", reverted=False)

        def reverted(spec: Json) -> Json:
            now = swarm_spec.image(spec)
            if swarm_spec.same(now, target.image.pinned):
                back = swarm_spec.with_image_of(spec, earlier)
                return swarm_spec.armed(back, self._settings(spec, rollback=False)) if wait else swarm_spec.disarmed(back)
            if swarm_spec.same(now, before.image):
                return spec if wait else swarm_spec.disarmed(spec)
            raise self._changed(service, f"it runs {now} now")

        self._edit(service, reverted)
        if wait:
            self._came_back(before, deadline)
            self._disarm(service, deadline)

    def job(self, job: Job, deadline: Deadline, on_line: Line) -> JobEnd:
        self._api.deadline = deadline
        like = self._existing(job.like)["Spec"]["TaskTemplate"] if job.like else None
        return run_job(job, like, self._prefix, self._api, self._tasks, deadline, on_line)

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
                f"Could not find the service {self._prefix}{service} on this Swarm.",
                fix="Create it once with `docker stack deploy`.",
            )
        return state

    def _running(self, service: str, state: Json) -> Running:
        spec = state["Spec"]
        image = swarm_spec.image(spec)
        digest = image if image.startswith("sha256:") else image.partition("@")[2]
        ready, wanted = self._tasks.replicas(state, image)
        return Running(
            service,
            image=image,
            digest=digest,
            sha=swarm_spec.revision(spec) or self._image_revision(image),
            ready=ready,
            wanted=wanted,
            settled=_update_state(state) not in _MOVING,
            unfinished=swarm_spec.is_armed(spec),
            point=copy.deepcopy(spec),
        )

    def _image_revision(self, image: str) -> str:
        here = self._api.local_image(image)
        labels = ((here or {}).get("Config") or {}).get("Labels") or {}
        return str(labels.get(REVISION, ""))

    def _nodes(self) -> int:
        with self._api.asking("count the Swarm's nodes"):
            return len(self._api.client.nodes())

    def _settings(self, spec: Json, *, rollback: bool) -> Json:
        return swarm_spec.settings(spec, self._parallelism, self._monitor, rollback=rollback)

    def _edit(self, service: str, change: Callable[[Json], Json], *, again: bool = False) -> None:
        """Changes the specification as it is now; nothing, where `change` changes nothing.

        With `again` the same specification is sent too: Swarm then goes on with an update that it paused.
        """
        for attempt in range(10):
            state = self._existing(service)
            spec = change(state["Spec"])
            if spec == state["Spec"] and not again:
                return
            try:
                with self._api.asking(f"change the service {service}"):
                    version = state["Version"]["Index"]
                    self._api.client.change_service(state["ID"], version, spec, image=swarm_spec.image(spec))
            except EngineUnreachable as error:
                # Swarm counts the version up whenever it notes an update's progress, not only when somebody changes it.
                if "out of sequence" not in error.what or attempt == 9:
                    raise
            else:
                return

    def _disarm(self, service: str, deadline: Deadline) -> list[str]:
        """Restores the service's own update settings, and returns a note where that failed: the next roll-out does it."""
        patience = Deadline(deadline.timeout(RESTORE), self._runtime.clock)
        try:
            # A change of the settings would end an update that somebody else has started.
            while moving := _update_state(self._existing(service)) in _MOVING:
                if patience.expired:
                    break
                self._runtime.sleep(POLL)
            if not moving:
                self._edit(service, swarm_spec.disarmed)
                return []
        except ActionError as error:
            self._runtime.log(f"{service}: could not restore its own update settings: {error.what}")
        return ["still has the roll-out's update settings. The next roll-out restores its own."]

    def _changed(self, service: str, how: str) -> ChangedMeanwhile:
        return ChangedMeanwhile(
            service,
            f"{service} was changed by something else during the roll-out: {how}. It was left as it is.",
            fix="Run the roll-out again if this release should replace it.",
        )

    def _failures(self, service: str, image: str) -> Failures:
        with self._api.asking("ask for the replicas"):
            before = self._tasks.of(self._existing(service)["ID"])
        return Failures(self._tasks, image, before)

    def _arrived_in_the_end(
        self, target: Target, before: Running, failures: Failures, changed: Callable[[Json], Json], deadline: Deadline
    ) -> int:
        """Waits as `_arrived` does, and starts an update again that failed for no fault of the release."""
        for attempt in range(AGAIN + 1):
            try:
                return self._arrived(target, before, failures, deadline)
            except NotStarted as failure:
                if attempt == AGAIN or deadline.expired:
                    raise
                self._runtime.log(f"{failure.what} {failure.cause} Trying again.")
                self._edit(target.service, changed, again=True)
        raise AssertionError("the last attempt returns or raises")

    def _arrived(self, target: Target, before: Running, failures: Failures, deadline: Deadline) -> int:
        """Waits until every replica runs the target's image; returns how many do."""
        said = ""
        while True:
            state = self._api.retried("ask for the update's state", lambda: self._existing(target.service), deadline)
            update = _update_state(state)
            image = swarm_spec.image(state["Spec"])
            ours = swarm_spec.same(image, target.image.pinned)
            tasks = self._api.retried("ask for the replicas", lambda state=state: failures.look(state["ID"]), deadline)  # type: ignore[misc]
            said = self._tell(target, state, said)
            if not ours and (update not in _WENT_BACK or not swarm_spec.same(image, before.image)):
                raise self._changed(target.service, f"it runs {image} now")
            if _BY_A_PERSON in str((state.get("UpdateStatus") or {}).get("Message", "")):
                raise self._changed(target.service, "somebody rolled it back")
            if update in _WENT_BACK:
                self._wait_for_rollback(target.service, deadline)
                raise self._failure(target, before, failures, why="")
            if update == "paused":
                raise self._failure(target, before, failures, why="")
            # `completed` alone is not enough: after an engine's restart it is said while a replica is still being started.
            if update in {"", "completed"} and self._tasks.all_run(tasks, state):
                return self._tasks.replicas(state, target.image.pinned)[0]
            if deadline.expired:
                raise self._failure(target, before, failures, why="the deadline passed")
            self._runtime.sleep(POLL)

    def _tell(self, target: Target, state: Json, said: str) -> str:
        ready, wanted = self._tasks.replicas(state, target.image.pinned)
        line = f"{target.service}: {ready} of {wanted} replicas run the new image."
        if line != said:
            self._runtime.log(line)
        return line

    def _wait_for_rollback(self, service: str, deadline: Deadline) -> None:
        self._runtime.log(f"{service}: Swarm is rolling it back.")
        while True:
            state = self._api.retried("ask for the rollback's state", lambda: self._existing(service), deadline)
            if _update_state(state) not in _MOVING or deadline.expired:
                return
            self._runtime.sleep(POLL)

    def _failure(self, target: Target, before: Running, failures: Failures, *, why: str) -> ActionError:
        """Returns `RollOutFailed`, or `NotStarted` where no replica failed by itself."""
        state = self._existing(target.service)
        update, image = _update_state(state), swarm_spec.image(state["Spec"])
        message = (state.get("UpdateStatus") or {}).get("Message", "")
        back = update == "rollback_completed" and swarm_spec.same(image, before.image)
        if why:
            what = f"{target.service} did not arrive: {why}."
        elif back:
            what = f"{target.service} did not come up healthy, and Swarm rolled it back."
        else:
            what = f"{target.service} did not come up healthy; Swarm's update is `{update}`."
        evidence = failures.evidence
        if failures.doubtful:
            what = f"Could not tell whether {target.service} comes up: the engine did not start its replicas, or stopped them."
            cause, fix = evidence.reason if evidence else "", f"    docker service ps {self._prefix}{target.service}"
            return NotStarted(target.service, what, evidence=evidence, cause=cause, fix=fix)
        if evidence is None:
            task = self._tasks.newest_failing(state["ID"])
            evidence = self._tasks.evidence(task) if task else Evidence(reason=message)
        return RollOutFailed(target.service, what, reverted=back, evidence=evidence, cause=evidence.reason or message)

    def _came_back(self, before: Running, deadline: Deadline) -> None:
        service, attempt = before.service, 0
        failures = self._failures(service, before.image)
        while True:
            state = self._api.retried("ask for the rollback's state", lambda: self._existing(service), deadline)
            self._api.retried("ask for the replicas", lambda state=state: failures.look(state["ID"]), deadline)  # type: ignore[misc]
            update = _update_state(state)
            if not swarm_spec.same(swarm_spec.image(state["Spec"]), before.image):
                raise self._changed(service, f"it runs {swarm_spec.image(state['Spec'])} now")
            ready, wanted = self._tasks.replicas(state, before.image)
            if update not in _MOVING and ready >= wanted:
                return
            if update in _PAUSED and attempt < AGAIN and not failures.proven:
                attempt += 1
                self._runtime.log(f"{service}: Swarm paused the rollback. Trying again.")
                self._edit(service, lambda spec: spec, again=True)
            elif update in _PAUSED or deadline.expired:
                why = f"Swarm's update is `{update}`" if not deadline.expired else "the deadline passed"
                task = self._tasks.newest_failing(state["ID"])
                raise RollOutFailed(
                    service,
                    f"Could not roll {service} back to {before.image}: {why}; {ready} of {wanted} replicas run it.",
                    reverted=False,
                    evidence=self._tasks.evidence(task) if task else None,
                    fix=f"    docker service ps {self._prefix}{service}\n"
                    f"    docker service update --image {shlex.quote(before.image)} {self._prefix}{service}",
                )
            self._runtime.sleep(POLL)


def _update_state(state: Json) -> str:
    return str((state.get("UpdateStatus") or {}).get("State", ""))
