"""What is known of one repository: runs, jobs, records, merged pull requests, and the commits of each release.

Times are whole seconds since 1970. 0 stands for a time that GitHub does not give.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

JUDGED = {"success": True, "failure": False, "timed_out": False, "startup_failure": False}
"""The conclusions that say something about the code or the pipeline. A cancelled or a skipped run says nothing."""

DAY = 86_400
WEEK = 7 * DAY


class Run(NamedTuple):
    """The last attempt of a workflow run. `conclusion` is empty until it ends; `foreign`: its commit comes from a fork."""

    id: int
    attempt: int
    workflow: str
    path: str
    branch: str
    event: str
    sha: str
    status: str
    conclusion: str
    created: int
    started: int
    updated: int
    foreign: bool

    @property
    def completed(self) -> bool:
        return self.status == "completed"

    @property
    def good(self) -> bool | None:
        """Whether it succeeded; `None` where its conclusion says neither."""
        return JUDGED.get(self.conclusion)

    @property
    def seconds(self) -> int:
        """How long the last attempt took: GitHub gives no end, so the last update stands for it."""
        return max(0, self.updated - self.started)


class Step(NamedTuple):
    name: str
    conclusion: str
    seconds: int


class Job(NamedTuple):
    """One job of one attempt. `runner` is the label that tells the kind of runner."""

    run: int
    attempt: int
    id: int
    name: str
    runner: str
    created: int
    started: int
    completed: int
    conclusion: str
    steps: tuple[Step, ...]

    @property
    def good(self) -> bool | None:
        return JUDGED.get(self.conclusion)

    @property
    def seconds(self) -> int:
        return max(0, self.completed - self.started) if self.started and self.completed else 0


class Release(NamedTuple):
    """A record: a release that passed its gate, or was quarantined. `kind` is `release`, `rollback` or `adopt`."""

    id: int
    at: int
    passed: bool
    kind: str
    app: str
    environment: str
    sha: str
    run: int


class Pull(NamedTuple):
    """A merged pull request. `author` is empty unless figures per person were asked for."""

    number: int
    created: int
    merged: int
    bot: bool
    author: str


class Changes(NamedTuple):
    """The times of the commits that `head` has and `base` has not; `total` counts those that were not listed too."""

    base: str
    head: str
    total: int
    times: tuple[int, ...]


@dataclass
class Facts:
    """One repository. `since` and `until` bound the time that was collected; `gaps` lists what is missing between them.

    `marks` holds what the next collection continues from: ETags and the newest ids.
    """

    repository: str
    runs: dict[int, Run] = field(default_factory=dict)
    jobs: dict[int, list[Job]] = field(default_factory=dict)
    releases: dict[int, Release] = field(default_factory=dict)
    pulls: dict[int, Pull] = field(default_factory=dict)
    changes: dict[tuple[str, str], Changes] = field(default_factory=dict)
    since: int = 0
    until: int = 0
    gaps: list[tuple[int, int]] = field(default_factory=list)
    marks: dict[str, Any] = field(default_factory=dict)

    def drop_before(self, time: int) -> None:
        """Forgets what is older than `time`."""
        self.runs = {key: run for key, run in self.runs.items() if run.created >= time}
        self.jobs = {key: jobs for key, jobs in self.jobs.items() if key in self.runs}
        self.releases = {key: each for key, each in self.releases.items() if each.at >= time}
        self.pulls = {key: each for key, each in self.pulls.items() if each.merged >= time}
        heads = {each.sha for each in self.releases.values()}
        self.changes = {key: each for key, each in self.changes.items() if each.head in heads}
        self.since = max(self.since, time)
        self.gaps = [(max(low, time), high) for low, high in self.gaps if high >= time]

    def without_people(self) -> None:
        """Forgets who wrote which pull request."""
        self.pulls = {key: each._replace(author="") for key, each in self.pulls.items()}


def by_environment(releases: Iterable[Release], environment: str) -> dict[str, list[Release]]:
    """Returns the records of an environment by app, oldest first. GitHub takes names of environments in any case."""
    found: dict[str, list[Release]] = {}
    for each in sorted(releases, key=lambda release: release.id):
        if each.environment.lower() == environment.lower():
            found.setdefault(each.app, []).append(each)
    return found


def seconds(text: object) -> int:
    """Returns the seconds since 1970 of a time as GitHub writes it; 0 for anything else."""
    try:
        return int(datetime.fromisoformat(str(text).replace("Z", "+00:00")).timestamp())
    except (ValueError, OverflowError, OSError):
        return 0
