"""Lists of workflow runs and of their jobs, which GitHub cuts at a thousand results where a filter is given."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from tests.fakes.github import deployments
from tests.fakes.github.deployments import kept
from tests.fakes.github.server import Answer, Call, FakeGitHub, Refusal, route
from tests.fakes.github.settings import existing

CUT = 1000


@dataclass
class Ran:
    """A job as a test writes it: its `conclusion`, the seconds it waited and took, and the steps with their seconds."""

    name: str
    conclusion: str = "success"
    waited: int = 5
    took: int = 60
    attempt: int = 1
    label: str = "ubuntu-latest"
    steps: Sequence[tuple[str, str, int]] = ()


def when(time: float) -> str:
    return datetime.fromtimestamp(time, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def ended(
    github: FakeGitHub,
    repository: str,
    number: int,
    sha: str,
    created: int,
    *,
    took: int = 60,
    conclusion: str = "success",
    attempt: int = 1,
    again: int = 0,
    name: str = "CI",
    jobs: Iterable[Ran] = (),
    **about: Any,
) -> dict[str, Any]:
    """A run that was created at a time and ended; its last attempt began `again` seconds later. `conclusion` "" is at work."""
    begun = created + again
    made = deployments.run(github, repository, number, sha, ended=when(begun + took), **about)
    made |= {
        "name": name,
        "conclusion": conclusion or None,
        "status": "completed" if conclusion else "in_progress",
        "created_at": when(created),
        "run_started_at": when(begun),
        "run_attempt": attempt,
    }
    listed = github.state.setdefault("jobs", {}).setdefault(repository, {})
    listed[number] = [_job(github, repository, made, at, job, begun) for at, job in enumerate(jobs)]
    return made


def _job(github: FakeGitHub, repository: str, run: dict[str, Any], at: int, job: Ran, begun: int) -> dict[str, Any]:
    here, number = f"{github.url}/repos/{repository}", run["id"] * 100 + at
    start = begun + job.waited + 1000 * (job.attempt - 1)
    steps, time = [], start
    for place, (name, conclusion, took) in enumerate(job.steps, 1):
        steps.append(
            {
                "name": name,
                "status": "completed",
                "conclusion": conclusion,
                "number": place,
                "started_at": when(time),
                "completed_at": when(time + took),
            }
        )
        time += took
    return {
        "id": number,
        "run_id": run["id"],
        "run_url": run["url"],
        "run_attempt": job.attempt,
        "node_id": f"CR_{number}",
        "head_sha": run["head_sha"],
        "url": f"{here}/actions/jobs/{number}",
        "html_url": f"https://github.com/{repository}/actions/runs/{run['id']}/job/{number}",
        "status": "completed",
        "conclusion": job.conclusion,
        "created_at": when(start - job.waited),
        "started_at": when(start),
        "completed_at": when(start + job.took),
        "name": job.name,
        "steps": steps,
        "check_run_url": f"{here}/check-runs/{number}",
        "labels": [job.label],
        "runner_id": 1,
        "runner_name": "GitHub Actions 1",
        "runner_group_id": 1,
        "runner_group_name": "GitHub Actions",
        "workflow_name": run["name"],
        "head_branch": run["head_branch"],
    }


@route("GET", "/repos/{owner}/{repo}/actions/runs", "actions")
def list_runs(call: Call) -> Answer:
    existing(call)
    found = sorted(
        kept(call.github, call.repository).runs.values(), key=lambda run: (run["created_at"], run["id"]), reverse=True
    )
    asked = call.query.get("created", "")
    if asked.startswith(">="):
        found = [run for run in found if run["created_at"] >= asked[2:]]
    elif ".." in asked:
        low, _, high = asked.partition("..")
        found = [run for run in found if low <= run["created_at"] <= high]
    elif asked:
        raise Refusal(422, "Validation Failed")
    shown, headers = call.page(found[:CUT] if asked else found)
    return Answer(200, {"total_count": len(found), "workflow_runs": list(shown)}, headers)


@route("GET", "/repos/{owner}/{repo}/actions/runs/{run_id}/jobs", "actions")
def list_jobs(call: Call) -> Answer:
    existing(call)
    run = kept(call.github, call.repository).runs.get(int(call.arguments["run_id"]))
    if run is None:
        raise Refusal(404, "Not Found")
    found = call.github.state.get("jobs", {}).get(call.repository, {}).get(run["id"], [])
    if call.query.get("filter", "latest") == "latest":
        found = [job for job in found if job["run_attempt"] == run["run_attempt"]]
    shown, headers = call.page(found)
    return Answer(200, {"total_count": len(found), "jobs": list(shown)}, headers)
