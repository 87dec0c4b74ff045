"""Shows people the state of a deploy, and finds the deploys that were lost with their run."""

from __future__ import annotations

from collections.abc import Iterator

from cicd_actions.github.history import History
from cicd_actions.github.records import DESCRIPTION, READ, WRITE, Records
from cicd_actions.github.release_record import Record, Task
from cicd_actions.toolkit.json_values import objects
from cicd_actions.toolkit.printable import shortened, visible

_UNFINISHED = {"queued", "in_progress", "pending", ""}
_ORPHANS_LOOKED_AT = 20
_ENDED_IN_A_ROW = 2


def set_status(
    records: Records, deployment: int, state: str, description: str, *, log_url: str = "", environment_url: str = ""
) -> None:
    """Sets the state that people see: `in_progress`, `success`, `failure`, `error` or `inactive`."""
    records.github.send(
        "POST",
        _path(records, deployment),
        f"set the deployment {deployment} to {state}",
        {
            "state": state,
            "description": shortened(visible(description), DESCRIPTION),
            "log_url": log_url,
            "environment_url": environment_url,
            # With several apps in one repository, the success of one must not make the other's look replaced.
            "auto_inactive": records.name == records.github.repository,
        },
        needs=WRITE,
        repeatable=True,
    )


def orphans(records: Records, history: History) -> Iterator[Record]:
    """Yields deploys that were started and never ended, newest first: their run was lost.

    Each start closes what it finds, so there is nothing to look for behind two that ended.
    """
    ended = 0
    for record in [each for each in history.records if each.task is Task.DEPLOY][:_ORPHANS_LOOKED_AT]:
        if _state(records, record.id) in _UNFINISHED:
            ended = 0
            yield record
        else:
            ended += 1
            if ended == _ENDED_IN_A_ROW:
                return


def _state(records: Records, deployment: int) -> str:
    """Returns the newest status of a Deployment; empty when it has none."""
    statuses = records.github.get(
        _path(records, deployment), f"read the statuses of deployment {deployment}", needs=READ, per_page=1
    )
    return next((str(each.get("state", "")) for each in objects(statuses)), "")


def _path(records: Records, deployment: int) -> str:
    return f"{records.github.repo}/deployments/{deployment}/statuses"
