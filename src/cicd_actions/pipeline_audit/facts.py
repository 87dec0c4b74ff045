"""What the rules are judged on: the model of the pipeline, GitHub's settings, the change, and what zizmor found."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from cicd_actions.pipeline_audit import known_actions
from cicd_actions.pipeline_audit.effects import Kind
from cicd_actions.pipeline_audit.model import JobRun, Pipeline, StepRun
from cicd_actions.pipeline_audit.repository import Repository
from cicd_actions.pipeline_audit.rules.definition import Answer, Held, NotApplicable, Unknown
from cicd_actions.pipeline_audit.stages import Stage
from cicd_actions.toolkit.yaml12 import Mapping
from cicd_actions.workflows.files import File
from cicd_actions.workflows.place import Place

NO_WORKFLOWS = NotApplicable("The repository has no workflows.")


@dataclass(frozen=True)
class Settings:
    """What GitHub's settings say. `None` where the token may not read it, or there is none."""

    reviewers: dict[str, bool | None] = field(default_factory=dict)
    """By environment, whether it has required reviewers."""
    default_token: str | None = None
    """`read` or `write`."""


@dataclass(frozen=True)
class Carried:
    """A finding of zizmor: its id, severity (`High` …), message and place."""

    id: str
    severity: str
    confidence: str
    message: str
    place: Place
    url: str = ""


@dataclass
class Facts:
    """Everything that a rule may ask. `changed` are the files of the change (`None`: not known); `zizmor` its findings."""

    pipeline: Pipeline
    settings: Settings | None = None
    changed: frozenset[str] | None = None
    zizmor: list[Carried] | None = None

    @property
    def repository(self) -> Repository:
        return self.pipeline.repository

    @cached_property
    def deploying(self) -> list[JobRun]:
        """The jobs that deploy something that serves users."""
        if self.repository.deploys is False:
            return []
        return list({id(job): job for job, _, _ in self.pipeline.service_deploys}.values())

    def inside(self, job: JobRun) -> Answer | None:
        """The answer for a deploy within a called workflow that could not be read; `None` for a deploy that could."""
        if not job.effects_unread:
            return None
        if known_actions.our_workflow(job.job.uses) in {"pipeline", "release"}:
            return Held("The called workflow of cicd-actions does it.", job.place)
        return Unknown(f"The called workflow `{job.job.uses}` could not be read: give a `github-token`.", job.place)

    @cached_property
    def unread(self) -> JobRun | None:
        """A job that calls a workflow which could not be read, and which may do more than its name says."""
        return next((job for job in self.pipeline.jobs if job.effects_unread), None)

    @cached_property
    def production(self) -> list[JobRun]:
        return [job for job in self.deploying if job.stages & {Stage.PRODUCTION, Stage.IMPLIED}]

    @cached_property
    def staging(self) -> list[JobRun]:
        return [job for job in self.deploying if Stage.STAGING in job.stages]

    def starters(self, job: JobRun) -> list[tuple[JobRun, StepRun]]:
        """The steps of other workflows that start this one with a dispatch, each with its job."""
        return self.pipeline.started.get(job.entry.path, [])

    def run_of(self, job: JobRun) -> list[JobRun]:
        """Every job of the same run."""
        return self.pipeline.runs[job.entry.path]

    def after(self, job: JobRun) -> list[JobRun]:
        """The jobs of the run that wait for this one."""
        return [one for one in self.run_of(job) if one.waits_for(job)]

    @cached_property
    def _rolling(self) -> frozenset[int]:
        return frozenset(map(id, self.deploying))

    def rolls_out(self, job: JobRun) -> bool:
        """Whether the job is one of those that deploy."""
        return id(job) in self._rolling

    @cached_property
    def written(self) -> list[JobRun]:
        """Every job, each text once."""
        return once(self.pipeline.jobs)

    @cached_property
    def releasing(self) -> frozenset[int]:
        """The ids of the jobs that a release runs: the deploys, and every job that they wait for."""
        return frozenset(id(one) for job in self.deploying for one in [job, *job.ancestors])

    @cached_property
    def lanes(self) -> list[JobRun]:
        """The jobs that check the code and deploy nothing."""
        checks = (Kind.TEST, Kind.LINT, Kind.TYPES)
        return [job for job in self.pipeline.jobs if job.of(*checks) and not job.deploys]

    @cached_property
    def migrating(self) -> bool:
        """Whether the repository has migrations of a known tool."""
        names = {path.rpartition("/")[2] for path in self.repository.paths}
        if names & {"alembic.ini", "schema.prisma", "knexfile.js", "knexfile.ts", "drizzle.config.ts", "flyway.conf"}:
            return True
        return any(_is_migration(path) for path in self.repository.paths)


def _is_migration(path: str) -> bool:
    """Whether a file is a migration by its folder and its numbered name."""
    folder, _, name = path.rpartition("/")
    parts = folder.split("/")
    if parts[-2:] == ["db", "migrate"]:
        return True
    return (
        bool({"migration", "migrations"} & set(parts[-2:]))
        and name.endswith((".py", ".sql", ".ts", ".js"))
        and bool(re.search("[0-9]", name))
    )


def once(jobs: Iterable[JobRun]) -> list[JobRun]:
    """Returns the jobs, each place once: a workflow that is called twice is one text."""
    found: dict[tuple[str, int], JobRun] = {}
    for job in jobs:
        found.setdefault((job.file.path, job.job.line), job)
    return list(found.values())


def at(file: File, *keys: str) -> Place:
    """Returns the place of a key path in a file, or as much of it as there is."""
    node = file.document.root
    line = 1
    for key in keys:
        named = node.key(key) if isinstance(node, Mapping) else None
        if named is None or not isinstance(node, Mapping):
            break
        line = named.line
        node = node.get(key)
    return Place(file.path, line)
