"""Makes facts for the tests of what is computed from them."""

from __future__ import annotations

from typing import Any

from cicd_actions.pipeline_metrics.facts import Facts, Job, Release, Run, Step

NOW = 1_790_000_000


def run(number: int, **about: Any) -> Run:
    """A run that succeeded in a minute, unless told otherwise."""
    made = Run(
        number, 1, "CI", ".github/workflows/ci.yml", "main", "push", f"{number:040x}", "completed", "success",
        NOW - 10_000 + number, 0, 0, False,
    )  # fmt: skip
    made = made._replace(**{key: value for key, value in about.items() if key in Run._fields})
    start = made.started or made.created
    return made._replace(started=start, updated=made.updated or start + int(about.get("took", 60)))


def job(of: Run, conclusion: str = "success", **about: Any) -> Job:
    """A job of a run that waited five seconds and took fifty."""
    at = of.started
    step = Step("Test", conclusion, 40)
    made = Job(of.id, of.attempt, of.id * 10, "test", "ubuntu-latest", at, at + 5, at + 55, conclusion, (step,))
    return made._replace(**about)


def release(number: int, at: int, commit: str, **about: Any) -> Release:
    made = Release(number, at, passed=True, kind="release", app="org/app", environment="production", sha=commit, run=number)
    return made._replace(**about)


def facts(*rows: Run | Job | Release) -> Facts:
    made = Facts("org/app", since=NOW - 90 * 86_400, until=NOW)
    for row in rows:
        if isinstance(row, Run):
            made.runs[row.id] = row
        elif isinstance(row, Job):
            made.jobs.setdefault(row.run, []).append(row)
        else:
            made.releases[row.id] = row
    return made
