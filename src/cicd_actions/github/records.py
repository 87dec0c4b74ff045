"""Records in GitHub's Deployments: read them in one request, write them, show a deploy's state to people."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from cicd_actions.github.client import GitHub
from cicd_actions.github.errors import Permission
from cicd_actions.github.history import History
from cicd_actions.github.release_record import NotARecord, Record, Task, read
from cicd_actions.toolkit.errors import Inconclusive
from cicd_actions.toolkit.printable import shortened, visible

READ = Permission("Deployments", "read", job="deployments")
WRITE = Permission("Deployments", "write", job="deployments")

_DESCRIPTION = 110
"""Characters; what `shortened` adds to them stays below the 140 that GitHub takes:
https://docs.github.com/rest/deployments/statuses#create-a-deployment-status"""

_UNFINISHED = {"queued", "in_progress", "pending", ""}
_ORPHANS_LOOKED_AT = 20
_ENDED_IN_A_ROW = 2

Enough = Callable[[History], bool]
"""Says of the records read so far whether older ones are still needed."""


@dataclass
class Records:
    """The records of one app, in any environment of its repository."""

    github: GitHub
    app: str

    def history(self, environment: str, enough: Enough) -> History:
        """The newest records, until `enough`. Raises what `GitHub` raises.

        One request, unless more than a hundred other Deployments of that environment (other tools', other apps') are newer
        than what is sought: then our tasks are asked for one by one. Of the deploys, the newest hundred are read at most.
        """
        found, size = self._page(self.github.pages(self._path, _LIST, needs=READ, environment=environment), environment)
        first = History.of(found, complete=size < 100)
        if first.complete or enough(first):
            return first
        return self._by_task(environment, found, enough)

    def of_sha(self, environment: str, sha: str) -> History:
        """Everything recorded on one commit in an environment; one request."""
        found, size = self._page(
            self.github.pages(self._path, _LIST, needs=READ, environment=environment, sha=sha), environment
        )
        return History.of(found, complete=size < 100)

    def write(self, record: Record) -> int:
        """Makes the Deployment of a record; its id.

        After a lost answer it is made again: two equal records say the same as one.
        """
        made = self.github.send(
            "POST",
            self._path,
            f"record {record.sha[:12]} in {record.environment}",
            {
                "ref": record.sha,
                "task": record.task.value,
                # GitHub would otherwise merge the default branch into the ref, and refuse while a check is red or runs.
                "auto_merge": False,
                "required_contexts": [],
                "payload": record.payload(),
                "environment": record.environment,
                "description": _described(record),
            },
            needs=WRITE,
            repeatable=True,
        )
        if not isinstance(made, dict) or not isinstance(made.get("id"), int):
            # 202: GitHub merged a branch instead, which `auto_merge: false` rules out.
            raise Inconclusive(f"Could not record {record.sha[:12]} in {record.environment}: GitHub made no Deployment.")
        return int(made["id"])

    def status(self, deployment: int, state: str, description: str, *, log_url: str = "", environment_url: str = "") -> None:
        """Sets the state that people see: `in_progress`, `success`, `failure`, `error` or `inactive`."""
        self.github.send(
            "POST",
            f"{self._path}/{deployment}/statuses",
            f"set the deployment {deployment} to {state}",
            {
                "state": state,
                "description": shortened(visible(description), _DESCRIPTION),
                "log_url": log_url,
                "environment_url": environment_url,
                # With several apps in one repository, the success of one must not make the other's look replaced.
                "auto_inactive": self.app == self.github.repository,
            },
            needs=WRITE,
            repeatable=True,
        )

    def orphans(self, history: History) -> Iterator[Record]:
        """Deploys that were started and never ended, newest first: their run was lost.

        Each start closes what it finds, so behind two that ended there is nothing to look for.
        """
        ended = 0
        for record in [each for each in history.records if each.task is Task.DEPLOY][:_ORPHANS_LOOKED_AT]:
            if self._state(record.id) in _UNFINISHED:
                ended = 0
                yield record
            else:
                ended += 1
                if ended == _ENDED_IN_A_ROW:
                    return

    def _state(self, deployment: int) -> str:
        """The newest status of a Deployment; empty when it has none."""
        statuses = self.github.get(
            f"{self._path}/{deployment}/statuses", f"read the statuses of deployment {deployment}", needs=READ, per_page=1
        )
        newest = statuses[0] if isinstance(statuses, list) and statuses else {}
        return str(newest.get("state", "")) if isinstance(newest, dict) else ""

    @property
    def _path(self) -> str:
        return f"{self.github.repo}/deployments"

    def _page(self, pages: Iterator[Any], environment: str) -> tuple[list[Record], int]:
        page: Any = next(pages, [])
        return list(self._ours(page, environment)), len(page)

    def _ours(self, page: Any, environment: str) -> Iterator[Record]:
        if not isinstance(page, list):
            raise Inconclusive("Could not list the deployments: GitHub's answer is no list.")
        for deployment in page:
            try:
                record = read(deployment)
            except NotARecord as reason:
                self._tell_of(deployment, reason)
                continue
            if (record.app, record.environment) == (self.app, environment):
                yield record

    def _tell_of(self, deployment: Any, reason: NotARecord) -> None:
        task = deployment.get("task") if isinstance(deployment, dict) else ""
        if isinstance(task, str) and task.startswith("cicd-actions:"):
            self.github.runtime.log(f"The deployment {deployment.get('id')} is passed over: {reason}.")

    def _by_task(self, environment: str, known: list[Record], enough: Enough) -> History:
        streams = [
            _Stream(task, self.github.pages(self._path, _LIST, needs=READ, environment=environment, task=task.value))
            for task in Task
        ]
        while True:
            unread = [stream for stream in streams if not stream.done]
            if not unread:
                return History.of([*known, *(record for stream in streams for record in stream.records)])
            # Only what is newer than the oldest record read of each task is a history without gaps.
            floor = max(stream.lowest for stream in unread)
            whole = [record for stream in streams for record in stream.records if record.id >= floor]
            so_far = History.of([*known, *whole], complete=False)
            if all(stream.asked for stream in streams) and enough(so_far):
                return so_far
            behind = max(unread, key=lambda stream: (not stream.asked, stream.lowest))
            page = next(behind.pages, None)
            behind.asked = True
            if page is None or not page:
                behind.done = True
                continue
            behind.records += self._ours(page, environment)
            behind.lowest = min((each["id"] for each in page if isinstance(each, dict)), default=0)
            # A deploy carries no verdict: old ones matter to nobody.
            behind.done = len(page) < 100 or behind.task is Task.DEPLOY


_LIST = "list the deployments"


@dataclass
class _Stream:
    """The pages of one task, and how far they were read. `lowest` is the lowest id read of it."""

    task: Task
    pages: Iterator[Any]
    records: list[Record] = field(default_factory=list)
    lowest: float = float("inf")
    asked: bool = False
    done: bool = False


def _described(record: Record) -> str:
    words = {Task.PASSED: "passed its gate", Task.QUARANTINED: "failed its gate", Task.DEPLOY: "deploying"}
    what = f"{record.app} {record.sha[:12]} {words[record.task]}"
    return shortened(visible(what if record.kind == "release" else f"{what} ({record.kind})"), _DESCRIPTION)
