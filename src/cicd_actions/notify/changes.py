"""Decides whether people have to know: the first failure, another fault, a recovery, a rollback, a lock; not a repetition.

What was before is read from the records of the environment. Without records it is read from the last runs of the workflow on
the branch.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cicd_actions.github.client import GitHub
from cicd_actions.github.history import History
from cicd_actions.github.proof import RUNS
from cicd_actions.github.records import READ, Records
from cicd_actions.github.release_record import Record, Run, Task, time_of
from cicd_actions.toolkit.json_values import members, objects
from cicd_actions.toolkit.printable import visible

ALWAYS = {"rolled-back", "waiting"}
"""Events of which people are told each time: production moved, or someone has to act."""

_KEPT = 90
"""Characters of a reason that decide whether it is the same. A deployment's status keeps some more:
https://docs.github.com/rest/deployments/statuses#create-a-deployment-status"""

_UNIT = r"(?:ms|s|m|h|min|B|kB|MB|GB|KiB|MiB|GiB|%|times?|seconds?|minutes?|connections?|address(?:es)?|probes?|attempts?|more)"
_VARIES = re.compile(
    r"\d{4}-\d\d-\d\d[T ][\d:.]{5,16}(?:Z|[+-]\d\d:?\d\d)?"  # a time
    rf"|\b\d[\d.,]{{0,20}}\s?{_UNIT}\b"  # a measure or a count
    r"|\b(?=[0-9a-f-]{0,64}\d)[0-9a-f]{7,64}(?:-[0-9a-f]{4,16}){0,4}…?"  # a hash or an id
    r"|:\d{2,5}\b",  # a port
)


@dataclass(frozen=True)
class Before:
    """How the last deploy or run before this one ended, with which fault, and broken since when (in GitHub's form).

    `state` is `passed`, `failed`, `inconclusive`, or `red` where no more is known of a run. An empty `fault` is unknown.
    """

    state: str
    fault: str = ""
    since: str = ""


def fault_of(reason: str) -> str:
    """Returns what tells one fault from another: the first line of a reason without times, counts, hashes and ports."""
    return _VARIES.sub("#", " ".join(visible(reason).strip().partition("\n")[0].split()))[:_KEPT]


def news(event: str, fault: str, before: Before | None) -> str:
    """Returns the event to report; empty where people know it. `passed` after a failure is `recovered`."""
    if event in ALWAYS:
        return event
    if event == "passed":
        return "recovered" if before is not None and before.state != "passed" else ""
    if before is None or before.state == "passed":
        return event
    state = event if event == "inconclusive" else "failed"
    known = before.state in {state, "red"} and (not fault or not before.fault or _same(fault, before.fault))
    return "" if known else event


def _same(one: str, other: str) -> bool:
    """Tells whether two faults are one. A record may have cut its reason."""
    shorter, longer = sorted((one.partition("…")[0], other.partition("…")[0]), key=len)
    return longer.startswith(shorter) if "…" in one + other or len(longer) == _KEPT else longer == shorter


def recorded(records: Records, environment: str, run: Run) -> Before | None:
    """Returns what the records say of the time before this attempt of the run.

    `None` where nothing is recorded, or nothing of this attempt: it ended before its deploy was recorded, and so may have the
    run before it, of which the records then know nothing. Raises what `GitHub` raises.
    """

    def others(history: History) -> list[Record]:
        return [each for each in history.outcomes if each.kind != "rollback" and not _of(run, each)]

    history = records.history(environment, lambda found: any(each.task is Task.PASSED for each in others(found)))
    if not any(_of(run, each) for each in history.records):
        return None
    verdicts = others(history)
    streak: list[Record] = []
    for each in verdicts:
        if each.task is Task.PASSED:
            break
        streak.append(each)
    unjudged = _unjudged(history, verdicts, run)
    if unjudged is not None:
        state, description = _status(records, unjudged)
        if state in {"error", "failure"}:
            return Before("inconclusive", fault_of(description), (streak[-1] if streak else unjudged).at)
    if streak:
        return Before("failed", fault_of(streak[0].reason), streak[-1].at)
    return Before("passed") if verdicts else None


def _of(run: Run, record: Record) -> bool:
    return bool(run.id) and (record.run.id, record.run.attempt) == (run.id, run.attempt)


def _unjudged(history: History, verdicts: list[Record], run: Run) -> Record | None:
    """Returns the newest deploy of another run that has no verdict and is newer than the newest verdict of others."""
    judged = {record.deployment for record in history.outcomes}
    for record in history.records:
        if record.task is Task.DEPLOY and record.kind == "release" and not _of(run, record):
            newer = not verdicts or record.id > verdicts[0].id
            return record if newer and record.id not in judged else None
    return None


def _status(records: Records, record: Record) -> tuple[str, str]:
    github = records.github
    found = github.get(
        f"{github.repo}/deployments/{record.id}/statuses", f"read the status of deployment {record.id}", needs=READ, per_page=1
    )
    newest = next(iter(objects(found)), {})
    return str(newest.get("state", "")), str(newest.get("description") or "")


@dataclass(frozen=True)
class Runs:
    """The runs of this workflow on this branch, and the jobs of this run."""

    github: GitHub
    run: str
    branch: str
    path: str
    """The workflow's path below the repository's root; empty where it is not known."""

    def ended(self) -> list[dict[str, Any]]:
        """Returns the runs before this one that succeeded or failed, newest first. Raises what `GitHub` raises."""
        found = self.github.get(
            f"{self.github.repo}/actions/runs",
            "read the last runs",
            needs=RUNS,
            branch=self.branch,
            status="completed",
            per_page=50,
        )
        return [each for each in objects(members(found).get("workflow_runs")) if self._counts(each)]

    def _counts(self, each: dict[str, Any]) -> bool:
        same = each.get("head_branch") == self.branch and str(each.get("id")) != self.run
        same = same and (not self.path or str(each.get("path", "")).partition("@")[0] == self.path)
        return same and str(each.get("conclusion")) in {"success", "failure", "timed_out", "startup_failure"}

    def jobs(self, run: str) -> list[dict[str, Any]]:
        """Returns the jobs of the last attempt of a run. Raises what `GitHub` raises."""
        found = self.github.get(
            f"{self.github.repo}/actions/runs/{run}/jobs", f"read the jobs of run {run}", needs=RUNS, per_page=100
        )
        return objects(members(found).get("jobs"))

    def before(self) -> Before | None:
        """Returns how the last run ended; `None` where there is none. Raises what `GitHub` raises."""
        ended = self.ended()
        if not ended:
            return None
        if ended[0]["conclusion"] == "success":
            return Before("passed")
        since = ended[0]
        for each in ended:
            if each["conclusion"] == "success":
                break
            since = each
        return Before("red", failing(self.jobs(str(ended[0]["id"]))), str(since.get("created_at") or ""))

    def refused_since(self, moment: str) -> bool:
        """Tells whether a run failed after a time: it reported the lock that stands since then."""
        start = time_of(moment) or 0.0
        failed = [time_of(each.get("created_at")) or 0.0 for each in self.ended() if each["conclusion"] != "success"]
        return any(created > start for created in failed)


def failing(jobs: Iterable[dict[str, Any]]) -> str:
    """Returns the steps that failed, or the jobs where no step did, as one text."""
    found = []
    for job in jobs:
        steps = [each for each in objects(job.get("steps")) if each.get("conclusion") == "failure"]
        found += [f"{job.get('name')} / {each.get('name')}" for each in steps]
        if not steps and job.get("conclusion") == "failure":
            found.append(str(job.get("name")))
    return "\n".join(sorted(found))
