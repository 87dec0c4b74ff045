"""What every engine can do, and the words for it. An engine is one module that fulfils `Engine`, and its tests.

Each call is bounded by the `Deadline` it is given and may be ended by `Cancelled` at any point; an engine then tidies up what
it made (a candidate container, a job) and lets the exception pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import Failed, Inconclusive
from cicd_actions.toolkit.lines import Line

REVISION = "org.opencontainers.image.revision"
"""The label (Kubernetes: the pod template's annotation) that holds the commit's SHA: the key that image builders use.
https://github.com/opencontainers/image-spec/blob/main/annotations.md#pre-defined-annotation-keys"""

JOB_LABEL = "org.cicd-actions.job"
"""What a job is for: marks what a lost run left behind."""


@dataclass(frozen=True)
class Image:
    """One image, pinned. `name` is the repository without tag and digest, or the `command` engine's whole opaque id.

    `digest` is `sha256:…`, or empty where the engine cannot tell it (`command` without an `image-command`).
    `exists` is `None` where the engine cannot tell.
    """

    name: str
    digest: str = ""
    exists: bool | None = True
    opaque: bool = False

    @property
    def pinned(self) -> str:
        """What is deployed: `name@digest`; an opaque id stays as it is."""
        return self.name if self.opaque or not self.digest else f"{self.name}@{self.digest}"


@dataclass(frozen=True)
class Target:
    """Where a service is to go: its image, and the commit it was built from (40 hexadecimal digits, or empty)."""

    service: str
    image: Image
    sha: str = ""


@dataclass(frozen=True)
class Running:
    """What runs of a service now. Empty text and `None` mean that the engine cannot tell.

    `image` is what the engine calls it (`registry/api:tag@sha256:…`, or an opaque id) and is enough to deploy it again.
    `ready` of `wanted` replicas run and are healthy. `settled` is false while an update or a rollback is on its way.
    `point` is the engine's own mark of this state (Swarm: the service's version; Kubernetes: the revision's number).
    """

    service: str
    image: str = ""
    digest: str = ""
    sha: str = ""
    ready: int | None = None
    wanted: int | None = None
    settled: bool = True
    point: object = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class RolledOut:
    """A service that arrived. `notes` are sentences a person should know ("it publishes a port: a gap of 0.8 s")."""

    service: str
    seconds: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Evidence:
    """What a failing replica said: the engine's own reason, its health checks' output, its last log lines, events.

    All of it is text from outside: show it through the report's blocks only.
    """

    reason: str = ""
    health: str = ""
    log: str = ""
    events: str = ""


class RollOutFailed(Failed):
    """A service did not arrive, proven by the engine's answer.

    `reverted` is true when the engine itself took the service back to what ran before, false when it stands on the
    new image (wholly or in part) and has to be taken back, `None` when the engine cannot tell.
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


class ImageMissing(Failed):
    """The image is not there: the registry (or the engine) answered, and does not know it."""

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
    """The engine answers, and has no such service: there is nothing whose image could be changed."""

    title = "Service missing"


class EngineUnreachable(Inconclusive):
    """The engine, or a registry, gave no answer that says anything of the release."""

    title = "Engine unreachable"


@dataclass(frozen=True)
class Job:
    """A one-shot job: one container of `image` that runs `command` once.

    - `name`: what it is for, in lower-case letters, digits and `-` ("migrate"); part of the object's name.
    - `command`: the arguments; replaces the image's entrypoint and command. Empty: the image's own.
    - `environment`: variables on top of those of `like`. They reach the engine's API in a request's body or a
      program's environment, never an argument, a label or a log. While the job exists, whoever may inspect it can read
      them, as they can those of the service: `docker` in the container's `Config.Env`, `swarm` in the service's
      specification, `kubernetes` in a Secret that the Job owns (the pod refers to it). All of it goes with the job.
    - `like`: a service whose networks, environment, secrets and mounts the job takes over, with the new image.
    - `networks`: names of networks, instead of those of `like`. Kubernetes has none and refuses them.
    - `service`, `sha`: fill the `command` engine's placeholders, and the labels.
    - `grace`: seconds between SIGTERM and SIGKILL when the job is ended early; its output is read on meanwhile.
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
    """How a job ended. `exit_code` is `None` where nobody saw one (a lost node); `detail` is the engine's word ("OOMKilled").

    `timed_out`: the deadline ended it. `cleaned`: the container (service, Job object) is gone again.
    """

    exit_code: int | None
    seconds: float
    timed_out: bool = False
    detail: str = ""
    cleaned: bool = True


@runtime_checkable
class Engine(Protocol):
    """One engine. Made by `inputs.connected`; every method may raise `EngineUnreachable`."""

    name: str
    """`swarm`, `kubernetes`, `docker` or `command`."""

    opaque_images: bool
    """True where image ids mean something to the user's programs only, so that no rule for tags and digests applies."""

    def running(self, services: Sequence[str], deadline: Deadline) -> Mapping[str, Running]:
        """What runs now, by service. A service that does not exist is not in the mapping."""
        ...

    def resolve(self, image: str, deadline: Deadline) -> Image:
        """Which digest a reference is. Raises `ImageMissing`; never guesses: `exists` and `digest` say what is unknown."""
        ...

    def roll_out(self, target: Target, before: Running, deadline: Deadline, *, way_back: bool = True) -> RolledOut:
        """Bring one service to an image, health-gated, and wait until it has arrived.

        `before` is what `running` said of it. With `way_back` the engine's own rollback is armed where it has one; a
        rollback itself is made without. Raises `RollOutFailed` (proven), `ServiceMissing`, or `EngineUnreachable` (not
        known how it went). A deadline that passes is a `RollOutFailed` with `reverted=False`.
        """
        ...

    def revert(self, before: Running, deadline: Deadline, *, wait: bool = True) -> None:
        """Take one service back to `before`. Without `wait` the engine is told and left to it (cancellation: seconds count).

        Raises `RollOutFailed` when it did not arrive there.
        """
        ...

    def job(self, job: Job, deadline: Deadline, on_line: Line) -> JobEnd:
        """Run a job to its end; `on_line(stream, text)` gets each line as it comes, from another thread.

        The job is ended (SIGTERM, then SIGKILL after its `grace`) at the deadline and when `Cancelled` passes through; in
        every case what was made is removed. Raises `ImageMissing`, `ServiceMissing` (of `like`), or `Failed` when the
        engine refused to start it.
        """
        ...

    def logs(self, service: str, deadline: Deadline, *, lines: int = 50) -> Evidence:
        """The last lines, health log and events of the service's newest failing replica, else of its newest one."""
        ...

    def by_hand(self, target: Target) -> str:
        """The shell command with which a person brings one service to an image. It asks nothing, and never raises."""
        ...

    def close(self) -> None:
        """Give connections back. Nothing that runs is touched."""
        ...
