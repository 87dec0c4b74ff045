"""Computes the figures from facts: pure functions of what was collected, for a window of time."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from operator import attrgetter

from cicd_actions.pipeline_metrics.dora import Deployment, deployments, lead_times, restores
from cicd_actions.pipeline_metrics.facts import DAY, JUDGED, WEEK, Facts, Job, Run
from cicd_actions.pipeline_metrics.metrics import Figure, percentage, quantile, quantiles

_CREATED, _UPDATED = attrgetter("created", "id"), attrgetter("updated", "id")


@dataclass(frozen=True)
class Scope:
    """What is computed: the time from `since` to `until`, and patterns of workflows and branches (none: all)."""

    since: int
    until: int
    environment: str = "production"
    workflows: tuple[str, ...] = ()
    branches: tuple[str, ...] = ()
    rates: Mapping[str, float] = field(default_factory=dict)
    people: bool = False

    def has(self, run: Run) -> bool:
        return (
            self.since <= run.created <= self.until
            and (not self.branches or any(fnmatchcase(run.branch, each) for each in self.branches))
            and (
                not self.workflows
                or any(fnmatchcase(name, each) for each in self.workflows for name in (run.workflow, run.path))
            )
        )

    @property
    def weeks(self) -> float:
        return max(self.until - self.since, DAY) / WEEK


@dataclass(frozen=True)
class Flake:
    """A job that failed and passed at the same commit. `step` is the first step that failed."""

    repository: str
    workflow: str
    job: str
    step: str
    runs: tuple[int, ...]


@dataclass(frozen=True)
class StepFigures:
    """One step: how often it ran and failed, its median, and how long its pipeline then stayed red, in seconds."""

    repository: str
    workflow: str
    job: str
    step: str
    ran: int
    failed: int
    median: float | None
    remediation: float | None
    remedied: int
    runs: tuple[int, ...]
    """The runs in which it failed, newest first."""


@dataclass(frozen=True)
class Minutes:
    """Runner minutes of one kind. `cost` is `None` without a rate."""

    runner: str
    jobs: int
    minutes: int
    cost: float | None


@dataclass(frozen=True)
class Week:
    """One week of the trend, which begins at `start`: figures of the runs that were created in it."""

    start: int
    runs: int
    figures: Mapping[str, Figure]


End = tuple["bool | None", int]
"""Whether a run succeeded (`None` where it says neither), and the seconds of its last attempt."""


@dataclass(frozen=True)
class Story:
    """The runs of one repository that count, their pairs of workflow and commit, and when failed ones were green again."""

    facts: Facts
    runs: Sequence[Run]
    pairs: Sequence[tuple[Sequence[Run], bool]]
    green: Mapping[int, float | None]
    ends: Sequence[End]
    """Of each run."""

    @classmethod
    def of(cls, facts: Facts, scope: Scope) -> Story:
        runs = [run for run in facts.runs.values() if scope.has(run)]
        ends = [(JUDGED.get(run.conclusion), max(0, run.updated - run.started)) for run in runs]
        return cls(facts, runs, list(flaky_pairs(facts, runs)), green_again(facts, runs), ends)


@dataclass
class Figures:
    """Everything that is shown and exported."""

    scope: Scope
    overall: dict[str, Figure]
    workflows: list[tuple[str, str, int, dict[str, Figure]]]
    """Repository, workflow, runs and figures, the one with most runs first."""
    jobs: list[tuple[str, str, str, int, float]]
    """Repository, workflow, job, samples and the median of its seconds, the slowest first."""
    weeks: list[Week]
    flakes: list[Flake]
    steps: list[StepFigures]
    minutes: list[Minutes]
    deployments: list[tuple[str, Deployment]]
    people: dict[str, int]
    stories: Sequence[Story]
    runs: int
    detailed: int
    """Runs whose jobs were read."""
    unread: int
    """Runs that were run again, whose earlier attempts are not known."""


def compute(facts: Sequence[Facts], scope: Scope) -> Figures:
    """Computes all figures of some repositories together."""
    chosen = [Story.of(each, scope) for each in facts]
    jobs = [job for story in chosen for run in story.runs for job in story.facts.jobs.get(run.id, ())]
    groups = [flaky for story in chosen for _, flaky in story.pairs]
    deployed = [(each.repository, one) for each in facts for one in deployments(each, scope.environment)]
    within = [(name, one) for name, one in deployed if scope.since <= one.at <= scope.until]
    pulls = [pull for each in facts for pull in each.pulls.values() if scope.since <= pull.merged <= scope.until]
    minutes = _minutes(jobs, scope.rates)
    ends = [end for story in chosen for end in story.ends]
    overall = {**_of_runs(ends), "flaky-rate": Figure.of("flaky-rate", percentage(sum(groups), len(groups)), len(groups))}
    overall |= quantiles("queue", queued(jobs))
    counted = [each for each in minutes if each.cost is not None]
    people = [pull for pull in pulls if not pull.bot]
    overall["minutes"] = Figure.of("minutes", sum(each.minutes for each in minutes), sum(each.jobs for each in minutes))
    overall["cost"] = Figure.of("cost", sum(each.cost or 0 for each in counted), sum(each.jobs for each in counted))
    overall["merged-per-week"] = Figure.of("merged-per-week", len(people) / scope.weeks, len(people))
    overall |= _dora(facts, [one for _, one in within], scope)
    return Figures(
        scope,
        overall,
        _by_workflow(chosen),
        _by_job(chosen),
        _by_week(chosen, scope),
        _flakes(chosen),
        _steps(chosen),
        minutes,
        sorted(within, key=lambda each: -each[1].at),
        dict(Counter(pull.author for pull in people if pull.author).most_common()) if scope.people else {},
        chosen,
        len(ends),
        sum(1 for story in chosen for run in story.runs if run.id in story.facts.jobs),
        sum(run.attempt > 1 and run.id not in story.facts.jobs for story in chosen for run in story.runs),
    )


def _of_runs(ends: Sequence[End]) -> dict[str, Figure]:
    times = [time for good, time in ends if good]
    judged = len(times) + sum(good is False for good, _ in ends)
    rate = Figure.of("success-rate", percentage(len(times), judged), judged)
    return {"success-rate": rate, **quantiles("duration", times)}


def _dora(facts: Sequence[Facts], within: Sequence[Deployment], scope: Scope) -> dict[str, Figure]:
    passed = [each for each in within if each.passed]
    failed = [each for each in within if each.failed]
    times = [time for each in facts for at, time in lead_times(each, scope.environment) if scope.since <= at <= scope.until]
    restored = [time for each in facts for at, time in restores(each, scope.environment) if scope.since <= at <= scope.until]
    return {
        "deployments-per-week": Figure.of("deployments-per-week", len(passed) / scope.weeks, len(passed)),
        **quantiles("lead-time", times),
        "change-failure-rate": Figure.of("change-failure-rate", percentage(len(failed), len(within)), len(within)),
        **quantiles("restore", restored),
    }


def _by_workflow(chosen: Sequence[Story]) -> list[tuple[str, str, int, dict[str, Figure]]]:
    groups: dict[tuple[str, str], list[End]] = defaultdict(list)
    for story in chosen:
        name = story.facts.repository
        for run, end in zip(story.runs, story.ends, strict=True):
            groups[name, run.workflow or run.path].append(end)
    return sorted(((*key, len(ends), _of_runs(ends)) for key, ends in groups.items()), key=lambda row: (-row[2], row[:2]))


def _by_job(chosen: Sequence[Story]) -> list[tuple[str, str, str, int, float]]:
    groups: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for story in chosen:
        for run in story.runs:
            for job in story.facts.jobs.get(run.id, ()):
                if job.good and job.seconds:
                    groups[story.facts.repository, run.workflow or run.path, job.name].append(job.seconds)
    rows = [(*key, len(times), quantile(times, 0.5) or 0.0) for key, times in groups.items()]
    return sorted(rows, key=lambda row: (-row[4], row[:3]))


def _by_week(chosen: Sequence[Story], scope: Scope) -> list[Week]:
    """Weeks end at the end of the window, so that the newest one is whole."""
    groups: dict[int, list[End]] = defaultdict(list)
    for story in chosen:
        for run, end in zip(story.runs, story.ends, strict=True):
            groups[(scope.until - run.created) // WEEK].append(end)
    last = (scope.until - scope.since) // WEEK
    return [
        Week(scope.until - (number + 1) * WEEK, len(groups[number]), _of_runs(groups[number])) for number in range(last, -1, -1)
    ]


def attempts(run: Run, jobs: Sequence[Job]) -> dict[int, bool]:
    """Returns for each attempt whose end is known whether it succeeded: the last by the run, earlier ones by their jobs.

    An earlier attempt failed when one of its jobs failed that passed later: a job that may fail stays failed.
    """
    known: dict[int, bool] = {}
    if run.good is not None:
        known[run.attempt] = run.good
    for name, attempt in {(job.name, job.attempt) for job in jobs if job.good is False and job.attempt < run.attempt}:
        if run.good is False or any(job.good and job.name == name and job.attempt > attempt for job in jobs):
            known[attempt] = False
    return known


def flaky_pairs(facts: Facts, runs: Iterable[Run]) -> Iterator[tuple[list[Run], bool]]:
    """Yields the runs of each pair of a workflow and a commit that has a verdict, oldest first, and whether it is flaky."""
    groups: dict[tuple[str, str, str, str], list[Run]] = defaultdict(list)
    for run in runs:
        groups[run.path or run.workflow, run.sha, run.branch, run.event].append(run)
    for some in groups.values():
        if len(some) == 1 and some[0].attempt == 1:
            # Nearly all: one run, once.
            if some[0].good is not None:
                yield some, False
            continue
        some.sort(key=_CREATED)
        ends: list[bool] = []
        for run in some:
            if run.attempt > 1:
                ends += [good for _, good in sorted(attempts(run, facts.jobs.get(run.id, ())).items())]
            elif (good := JUDGED.get(run.conclusion)) is not None:
                ends.append(good)
        if ends:
            yield some, False in ends and True in ends[ends.index(False) :]


def _flakes(chosen: Sequence[Story]) -> list[Flake]:
    """Returns the jobs behind the flaky pairs, the most frequent first."""
    found: dict[tuple[str, str, str, str], list[int]] = defaultdict(list)
    for story in chosen:
        for some in (some for some, flaky in story.pairs if flaky):
            for (workflow, job, step), number in _flaky_jobs(story.facts, some):
                found[story.facts.repository, workflow, job, step].append(number)
    flakes = [Flake(*key, tuple(sorted(set(numbers), reverse=True))) for key, numbers in found.items()]
    return sorted(flakes, key=lambda flake: (-len(flake.runs), flake.repository, flake.workflow, flake.job))


def _flaky_jobs(facts: Facts, runs: Sequence[Run]) -> list[tuple[tuple[str, str, str], int]]:
    """Returns the jobs that failed before something passed: workflow, job, first failed step, and the run."""
    last = max((run.created, run.attempt) for run in runs if run.good)
    found = []
    for run in runs:
        for job in facts.jobs.get(run.id, ()):
            # A job that failed in the attempt that passed was allowed to fail.
            allowed = run.good and job.attempt == run.attempt
            if job.good is False and not allowed and (run.created, job.attempt) <= last:
                found.append(((run.workflow or run.path, job.name, first_failed(job)), run.id))
    return found


def first_failed(job: Job) -> str:
    """Returns the first step that failed; empty when none did (a lost runner, a timeout of the job)."""
    return next((step.name for step in job.steps if step.conclusion in {"failure", "timed_out"}), "")


def queued(jobs: Iterable[Job]) -> list[int]:
    """Returns the seconds that each job that ran waited for a runner."""
    return [job.started - job.created for job in jobs if _ran(job) and job.created <= job.started]


def _ran(job: Job) -> bool:
    return bool(job.created and job.started and job.completed) and job.conclusion != "skipped"


def _steps(chosen: Sequence[Story]) -> list[StepFigures]:
    """Returns the steps, those that failed most first, then the slowest."""
    times: dict[tuple[str, str, str, str], list[int]] = defaultdict(list)
    failures: dict[tuple[str, str, str, str], list[tuple[int, int, float | None]]] = defaultdict(list)
    for story in chosen:
        for run in story.runs:
            for job in story.facts.jobs.get(run.id, ()):
                for step in job.steps:
                    if step.conclusion in {"success", "failure", "timed_out"}:
                        times[story.facts.repository, run.workflow or run.path, job.name, step.name].append(step.seconds)
                name = first_failed(job) if job.good is False else ""
                if name:
                    key = (story.facts.repository, run.workflow or run.path, job.name, name)
                    failures[key].append((run.updated, run.id, story.green.get(run.id)))
    rows = []
    for key, seconds in times.items():
        failed = sorted(failures.get(key, ()), reverse=True)
        fixed = [time for time in {number: time for _, number, time in failed}.values() if time is not None]
        rows.append(
            StepFigures(
                *key,
                len(seconds),
                len(failed),
                quantile(seconds, 0.5),
                quantile(fixed, 0.5),
                len(fixed),
                tuple(dict.fromkeys(number for _, number, _ in failed)),
            )
        )
    return sorted(rows, key=lambda row: (-row.failed, -(row.median or 0), row.repository, row.workflow, row.job, row.step))


def green_again(facts: Facts, runs: Sequence[Run]) -> dict[int, float | None]:
    """Returns for each failed run whose jobs were read the seconds until its workflow was green again on its branch.

    `None` stands for one that is still red.
    """
    red = {(run.path or run.workflow, run.branch) for run in map(facts.runs.get, facts.jobs) if run and run.good is False}
    groups: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in runs:
        key = (run.path or run.workflow, run.branch)
        if key in red and run.conclusion in JUDGED:
            groups[key].append(run)
    found: dict[int, float | None] = {}
    for some in groups.values():
        following: int | None = None
        for run in sorted(some, key=_UPDATED, reverse=True):
            if run.good:
                following = run.updated
            else:
                found[run.id] = following - run.updated if following is not None else None
    return found


def _minutes(jobs: Iterable[Job], rates: Mapping[str, float]) -> list[Minutes]:
    groups: dict[str, list[int]] = defaultdict(list)
    for job in jobs:
        if _ran(job):
            groups[job.runner].append(math.ceil(job.seconds / 60))
    rows = []
    for runner, times in groups.items():
        rate = next((price for label, price in rates.items() if fnmatchcase(runner, label)), None)
        rows.append(Minutes(runner, len(times), sum(times), None if rate is None else rate * sum(times)))
    return sorted(rows, key=lambda row: (-row.minutes, row.runner))
