"""Reads runs, jobs and commits as GitHub lists them. What is missing or of another form reads as empty."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from cicd_actions.pipeline_metrics.facts import Job, Run, Step, seconds
from cicd_actions.toolkit.json_values import members, objects
from cicd_actions.toolkit.printable import shortened

MOST_NAME = 200
"""Characters of a name that are kept. GitHub takes names of steps of any length."""


def read_run(found: Mapping[str, Any]) -> Run:
    """Returns the run that GitHub lists."""
    home, head = found.get("repository"), found.get("head_repository")
    same = isinstance(home, dict) and isinstance(head, dict) and home.get("id") == head.get("id")
    attempt, status = found.get("run_attempt"), read_name(found.get("status"))
    return Run(
        found["id"],
        attempt if isinstance(attempt, int) else 1,
        read_name(found.get("name")),
        read_name(str(found.get("path") or "").partition("@")[0]),
        read_name(found.get("head_branch")),
        read_name(found.get("event")),
        read_name(found.get("head_sha")),
        status,
        read_name(found.get("conclusion")) if status == "completed" else "",
        seconds(found.get("created_at")),
        seconds(found.get("run_started_at")) or seconds(found.get("created_at")),
        seconds(found.get("updated_at")),
        not same,
    )


def as_listed(run: Run) -> dict[str, Any]:
    """Returns what the proof of a record reads of a run, as GitHub writes it."""
    return {
        "event": run.event,
        "head_branch": run.branch,
        "path": run.path,
        "head_sha": run.sha,
        "status": run.status,
        "created_at": written(run.created),
        "updated_at": written(run.updated),
        "repository": {"id": 0},
        "head_repository": {"id": int(run.foreign)},
    }


def read_job(run: Run, found: Mapping[str, Any]) -> Job:
    """Returns the job that GitHub lists for a run."""
    attempt = found.get("run_attempt")
    return Job(
        run.id,
        attempt if isinstance(attempt, int) else run.attempt,
        found["id"],
        read_name(found.get("name")),
        runner_kind(found.get("labels")),
        seconds(found.get("created_at")),
        seconds(found.get("started_at")),
        seconds(found.get("completed_at")),
        read_name(found.get("conclusion")),
        tuple(map(_step, objects(found.get("steps")))),
    )


def _step(found: Mapping[str, Any]) -> Step:
    begun, ended = seconds(found.get("started_at")), seconds(found.get("completed_at"))
    return Step(
        read_name(found.get("name")), read_name(found.get("conclusion")), max(0, ended - begun) if begun and ended else 0
    )


def runner_kind(labels: object) -> str:
    """Returns the label that rates are set for: `self-hosted`, else the first one, such as `ubuntu-latest`."""
    known = [read_name(each) for each in labels if isinstance(each, str)] if isinstance(labels, list) else []
    return "self-hosted" if "self-hosted" in known else known[0] if known else "unknown"


def committed(found: Mapping[str, Any]) -> int:
    """Returns when a commit was made, in seconds since 1970; 0 where GitHub does not say."""
    return seconds(members(members(found.get("commit")).get("committer")).get("date"))


def read_name(found: object) -> str:
    """Returns a name, shortened; empty for anything but text."""
    return shortened(found, MOST_NAME) if isinstance(found, str) else ""


def written(time: int) -> str:
    """Returns a time in seconds since 1970 in GitHub's form."""
    return datetime.fromtimestamp(time, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
