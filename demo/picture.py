"""What a run looks like so far: jobs, their steps, results, outputs. Fed with events, read by the live view and by tests."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from demo.act import (
    Annotated,
    Event,
    JobEnded,
    JobStarted,
    Logged,
    OutputSet,
    StartedAgain,
    StepEnded,
    StepStarted,
    SummaryAdded,
)


@dataclass
class Step:
    """`result` is empty while it runs; seconds since the clock's own beginning."""

    name: str
    started: float
    ended: float | None = None
    result: str = ""


@dataclass
class Job:
    name: str
    started: float
    ended: float | None = None
    result: str = ""
    steps: dict[str, Step] = field(default_factory=dict)
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)
    """Outputs by the id of the step."""


@dataclass
class Picture:
    """A job that was skipped never appears: act does not speak of it."""

    clock: Callable[[], float] = time.monotonic
    jobs: dict[str, Job] = field(default_factory=dict)
    annotations: list[Annotated] = field(default_factory=list)
    summaries: list[SummaryAdded] = field(default_factory=list)
    lines: list[Logged] = field(default_factory=list)
    exit_code: int | None = None

    def apply(self, event: Event) -> None:
        now = self.clock()
        match event:
            case JobStarted(name):
                self.jobs.setdefault(name, Job(name, now))
            case JobEnded(name, result):
                job = self.jobs.setdefault(name, Job(name, now))
                job.ended, job.result = now, result
            case StepStarted(name, step):
                self._job(name).steps.setdefault(step, Step(step, now))
            case StepEnded(name, step, result):
                found = self._job(name).steps.setdefault(step, Step(step, now))
                found.ended, found.result = now, result
            case OutputSet(name, step, key, value):
                self._job(name).outputs.setdefault(step, {})[key] = value
            case SummaryAdded():
                self.summaries.append(event)
            case Annotated():
                self.annotations.append(event)
            case Logged():
                self.lines.append(event)
            case StartedAgain():
                for told in (self.jobs, self.annotations, self.summaries, self.lines):
                    told.clear()

    def _job(self, name: str) -> Job:
        return self.jobs.setdefault(name, Job(name, self.clock()))

    def results(self) -> dict[str, str]:
        """Result by job, without the steps."""
        return {name: job.result for name, job in self.jobs.items()}

    def steps(self, job: str) -> dict[str, str]:
        """Result by step of one job; empty when it did not run."""
        return {name: step.result for name, step in self.jobs[job].steps.items()} if job in self.jobs else {}

    def log(self, job: str = "") -> str:
        """What the steps of that job printed, or of every job."""
        return "\n".join(line.text for line in self.lines if line.printed and job in {"", line.job})

    def errors(self) -> list[str]:
        return [found.message for found in self.annotations if found.level == "error"]
