"""What a command or an action does to a pipeline: builds, deploys, migrates, verifies, rolls back, notifies."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from cicd_actions.workflows.place import Place


class Kind(str, Enum):
    """The part that an effect plays in a pipeline."""

    BUILD = "build"
    PUSH = "push"
    DEPLOY = "deploy"
    PUBLISH = "publish"
    MIGRATE = "migrate"
    BACKUP = "backup"
    VERIFY = "verify"
    ROLLBACK = "rollback"
    NOTIFY = "notify"
    RECORD = "record"
    LINT = "lint"
    TYPES = "types"
    TEST = "test"
    SCAN_DEPENDENCIES = "scan-dependencies"
    SCAN_CODE = "scan-code"
    SCAN_IMAGE = "scan-image"
    SCAN_SECRETS = "scan-secrets"
    INSTALL = "install"
    CACHE = "cache"
    CLIENT = "client"
    SPEC = "spec"
    SERVE = "serve"
    TEST_CLUSTER = "test-cluster"
    CLOUD_LOGIN = "cloud-login"
    METRICS = "metrics"
    DISPATCH = "dispatch"
    """Starts another workflow."""
    AWAIT = "await"
    """Waits until a task or a job that was started has ended."""

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Platform:
    """Where a deploy goes, and what the platform does by itself.

    `rolls_back`: it keeps the previous release, and returns to it with one command or by itself. `waits`: the deploy fails
    when the new replicas do not become healthy. `later`: the roll-out happens after the step (GitOps, deploy hooks), so the
    run cannot see it. `image`: it runs container images that the pipeline names.
    """

    name: str
    rolls_back: bool = False
    waits: bool = False
    later: bool = False
    image: bool = True
    service: bool = True
    """False for infrastructure and static sites: no replicas, no migrations."""

    @property
    def files(self) -> bool:
        """Whether it serves files or functions: a static site."""
        return not self.service and self is not INFRASTRUCTURE


KUBERNETES = Platform("Kubernetes")
HELM = Platform("Helm")
SWARM = Platform("Docker Swarm")
COMPOSE = Platform("Docker Compose on a server")
DOCKER = Platform("Docker on a server")
SERVER = Platform("a server over SSH", image=False)
UPLOAD = Platform("files on a server", image=False, service=False)
FLY = Platform("Fly.io", rolls_back=True, image=False)
ECS = Platform("Amazon ECS", rolls_back=True)
RUN = Platform("Google Cloud Run", rolls_back=True)
RENDER = Platform("Render", rolls_back=True, later=True, image=False)
GITOPS = Platform("GitOps (Argo CD or Flux)", rolls_back=True, later=True)
HOOK = Platform("a deploy hook", later=True, image=False)
CLOUD_FOUNDRY = Platform("Cloud Foundry", rolls_back=True, waits=True, image=False)
NOMAD = Platform("Nomad")
OURS = Platform("cicd-actions", rolls_back=True, waits=True)
INFRASTRUCTURE_RELEASE = Platform("infrastructure as code that names the image")
INFRASTRUCTURE = Platform("infrastructure as code", later=False, image=False, service=False)


def hosted(name: str, *, image: bool = False, service: bool = True) -> Platform:
    """Returns a platform that keeps every release and returns to an earlier one with one command."""
    return Platform(name, rolls_back=True, image=image, service=service)


NOWHERE = Place("", 0)


@dataclass(unsafe_hash=True)
class Effect:
    """One effect, and where it stands. `what` names the tool; `detail` is the command or the action. It is never changed:
    freezing it would double the time in which it is made.

    `images` are the references that it names, `targets` words that may tell the environment (namespaces, hosts, apps).
    """

    kind: Kind
    what: str
    place: Place = NOWHERE
    detail: str = ""
    platform: Platform | None = None
    images: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    """Files that it applies: Compose files, manifests, Dockerfiles."""
    waits: bool = False
    rolls_back: bool = False
    tolerated: bool = False
    remote: bool = False
    preview: bool = False
    sure: bool = True
    """False where only a name says so."""
    by_digest: bool = False
    after_failure: bool = False
    facts: dict[str, str] = field(default_factory=dict, compare=False)

    def but(self, **changes: Any) -> Effect:
        """Returns the same effect with other values for some fields."""
        # There are many: `dataclasses.replace` would take a tenth of an audit's time.
        made = object.__new__(Effect)
        made.__dict__.update(self.__dict__, **changes)
        return made

    def at(self, place: Place) -> Effect:
        """Returns the same effect at a place."""
        return self.but(place=place)
