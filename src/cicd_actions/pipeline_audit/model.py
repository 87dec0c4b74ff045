"""The model of a pipeline: every job that a workflow starts, through callers and composite actions, and what it does."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from functools import cached_property

from cicd_actions.pipeline_audit import stages
from cicd_actions.pipeline_audit.effects import Effect, Kind
from cicd_actions.pipeline_audit.repository import Repository
from cicd_actions.pipeline_audit.shell import Command
from cicd_actions.pipeline_audit.stages import Stage
from cicd_actions.toolkit.yaml12 import Mapping, Node, Scalar, Sequence
from cicd_actions.workflows.calls import Call
from cicd_actions.workflows.files import File, Job, Step, scalar_text
from cicd_actions.workflows.inspection import Inspection
from cicd_actions.workflows.place import Place
from cicd_actions.workflows.values import Known

_ON_FAILURE = re.compile(r"\bfailure\(\)|\balways\(\)|!\s*cancelled\(\)|outcome\s*==\s*'failure'|!=\s*'success'")


@dataclass(eq=False)
class StepRun:
    """One step of a job that runs; those of local composite actions stand in place of the step that uses them."""

    step: Step
    place: Place
    via: tuple[Place, ...]
    uses: str = ""
    given: dict[str, str] = field(default_factory=dict)
    commands: list[tuple[Command, Place]] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    condition: str = ""

    @property
    def tolerated(self) -> bool:
        """Whether its failure does not fail the job."""
        return scalar_text(self.step.node.get("continue-on-error")).strip() in {"true", "${{ true }}"}

    @property
    def on_failure(self) -> bool:
        """Whether it runs when something failed."""
        return bool(self.condition and _ON_FAILURE.search(self.condition))


@dataclass(frozen=True)
class Group:
    """A `concurrency:`: its group, whether it cancels, whether it queues, and where it stands (`workflow` or `job`)."""

    name: str
    cancels: str
    queues: bool
    place: Place
    level: str


@dataclass(eq=False)
class JobRun:
    """One job that an event starts, with the calls that lead to it."""

    entry: File
    file: File
    job: Job
    call: Call
    known: Known
    environments: tuple[str, ...] | None
    groups: list[Group] = field(default_factory=list)
    steps: list[StepRun] = field(default_factory=list)
    needs: list[JobRun] = field(default_factory=list)
    conditions: list[str] = field(default_factory=list)
    effects_unread: list[Effect] = field(default_factory=list)
    """What a called workflow that could not be read does, as far as its name says."""
    caller: Job | None = None
    before: dict[int, JobRun] = field(default_factory=dict, init=False)
    """The jobs that have to end before this one starts, by id."""

    @property
    def place(self) -> Place:
        return Place(self.file.path, self.job.line)

    @property
    def via(self) -> tuple[Place, ...]:
        return self.call.via

    @property
    def name(self) -> str:
        return scalar_text(self.job.node.get("name")) or self.job.id

    @cached_property
    def effects(self) -> list[tuple[int, Effect]]:
        """What it does, each with the index of its step."""
        found = [(index, effect) for index, step in enumerate(self.steps) for effect in step.effects]
        return [*found, *((-1, effect) for effect in self.effects_unread)]

    @cached_property
    def _by_kind(self) -> dict[Kind, list[Effect]]:
        found: dict[Kind, list[Effect]] = {}
        for _, effect in self.effects:
            found.setdefault(effect.kind, []).append(effect)
        return found

    @property
    def kinds(self) -> Collection[Kind]:
        return self._by_kind

    def of(self, *kinds: Kind) -> list[Effect]:
        found = [self._by_kind[kind] for kind in kinds if kind in self._by_kind]
        if len(found) < 2:
            return found[0] if found else []
        return [effect for _, effect in self.effects if effect.kind in kinds]

    @cached_property
    def deploys(self) -> list[tuple[int, Effect]]:
        """Deploys that are sure, previews of pull requests left out."""
        return [
            (index, effect)
            for index, effect in self.effects
            if effect.kind is Kind.DEPLOY and effect.sure and not effect.preview
        ]

    @cached_property
    def service_deploys(self) -> list[tuple[int, Effect]]:
        """Its deploys to something that runs the application: neither infrastructure nor a place for files."""
        return [one for one in self.deploys if one[1].platform and one[1].platform.name != "infrastructure as code"]

    def __post_init__(self) -> None:
        # Made job by job, each after those that it needs: what those wait for is known, and is not walked again.
        for job in reversed(self.needs):
            if id(job) not in self.before:
                self.before[id(job)] = job
                self.before.update(job.before)

    @property
    def ancestors(self) -> list[JobRun]:
        """Every job that has to end before this one starts, the nearest first."""
        return list(self.before.values())

    def waits_for(self, other: JobRun) -> bool:
        """Whether the other job has to end before this one starts."""
        return id(other) in self.before

    @cached_property
    def words(self) -> str:
        """Its names and those of its callers, for guesses."""
        callers = " ".join(place.file for place in self.via)
        caller = f"{self.caller.id} {scalar_text(self.caller.node.get('name'))}" if self.caller else ""
        return f"{self.entry.path.rpartition('/')[2]} {callers} {caller} {self.job.id} {self.name}"

    @cached_property
    def stages(self) -> frozenset[Stage]:
        """The stages that it can deploy to."""
        return stages.of_job(self)

    def self_hosted(self) -> bool:
        return "self-hosted" in flat_text(self.job.node.get("runs-on"))


@dataclass(eq=False)
class Pipeline:
    """Everything that a repository's workflows do."""

    repository: Repository
    inspections: dict[str, Inspection]
    jobs: list[JobRun] = field(default_factory=list)
    unread: list[tuple[Place, str]] = field(default_factory=list)
    """Calls that could not be followed, and why."""
    started: dict[str, list[tuple[JobRun, StepRun]]] = field(default_factory=dict)
    """By the path of a workflow, the steps that start it with a dispatch."""

    @property
    def files(self) -> list[File]:
        return [one.file for one in self.inspections.values()]

    @property
    def workflows(self) -> list[File]:
        return [file for file in self.files if file.kind == "workflow"]

    @cached_property
    def deploys(self) -> list[tuple[JobRun, int, Effect]]:
        """Every sure deploy of a service, with its job and step."""
        return [
            (job, index, effect)
            for job in self._jobs_by_kind.get(Kind.DEPLOY, [])
            for index, effect in job.deploys
            if effect.platform
        ]

    @cached_property
    def service_deploys(self) -> list[tuple[JobRun, int, Effect]]:
        """Deploys to something that runs the application: neither infrastructure nor a place for files."""
        return [(job, *one) for job in self._jobs_by_kind.get(Kind.DEPLOY, []) for one in job.service_deploys]

    @cached_property
    def guessed_deploys(self) -> list[tuple[JobRun, Effect]]:
        """Jobs that only their names make a deploy."""
        return [(job, effect) for job, effect in self.all(Kind.DEPLOY) if not effect.sure]

    @cached_property
    def runs(self) -> dict[str, list[JobRun]]:
        """The jobs by the workflow file that starts them."""
        found: dict[str, list[JobRun]] = {}
        for job in self.jobs:
            found.setdefault(job.entry.path, []).append(job)
        return found

    @cached_property
    def _jobs_by_kind(self) -> dict[Kind, list[JobRun]]:
        """The jobs with an effect of the kind."""
        found: dict[Kind, list[JobRun]] = {}
        for job in self.jobs:
            for kind in job.kinds:
                found.setdefault(kind, []).append(job)
        return found

    def all(self, *kinds: Kind) -> list[tuple[JobRun, Effect]]:
        doing = self._jobs_by_kind.get(kinds[0], []) if len(kinds) == 1 else self.jobs
        return [(job, effect) for job in doing for effect in job.of(*kinds)]


def flat_text(node: Node | None) -> str:
    """Returns all values below a node as one text."""
    if isinstance(node, Scalar):
        return node.text
    if isinstance(node, Sequence):
        return " ".join(flat_text(item) for item in node.items)
    return " ".join(flat_text(value) for _, value in node.entries) if isinstance(node, Mapping) else ""


def unique(places: Iterable[Place]) -> list[Place]:
    """Returns the places in their order, each once."""
    return list(dict.fromkeys(places))
