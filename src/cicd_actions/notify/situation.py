"""Reads what a message has to say: what happened since when, what changed, whom to ask, and where to look."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from cicd_actions.github import contents
from cicd_actions.github.client import GitHub, segment
from cicd_actions.github.commits import CONTENTS
from cicd_actions.github.errors import NotFound
from cicd_actions.github.history import History
from cicd_actions.github.proof import Trust
from cicd_actions.github.records import Records
from cicd_actions.github.release_record import Record, Run, is_sha, lock_in_full, time_of, written
from cicd_actions.notify import changes, owners
from cicd_actions.notify.changes import Before, Runs
from cicd_actions.notify.inputs import Inputs
from cicd_actions.notify.message import WORDS, Message
from cicd_actions.notify.payloads import cut
from cicd_actions.toolkit.errors import ActionError
from cicd_actions.toolkit.json_values import members, objects
from cicd_actions.toolkit.printable import visible
from cicd_actions.toolkit.runtime import Runtime

LONGEST = {"title": 200, "lead": 500, "evidence": 1500, "fact": 300, "command": 500}
"""Characters of each part of a message."""

_COMMITS, _OWNERS = 3, 5
"""Commits and owners that a message names."""

_BROKEN = {"failed", "inconclusive"}

_T = TypeVar("_T")


@dataclass
class Situation:
    """What happened in one run. It reads from GitHub what a message needs, and does without what it may not read."""

    inputs: Inputs
    runtime: Runtime
    github: GitHub | None = field(init=False)
    run: Run = field(init=False)

    def __post_init__(self) -> None:
        variables = self.runtime.variables
        repository, token = variables.get("GITHUB_REPOSITORY", ""), self.inputs.github_token
        deadline = self.runtime.deadline(self.inputs.timeout / 2)  # the other half is for sending
        self.github = GitHub(token, repository, self.runtime, deadline, attempts=2) if repository and token else None
        self.run = Run.of(variables)
        self.repository = repository
        self.sha = self.inputs.sha or variables.get("GITHUB_SHA", "")
        self.page = f"{variables.get('GITHUB_SERVER_URL', 'https://github.com').rstrip('/')}/{repository}" if repository else ""
        self.previous = self.inputs.previous_sha
        self._jobs: list[dict[str, Any]] | None = None

    def message(self) -> Message | None:
        """Returns the message; `None` where nothing changed."""
        event, lock, before = self.inputs.event, None, None
        if event in {"locked", "refused"}:
            lock = self._lock()
            event = "locked" if lock is not None else event
            silent = self.inputs.on_change_only and not self._first_refusal(event, lock)
            return None if silent else self._written(event, lock, None)
        if event != "waiting":
            before, fault = self._before()
            told = changes.news(event, fault, before)
            if not told and self.inputs.on_change_only:
                return None
            event = told or event
        return self._written(event, lock, before)

    def _tried(self, read: Callable[[GitHub], _T], otherwise: _T) -> _T:
        """Returns what is read; on failure logs why and returns something else: a message with less is better than none."""
        if self.github is None:
            return otherwise
        try:
            return read(self.github)
        except ActionError as error:
            self.runtime.log(f"{error.what} The notification does without it.")
            return otherwise

    def _records(self, github: GitHub) -> Records:
        return Records(github, self.inputs.app, Trust.of(self.inputs, self.runtime))

    def _runs(self, github: GitHub) -> Runs:
        variables = self.runtime.variables
        path = variables.get("GITHUB_WORKFLOW_REF", "").partition("@")[0].partition("/.github/")[2]
        return Runs(github, self.run.id, variables.get("GITHUB_REF_NAME", ""), f".github/{path}" if path else "")

    def _lock(self) -> Record | None:
        if not self.inputs.environment:
            return None
        lock = self._tried(lambda github: self._records(github).lock(self.inputs.environment), None)
        return lock if lock is not None and lock.locks(time.time()) else None

    def _first_refusal(self, event: str, lock: Record | None) -> bool:
        if lock is not None:
            return not self._tried(lambda github: self._runs(github).refused_since(lock.at), otherwise=False)
        before = self._tried(lambda github: self._runs(github).before(), None)
        return bool(changes.news(event, changes.failing(self._own_jobs()), before))

    def _before(self) -> tuple[Before | None, str]:
        """Returns what was before, by the records or else by the runs, and the fault of this run in the same terms."""
        nothing: Before | None = None
        if self.inputs.environment:
            found = self._tried(
                lambda github: changes.recorded(self._records(github), self.inputs.environment, self.run), nothing
            )
            if found is not None:
                return found, changes.fault_of(self.runtime.redactor(self.inputs.reason))
        found = self._tried(lambda github: self._runs(github).before(), nothing)
        failed = self.inputs.event != "passed" and found is not None and found.state != "passed"
        return found, changes.failing(self._own_jobs()) if failed else ""

    def _own_jobs(self) -> list[dict[str, Any]]:
        """Returns the jobs of this run, which is under way."""
        if self._jobs is None:
            nothing: list[dict[str, Any]] = []
            self._jobs = self._tried(lambda github: self._runs(github).jobs(self.run.id) if self.run.id else nothing, nothing)
        return self._jobs

    def _text(self, text: str, part: str) -> str:
        """Returns text from outside as one line without secrets."""
        return cut(visible(" ".join(self.runtime.redactor(text).split())), LONGEST[part])

    def _written(self, event: str, lock: Record | None, before: Before | None) -> Message:
        inputs = self.inputs
        where = f" in {inputs.environment}" if inputs.environment else ""
        subject = " ".join(
            word for word in ("Commit", self.sha[:12], f"of {self.repository}" if self.repository else "") if word
        )
        self.previous = inputs.previous_sha or self._last_good()
        back = event == "rolled-back" and self.previous
        lead = f"{subject}{where} {f'was rolled back to {self.previous[:12]}' if back else WORDS[event]}."
        if event == "locked":
            lead = f"{inputs.environment or 'The environment'} is locked, so {subject} is not deployed."
        evidence = inputs.reason or (lock_in_full(lock) if lock else "")
        comparison = self._comparison()
        return Message(
            event,
            self._text(f"{self.repository or 'The deploy'}{where} {WORDS[event]}", "title"),
            self._text(lead, "lead"),
            cut(visible(self.runtime.redactor(evidence).strip()), LONGEST["evidence"]),
            tuple((name, self._text(text, "fact")) for name, text in self._facts(event, lock, before, comparison) if text),
            tuple((name, self.runtime.redactor(url)) for name, url in self._links(event) if url),
            self._text(self._command(), "command") if event in _BROKEN else "",
            "/".join(part for part in (self.repository, inputs.app, inputs.environment) if part),
        )

    def _last_good(self) -> str:
        """Returns the commit of the last good release that is not this one; empty where none is recorded."""
        environment = self.inputs.environment

        def read(github: GitHub) -> str:
            history = self._records(github).history(environment, lambda found: self._good(found) != "")
            return self._good(history)

        return self._tried(read, "") if environment else ""

    def _good(self, history: History) -> str:
        return next((each.sha for each in history.good() if each.sha != self.sha), "")

    def _comparison(self) -> dict[str, Any]:
        """Returns what changed since the commit before, as GitHub compares: its commits and its first 300 files."""
        base, head = self.previous, self.sha
        if not (is_sha(base) and is_sha(head)) or base == head:
            return {}
        path = f"/compare/{segment(base)}...{segment(head)}"

        def read(github: GitHub) -> Any:
            return github.get(f"{github.repo}{path}", f"compare {base[:12]} with {head[:12]}", needs=CONTENTS, per_page=100)

        return members(self._tried(read, None))

    def _facts(
        self, event: str, lock: Record | None, before: Before | None, comparison: dict[str, Any]
    ) -> list[tuple[str, str]]:
        since = lock.at if lock is not None else before.since if before is not None else ""
        if event in _BROKEN and before is not None and before.state == "passed":
            since = written(time.time())
        return [
            ("Failing since" if event != "locked" else "Locked since", _since(since)),
            ("Commits", _commits(comparison)),
            ("Ask", ", ".join(self._owners(comparison))),
            ("Started by", self.run.actor),
        ]

    def _owners(self, comparison: dict[str, Any]) -> list[str]:
        """Returns the owners of the paths that changed, by CODEOWNERS at the commit that is deployed."""
        paths = [str(each.get("filename", "")) for each in objects(comparison.get("files"))]
        if not paths:
            return []
        found = owners.of_paths(self._tried(self._codeowners, ""), paths)
        more = [f"{len(found) - _OWNERS} more"] if len(found) > _OWNERS else []
        return found[:_OWNERS] + more

    def _codeowners(self, github: GitHub) -> str:
        for place in owners.PLACES:
            try:
                return contents.text(github, place, self.sha)
            except NotFound:
                continue
        return ""

    def _links(self, event: str) -> list[tuple[str, str]]:
        inputs, page = self.inputs, self.page
        compared = is_sha(self.previous) and is_sha(self.sha) and self.previous != self.sha
        return [
            ("Review", self.run.url) if event == "waiting" else ("Logs", self._logs()),
            ("Changes", f"{page}/compare/{self.previous}...{self.sha}" if page and compared else ""),
            ("Roll back", inputs.rollback_url if event in _BROKEN else ""),
            ("Runbook", inputs.runbook),
            ("Record", f"{page}/deployments/{quote(inputs.environment, safe='')}" if page and inputs.environment else ""),
        ]

    def _logs(self) -> str:
        """Returns the page of this job at the step that failed; of the run where the job is not known."""
        if not self.run.url:
            return ""
        for job in self._own_jobs():
            mine = job.get("status") == "in_progress" and job.get("runner_name") == self.runtime.variables.get("RUNNER_NAME")
            url = str(job.get("html_url") or "")
            if mine and url.startswith(self.page):
                steps = objects(job.get("steps"))
                failed = next((each.get("number") for each in steps if each.get("conclusion") == "failure"), None)
                return f"{url}#step:{failed}:1" if isinstance(failed, int) else url
        return self.run.url

    def _command(self) -> str:
        """Returns the command that starts the rollback workflow with its inputs; empty without one."""
        found = re.fullmatch(r"(?P<page>https?://[^?#]+)/actions/workflows/(?P<name>[^/?#]+)", self.inputs.rollback_url)
        if not found:
            return ""
        url = urlsplit(found["page"])
        repository = url.path.strip("/") if url.netloc == "github.com" else f"{url.netloc}{url.path}"
        ordinary = {"environment": self.inputs.environment, "to-sha": self.previous, "dry-run": "false"}
        given = self.inputs.rollback_inputs or tuple(f"{name}={value}" for name, value in ordinary.items() if value)
        return shlex.join(
            ["gh", "workflow", "run", found["name"], "-R", repository, *(part for each in given for part in ("-f", each))]
        )


def _since(moment: str) -> str:
    start = time_of(moment)
    if start is None:
        return ""
    minutes = max(int(time.time() - start) // 60, 0)
    lasted = f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
    return f"{moment[:16].replace('T', ' ')} UTC ({lasted})"


def _commits(comparison: dict[str, Any]) -> str:
    """Returns how many commits there are, and the newest ones with their authors."""
    listed = objects(comparison.get("commits"))
    said = []
    for each in listed[: -_COMMITS - 1 : -1]:
        inner = members(each.get("commit"))
        author = members(inner.get("author"))
        said.append(f"{str(inner.get('message') or '').partition(chr(10))[0][:70]} ({author.get('name') or 'unknown'})")
    counted = comparison.get("total_commits")
    total = counted if isinstance(counted, int) and counted > len(said) else len(listed)
    more = ", …" if total > len(said) else ""
    return f"{total}: {', '.join(said)}{more}" if said else ""
