"""Made-up pipelines on the fake GitHub: runs, jobs, records, commits and pull requests at times of a test's choice."""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fakes.github import FakeGitHub, actions, deployments, pulls, settings
from tests.fakes.github.actions import Ran, when
from tests.harness.releases import Ended, step

NOW = 1_790_000_000
DAY = 86_400
TOKEN_RIGHTS = {"actions": "read", "deployments": "read", "contents": "read", "pull_requests": "read"}


def sha(*parts: object) -> str:
    return hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()[:40]


@dataclass
class Pipelines:
    """Repositories on a fake GitHub. `token` may read everything that figures are made of."""

    github: FakeGitHub
    token: str = ""
    _numbers: int = field(default=1000, init=False)

    def __post_init__(self) -> None:
        self.token = self.github.token(**TOKEN_RIGHTS)

    def repository(self, name: str = "org/app") -> str:
        settings.repository(self.github, name)
        return name

    def run(self, repository: str, created: int, commit: str = "", **about: Any) -> dict[str, Any]:
        """A run; it succeeded unless `conclusion` says otherwise."""
        self._numbers += 1
        return actions.ended(self.github, repository, self._numbers, commit or sha(repository, self._numbers), created, **about)

    def record(
        self,
        repository: str,
        at: int,
        commit: str,
        *,
        passed: bool = True,
        kind: str = "release",
        environment: str = "production",
    ) -> int:
        """A record, and the run that wrote it."""
        run = self.run(repository, at - 300, commit, took=600, name="Deploy", path=".github/workflows/deploy.yml")
        payload = {
            "schema": 1,
            "app": repository,
            "environment": environment,
            "sha": commit,
            "services": {"api": f"sha256:{hashlib.sha256(commit.encode()).hexdigest()}"},
            "verdict": "pass" if passed else "fail",
            "kind": kind,
            "run": {"id": str(run["id"]), "url": run["html_url"]},
            "at": when(at),
        }
        number = deployments.other_tool(
            self.github,
            repository,
            environment,
            commit,
            task=f"cicd-actions:{'passed' if passed else 'quarantined'}",
            payload=json.dumps(payload),
            creator="github-actions[bot]",
        )
        made = deployments.kept(self.github, repository).deployments[-1]
        made |= {"created_at": when(at), "updated_at": when(at)}
        return number

    def commits(self, repository: str, times: dict[str, int], after: str = "") -> None:
        """A line of commits by their SHAs with their times, oldest first."""
        for commit, time in times.items():
            deployments.kept(self.github, repository).commits[commit] = deployments.Commit(
                commit, (after,) if after else (), "A change", when(time)
            )
            after = commit

    def merge(self, repository: str, time: int, login: str = "octocat", *, bot: bool = False) -> None:
        pulls.merged(self.github, repository, when(time), login=login, bot=bot)

    def measure(self, folder: Path, inputs: dict[str, str] | None = None, **variables: str) -> Ended:
        """Runs the action. It takes the time from its clock, so worlds that it measures are made around the real now."""
        about = {"record-key": "", "environment": "production", **(inputs or {})}
        return step(folder, self.github, self.token, "pipeline-metrics", about, **variables)


def many(pipelines: Pipelines, count: int, now: int, *, repositories: int = 2, seed: int = 1) -> list[str]:
    """Runs of some repositories over 80 days: one in eight fails, one in ten is run again, in bursts now and then."""
    chance = random.Random(seed)  # noqa: S311 - the same world each time
    names = [pipelines.repository(f"org/app-{number}") for number in range(repositories)]
    for number in range(count):
        repository = names[number % repositories]
        created = now - 3600 - chance.randrange(80 * DAY)
        if chance.random() < 0.2:
            created -= created % 3600
        failed, again = chance.random() < 0.125, chance.random() < 0.1
        conclusion = "failure" if failed else chance.choices(["success", "cancelled", "skipped"], [20, 1, 1])[0]
        pipelines.run(
            repository,
            created,
            sha(repository, number // 3),
            took=chance.randrange(20, 3000),
            conclusion=conclusion,
            attempt=2 if again else 1,
            again=1200 if again else 0,
            name=chance.choice(["CI", "Lint", "Nightly"]),
            branch=chance.choice(["main", "topic", "release/1"]),
            jobs=_jobs(chance, failed=failed, again=again),
        )
    return names


def _jobs(chance: random.Random, *, failed: bool, again: bool) -> list[Ran]:
    def job(attempt: int, conclusion: str) -> Ran:
        took = chance.randrange(10, 900)
        steps = [("Checkout", "success", 3), ("Test", conclusion, took - 5)]
        return Ran("test", conclusion, chance.randrange(60), took, attempt, chance.choice(["ubuntu-latest", "macos-15"]), steps)

    ends = [*(["failure"] if again else []), "failure" if failed else "success"]
    return [job(number, end) for number, end in enumerate(ends, 1)]
