"""The interface that every engine implements, with its value types and errors.

Each call is bounded by the `Deadline` it receives. `Cancelled` may end a call at any point: the engine then removes what the
call made (a candidate container, a job) and lets the exception pass.

Two rules hold for every engine:

- An engine reverts only what this run set. Where it meets an image that neither this run nor the release before it set, it
  leaves the service alone and raises `ChangedMeanwhile`. It restores single fields (image, labels, update settings), never a
  whole specification, so a scale or a variable that somebody changed in the meantime stays.
- What a killed run left behind shows as `Running.unfinished`; the next `roll_out` of that service cleans it up first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import Failed, Inconclusive
from cicd_actions.toolkit.lines import Line

ENGINES = ("swarm", "kubernetes", "docker", "command")
"""The engines, as inputs and the pipeline file name them; `inputs` makes them."""

REVISION = "org.opencontainers.image.revision"
"""The label (Kubernetes: the pod template's annotation) that holds the commit's SHA. Image builders use the same key.
https://github.com/opencontainers/image-spec/blob/main/annotations.md#pre-defined-annotation-keys"""

JOB_LABEL = "org.cicd-actions.job"
"""The label that holds a job's name; it marks the jobs that a killed run left behind."""


@dataclass(frozen=True)
class Image:
    """One image, pinned. `name` is the repository without tag and digest, or the whole of an opaque id.

    `digest` is `sha256:…`, or empty where the engine cannot tell (`command` without an `image-command`).
    `exists` is `None` where the engine cannot tell.
    """

    name: str
    digest: str = ""
    exists: bool | None = True
    opaque: bool = False
    """Whether the id is not a reference of a registry: it is deployed as it is written."""

    local: bool = False
    """Whether only this engine has the image: its registry answered, and does not know it."""

    @property
    def pinned(self) -> str:
        """Returns the reference to deploy: `name@digest`, or an opaque id unchanged."""
        return self.name if self.opaque or not self.digest else f"{self.name}@{self.digest}"


@dataclass(frozen=True)
class Target:
    """The image that a service should run, and the commit it was built from (40 hexadecimal digits, or empty)."""

    service: str
    image: Image
    sha: str = ""


@dataclass(frozen=True)
class Running:
    """What a service runs now. Empty text and `None` mean that the engine cannot tell.

    - `image`: the engine's name for the image (`registry/api:tag@sha256:…`, or an opaque id), enough to deploy it again.
    - `ready` of `wanted` replicas run this image and are healthy.
    - `settled`: false while an update or a rollback is under way.
    - `unfinished`: a killed run left something (a candidate container, changed update settings) that the next `roll_out`
      of this service removes or restores. Such a service never counts as "runs already".
    - `point`: the engine's own mark of this state (Swarm: the specification; Docker: the containers; Kubernetes: the
      revision's number).
    """

    service: str
    image: str = ""
    digest: str = ""
    sha: str = ""
    ready: int | None = None
    wanted: int | None = None
    settled: bool = True
    unfinished: bool = False
    point: object = field(default=None, compare=False, repr=False)

    @property
    def empty(self) -> bool:
        """Whether the service wants no replica at all: a roll-out of it proves nothing. False where the engine cannot tell."""
        return self.wanted == 0


@dataclass(frozen=True)
class RolledOut:
    """A service that arrived.

    `replicas` is how many healthy replicas of the new image prove it: `None` where the engine cannot tell, 0 when nothing
    ran and so nothing is proven. `notes` are sentences for people ("was away for up to 0.8 s"). `runs` is the digest (else the
    image) that `running` reports from then on; empty where that is the target's digest. `unproven` says what contradicts the
    engine's word that the service arrived; empty where nothing does.
    """

    service: str
    seconds: float
    notes: tuple[str, ...] = ()
    replicas: int | None = None
    runs: str = ""
    unproven: str = ""


@dataclass(frozen=True)
class Evidence:
    """A failing replica's own account: the engine's reason, the health checks' output, the last log lines, events.

    All of it is text from outside: show it only through the report's blocks.
    """

    reason: str = ""
    health: str = ""
    log: str = ""
    events: str = ""


class RollOutFailed(Failed):
    """A service did not arrive, proven by the engine's answer.

    `reverted` is true when the engine itself rolled the service back to what ran before, false when the service still
    stands on the new image (wholly or in part), `None` when the engine cannot tell.
    """

    title = "Roll-out failed"

    def __init__(
        self,
        service: str,
        what: str,
        *,
        reverted: bool | None,
        evidence: Evidence | None = None,
        cause: str = "",
        fix: str = "",
    ) -> None:
        super().__init__(what, cause=cause, fix=fix)
        self.service = service
        self.reverted = reverted
        self.evidence = evidence or Evidence()


class ChangedMeanwhile(Inconclusive):
    """Somebody or something else changed or removed the service during the roll-out, so the engine left it as they set it."""

    title = "Changed by something else"

    def __init__(self, service: str, what: str, *, cause: str = "", fix: str = "") -> None:
        super().__init__(what, cause=cause, fix=fix)
        self.service = service


class NothingRuns(Inconclusive):
    """A service wants no replica, so nothing can prove the new image there."""

    title = "Nothing runs"


class NotStarted(Inconclusive):
    """The engine could not start a replica, or something else ended it: neither says anything of the release."""

    title = "Replicas not started"

    def __init__(self, service: str, what: str, *, evidence: Evidence | None = None, cause: str = "", fix: str = "") -> None:
        super().__init__(what, cause=cause, fix=fix)
        self.service = service
        self.evidence = evidence or Evidence()


class Refused(Failed):
    """The engine cannot replace the service without losing something of it. Raised before anything is changed."""

    title = "Roll-out refused"


class ImageMissing(Failed):
    """The image does not exist: the registry (or the engine) answered, and does not know it."""

    title = "Image missing"


class WrongDigest(Failed):
    """The registry answers with another image than the digest names."""

    title = "Wrong digest"

    def __init__(self, registry: str, image: str, got: str) -> None:
        super().__init__(
            f"The registry {registry} does not serve the image {image}: its answer has the digest {got[:140]}.",
            cause="A digest is the hash of what it names: the registry, or a proxy before it, serves another image.",
            fix="Do not deploy from this registry until you know why. Build and push the image again.",
        )


class ServiceMissing(Failed):
    """The engine answered, and has no such service whose image could be changed."""

    title = "Service missing"


class EngineUnreachable(Inconclusive):
    """The engine or a registry gave no answer from which the release could be judged."""

    title = "Engine unreachable"


class LoginNeeded(EngineUnreachable):
    """The registry does not show an image to this login, or without one: whether it exists is not known."""

    title = "Login needed"

    def __init__(self, registry: str, image: str, said: str) -> None:
        super().__init__(
            f"The registry {registry} does not let this login see {image}: {said}",
            cause="There is no login to it here, it has expired, or its account may not pull the image.",
            fix="Log in before this step, with an account that may pull the image:\n\n"
            "    - uses: docker/login-action@<full commit sha>\n"
            f"      with:\n        registry: {registry}\n"
            "        username: ${{ vars.REGISTRY_USERNAME }}\n        password: ${{ secrets.REGISTRY_PASSWORD }}",
        )


@dataclass(frozen=True)
class Job:
    """A one-shot job: one container of `image` that runs `command` once.

    - `name`: the job's purpose in lower-case letters, digits and `-` ("migrate"); part of the object's name.
    - `command`: the arguments; replaces the image's entrypoint and command. Default: the image's own.
    - `environment`: variables on top of those of `like`. They reach the engine's API in a request's body or a
      program's environment, never an argument, a label or a log. While the job exists, everyone who may inspect it can
      read them, as with those of the service: `docker` in the container's `Config.Env`, `swarm` in the service's
      specification, `kubernetes` in a Secret that the Job owns (the pod refers to it). They are removed with the job.
    - `like`: a service whose networks, environment, secrets and mounts the job takes over, with the new image.
    - `networks`: names of networks, instead of those of `like`. Kubernetes has none and refuses them.
    - `service`, `sha`: fill the `command` engine's placeholders, and the labels.
    - `grace`: seconds between SIGTERM and SIGKILL when the job is ended early; its output is still read meanwhile.
    """

    name: str
    image: Image
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    like: str = ""
    networks: tuple[str, ...] = ()
    working_directory: str = ""
    service: str = ""
    sha: str = ""
    grace: float = 5.0


@dataclass(frozen=True)
class JobEnd:
    """How a job ended. `exit_code` is `None` where the engine has none (a lost node); `detail` is its word ("OOMKilled").

    `timed_out`: the deadline ended it. `cleaned`: the container (service, Job object) was removed.
    """

    exit_code: int | None
    seconds: float
    timed_out: bool = False
    detail: str = ""
    cleaned: bool = True


@runtime_checkable
class Engine(Protocol):
    """One engine, made by `inputs.connected`. Every method may raise `EngineUnreachable`."""

    name: str
    """`swarm`, `kubernetes`, `docker` or `command`."""

    opaque_images: bool
    """True where image ids mean something to the user's programs only, so that no rule for tags and digests applies."""

    own_programs: bool
    """True where the user's programs move the services and report what runs: all that is known is their word."""

    when_ended: str
    """What becomes of a service `{}` that is being rolled back when the step ends: only an orchestrator goes on."""

    def running(self, services: Sequence[str], deadline: Deadline) -> Mapping[str, Running]:
        """Returns what runs now, by service. A service that does not exist is not in the mapping. Changes nothing."""
        ...

    def resolve(self, image: str, deadline: Deadline) -> Image:
        """Returns the digest of a reference. Never guesses: `exists` and `digest` say what is unknown.

        Raises `ImageMissing`.
        """
        ...

    def examine(self, target: Target, before: Running, deadline: Deadline) -> None:
        """Raises `Refused` where `roll_out` would lose something of the service. Called for all targets before any moves.

        Changes nothing.
        """
        ...

    def roll_out(self, target: Target, before: Running, deadline: Deadline, *, rollback: bool = True) -> RolledOut:
        """Brings one service to an image, health-gated, and waits until it has arrived.

        `before` is what `running` said of it. `rollback` arms the engine's own rollback where it has one; a rollback
        itself is made without. Raises `RollOutFailed` (proven), `ChangedMeanwhile`, `NotStarted`, or `EngineUnreachable`
        (the outcome is not known); before it changes anything also `Refused`, `ImageMissing`, `ServiceMissing` and
        `UnusableInput`. A deadline that passes is a `RollOutFailed` with `reverted=False`.
        """
        ...

    def revert(self, target: Target, before: Running, deadline: Deadline, *, wait: bool = True) -> None:
        """Takes one service from `target` back to `before`. A service that runs neither stays as it is.

        Without `wait` the engine is told and left to finish by itself (a cancelled step has seconds). Raises
        `RollOutFailed` when the service did not arrive there, `ChangedMeanwhile` when it runs neither of the two.
        """
        ...

    def job(self, job: Job, deadline: Deadline, on_line: Line) -> JobEnd:
        """Runs a job to its end; `on_line(stream, text)` receives each line as it comes, from another thread.

        The job is ended (SIGTERM, then SIGKILL after its `grace`) at the deadline and when `Cancelled` passes through. It
        is removed in every case. Raises `ImageMissing`, `ServiceMissing` (of `like`), or `Failed` when the engine refused
        to start it.
        """
        ...

    def logs(self, service: str, deadline: Deadline, *, lines: int = 50) -> Evidence:
        """Returns the last lines, health log and events of the service's newest failing replica, else of its newest."""
        ...

    def by_hand(self, target: Target) -> str:
        """Returns the shell command with which a person brings one service to an image. Asks nothing, never raises."""
        ...

    def close(self) -> None:
        """Closes the connections. Nothing that runs is touched."""
        ...


@runtime_checkable
class Relabels(Protocol):
    """An engine that notes the commit of a service at a place where the change replaces no replica."""

    def relabel(self, target: Target, deadline: Deadline) -> None:
        """Notes the target's commit at a service that runs its image. One that runs another image stays as it is."""
        ...
