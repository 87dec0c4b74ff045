"""Reads records from GitHub's Deployments in one request, and writes them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cicd_actions.github.client import GitHub
from cicd_actions.github.errors import Permission
from cicd_actions.github.history import History
from cicd_actions.github.kept_pages import KeptPages
from cicd_actions.github.proof import Proofs, TooManyRuns, Trust, Unproven
from cicd_actions.github.release_record import NotARecord, Record, Task, described, now, read, time_of
from cicd_actions.toolkit.errors import Inconclusive
from cicd_actions.toolkit.json_values import objects
from cicd_actions.toolkit.printable import shortened, visible

READ = Permission("Deployments", "read", job="deployments")
WRITE = Permission("Deployments", "write", job="deployments")

DESCRIPTION = 110
"""Characters; what `shortened` adds to them stays below the 140 that GitHub takes:
https://docs.github.com/rest/deployments/statuses#create-a-deployment-status"""

Enough = Callable[[History], bool]
"""Says whether the records read so far are enough."""


@dataclass
class Records:
    """The records of one app, in any environment of its repository. `app` is empty where the repository is the app."""

    github: GitHub
    app: str
    trust: Trust
    proofs: Proofs = field(init=False)
    _proven: dict[int, Record | None] = field(default_factory=dict, init=False, repr=False)
    _passed_over: dict[int, str] = field(default_factory=dict, init=False, repr=False)
    _apps: set[str] = field(default_factory=set, init=False, repr=False)
    _locks: dict[str, dict[int, _Found]] = field(default_factory=dict, init=False, repr=False)
    _read: dict[str, bool] = field(default_factory=dict, init=False, repr=False)
    """The environments whose newest Deployments were read, and whether no older one can be a lock."""

    def __post_init__(self) -> None:
        self.proofs = Proofs(self.github, self.trust)

    @property
    def name(self) -> str:
        """Returns the app's name in a record that is written now."""
        return self.app or self.github.repository

    def within(self, github: GitHub) -> Records:
        """Returns the same records over another client, which may have another deadline."""
        return Records(github, self.app, self.trust)

    def history(self, environment: str, enough: Enough, usable: Enough | None = None, *, or_kept: bool = False) -> History:
        """Returns the newest proven records, until `enough`. Raises what `GitHub` raises.

        One request (see `_newest_page`), and one for each workflow run that has to prove a record (`proof.MOST_RUNS` at most,
        none with a key).
        Where more than a hundred other Deployments (other tools', other apps') are newer than what is sought, our tasks are
        asked for one by one. Of the deploys, the newest hundred are read at most. `usable` tells whether the records of the
        first page will do where older ones would only add to them. Neither is asked of records that need older ones to count.
        `or_kept` takes the page that an earlier step of this job read where GitHub does not answer: a lock or a release since
        then is not in it.
        """
        found: list[_Found] = []
        complete = answered = True
        for spelling in _spellings(environment):
            page, fresh = self._newest_page(spelling, or_kept=or_kept)
            found += self._ours(page, environment)
            complete, answered = complete and len(page) < PAGE, answered and fresh
        self._read[environment.lower()] = complete
        usable = usable or enough
        history = self._prove(found, enough, usable, complete=complete)
        if history.conclusive and (enough(history) or usable(history)):
            return history
        if complete and not answered:
            return history
        if complete:
            found += self._spelled_otherwise(environment)
            return self._prove(found, enough, usable, complete=True)
        return self._by_task(environment, found, enough)

    def _newest_page(self, environment: str, *, or_kept: bool) -> tuple[list[Any], bool]:
        """Returns the newest hundred Deployments, and whether GitHub answered: else an earlier step of this job read them.

        Only signed records are taken from there: the proof of others asks GitHub.
        """
        if not self.trust.key:
            return self.page(environment=environment), True
        return KeptPages(self.github).newest(
            self._path, environment, lambda github: self.within(github).page(environment=environment), or_kept=or_kept
        )

    def page(self, **which: Any) -> list[Any]:
        """Returns the newest hundred of these Deployments: one request. Raises `Inconclusive` for what is not a list."""
        return _listed(next(self.github.pages(self._path, _LIST, needs=READ, **which)))

    def _spelled_otherwise(self, environment: str) -> Iterator[_Found]:
        """Yields records of this environment in any case: two requests, made only where nothing else was found."""
        for task in (Task.PASSED, Task.QUARANTINED):
            yield from self._ours(self.page(task=task.value), environment)

    def of_sha(self, environment: str, sha: str) -> History:
        """Returns everything recorded on one commit in an environment; one request, and those for its proofs."""
        found: list[_Found] = []
        complete = True
        for spelling in _spellings(environment):
            page = self.page(environment=spelling, sha=sha)
            found += self._ours(page, environment)
            complete = complete and len(page) < PAGE
        return self._prove(found, _never, _never, complete=complete)

    def environments(self) -> list[str]:
        """Returns the environments that the newest Deployments of this app name: one request, and nothing is proven."""
        found: set[str] = set()
        for deployment in self.page():
            try:
                record = read(deployment)
            except NotARecord:
                continue
            if self._is_ours(record):
                found.add(record.environment)
        return sorted(found)

    def lock(self, environment: str) -> Record | None:
        """Returns the newest proven lock or unlock of an environment; `None` where there is none.

        It costs no request (without a key, one for its run) when the environment's history was read before and less than a
        hundred Deployments are newer than the lock; else one, and one more for each hundred locks that are not proven.
        """
        found = self._newest_lock(environment, {"lock", "unlock"})
        return found.record if found else None

    def announced(self, environment: str) -> tuple[Record, float] | None:
        """Returns the newest proven announcement of a rollback and when GitHub created it, in seconds since 1970.

        It costs what `lock` costs, and nothing more after that.
        """
        found = self._newest_lock(environment, {"rollback"})
        return (found.record, time_of(found.deployment.get("created_at")) or 0.0) if found else None

    def _newest_lock(self, environment: str, kinds: Collection[str]) -> _Found | None:
        key = environment.lower()

        def newest() -> _Found | None:
            known = sorted(self._locks.get(key, {}).values(), key=_newest)
            return next((each for each in known if each.record.kind in kinds and self._proved(each) is not None), None)

        found = newest() if key in self._read else None
        if found is not None or self._read.get(key):
            return found
        # Not the first page alone: a hundred Deployments that are not proven could hide a lock.
        for page in map(_listed, self.github.pages(self._path, _LIST, needs=READ, environment=key, task=Task.LOCK.value)):
            list(self._ours(page, environment))
            self._read[key] = len(page) < PAGE
            if found := newest():
                break
        return found

    def proofs_of(self, environment: str, most: int, sha: str = "") -> list[tuple[Record, str, bool]]:
        """Returns the newest records with a verdict, what proves each or why it does not count, and whether it counts.

        They are those of one commit where `sha` is given. The newest that passed is among them, however old it is.
        """
        found: list[_Found] = []
        of = {"sha": sha} if sha else {}
        for spelling in _spellings(environment):
            for task in (Task.PASSED, Task.QUARANTINED):
                found += self._ours(self.page(environment=spelling, task=task.value, **of), environment)
        ordered = sorted(found, key=_newest)
        passed = [each for each in ordered if each.record.task is Task.PASSED][:1]
        shown = ordered[:most]
        return [(each.record, *self._proof(each)) for each in shown + [each for each in passed if each not in shown]]

    def _proof(self, found: _Found) -> tuple[str, bool]:
        try:
            return self.proofs.of(found.deployment, found.record), True
        except Unproven as reason:
            return str(reason), False

    def write(self, record: Record) -> int:
        """Creates the Deployment of a record and returns its id. Raises `Inconclusive` for a lock that will not count.

        It sends the request again after a lost answer: two equal records say the same as one. Each attempt is signed with its
        own time, since a signed time that differs from GitHub's counts as a copy.
        """

        def body() -> dict[str, Any]:
            return {
                "ref": record.sha,
                "task": record.task.value,
                # GitHub would otherwise merge the default branch into the ref, and refuse while a check is red or runs.
                "auto_merge": False,
                "required_contexts": [],
                "payload": self.trust.signed(replace(record, at=now())),
                # GitHub takes names of environments in any case for the same, but filters Deployments by the exact text.
                "environment": record.environment.lower(),
                "description": shortened(visible(described(record)), DESCRIPTION),
            }

        made = self.github.send(
            "POST",
            self._path,
            f"record {record.sha[:12]} in {record.environment}",
            body,
            needs=WRITE,
            repeatable=True,
        )
        if not isinstance(made, dict) or not isinstance(made.get("id"), int):
            # 202: GitHub merged a branch instead, which `auto_merge: false` rules out.
            raise Inconclusive(f"Could not record {record.sha[:12]} in {record.environment}: GitHub made no Deployment.")
        self._foresee(made)
        return int(made["id"])

    def _foresee(self, made: dict[str, Any]) -> None:
        """Warns of a record that was written and will not count. Raises `Inconclusive` for a lock or an adopted release."""
        try:
            record = read(made)
        except NotARecord:
            return
        reason = self.proofs.of_this_run(made, record)
        if not reason:
            return
        said = f"The record {record.id} of {record.sha[:12]} in {record.environment} will not count: {reason}."
        if record.task is not Task.LOCK and record.kind != "adopt":
            self.github.runtime.command("warning", said)
            return
        raise Inconclusive(
            said,
            cause="A record counts only when its writer is proven.",
            fix="Correct this runner's clock."
            if self.trust.key
            else "Use the job's own token, on the default branch:\n\n    with:\n      github-token: ${{ github.token }}\n\n"
            "Or sign the records, here and in the deploys:\n\n    with:\n      record-key: RECORD_KEY",
        )

    @property
    def _path(self) -> str:
        return f"{self.github.repo}/deployments"

    def _ours(self, page: Any, environment: str) -> Iterator[_Found]:
        """Yields the records of this app on a page. Its locks say nothing of releases, and are kept apart for `lock`."""
        for deployment in _listed(page):
            try:
                record = read(deployment)
            except NotARecord as reason:
                self._pass_over(deployment, reason)
                continue
            if record.environment.lower() != environment.lower():
                continue
            if self._is_ours(record) and record.task is Task.LOCK:
                self._locks.setdefault(environment.lower(), {})[record.id] = _Found(record, deployment)
            elif self._is_ours(record):
                yield _Found(record, deployment)
            elif record.task is not Task.LOCK:
                self._apps.add(record.app)

    def _is_ours(self, record: Record) -> bool:
        # GitHub keeps Deployments with their repository, so the name it had then is still the same repository.
        renamed = self.name == self.github.repository and record.app == record.run.repository
        return record.app == self.name or renamed

    def _prove(self, found: list[_Found], enough: Enough, usable: Enough, *, complete: bool) -> History:
        """Proves records newest first, until `enough`, and returns them.

        Where they name too many workflow runs, those proven so far will do if they are `usable`.
        """
        proven: list[Record] = []

        def so_far(*, whole: bool) -> History:
            over = [self._passed_over[number] for number in sorted(self._passed_over, reverse=True)]
            return History.of(proven, complete=whole, apps=self._apps, passed_over=over)

        for each in sorted(found, key=_newest):
            try:
                record = self._proved(each)
            except TooManyRuns:
                if (history := so_far(whole=False)).conclusive and usable(history):
                    return history
                raise
            if record is None:
                continue
            proven.append(record)
            if self.trust.key and len(proven) & (len(proven) - 1):
                continue  # a signature costs no request: thousands of records are judged at 1, 2, 4, 8 of them, and all
            if enough(history := so_far(whole=False)) and history.conclusive:
                return history
        return so_far(whole=complete)

    def _proved(self, found: _Found) -> Record | None:
        number = found.record.id
        if number not in self._proven:
            try:
                self.proofs.of(found.deployment, found.record)
                self._proven[number] = found.record
            except Unproven as reason:
                self._proven[number] = None
                self._pass_over(found.deployment, reason)
        return self._proven[number]

    def _pass_over(self, deployment: Any, reason: NotARecord) -> None:
        if not isinstance(deployment, dict):
            return
        task, number = deployment.get("task"), deployment.get("id")
        if isinstance(task, str) and task.startswith("cicd-actions:") and isinstance(number, int):
            if number not in self._passed_over:
                self.github.runtime.log(f"The record {number} does not count: {reason}.")
            self._passed_over[number] = f"record {number}: {reason}"

    def _by_task(self, environment: str, known: list[_Found], enough: Enough) -> History:
        streams = [
            _Stream(task, self.github.pages(self._path, _LIST, needs=READ, environment=spelling, task=task.value))
            for task in (Task.PASSED, Task.QUARANTINED, Task.DEPLOY)
            for spelling in _spellings(environment)
        ]
        while True:
            unread = [stream for stream in streams if not stream.done]
            if not unread:
                every = [each for stream in streams for each in stream.found]
                return self._prove([*known, *every], enough, enough, complete=True)
            # Only what is newer than the oldest record read of each task is a history without gaps.
            floor = max(stream.lowest for stream in unread)
            if all(stream.asked for stream in streams):
                whole = [each for stream in streams for each in stream.found if each.record.id >= floor]
                so_far = self._prove([*known, *whole], enough, enough, complete=False)
                if so_far.conclusive and enough(so_far):
                    return so_far
            behind = max(unread, key=lambda stream: (not stream.asked, stream.lowest))
            page = _listed(next(behind.pages, []))
            behind.asked = True
            behind.found += self._ours(page, environment)
            numbers = (each.get("id") for each in objects(page))
            behind.lowest = min((number for number in numbers if isinstance(number, int)), default=behind.lowest)
            # A deploy carries no verdict: old ones matter to nothing.
            behind.done = len(page) < PAGE or behind.task is Task.DEPLOY


PAGE = 100
_LIST = "list the deployments"


@dataclass(frozen=True)
class _Found:
    """A record, and the Deployment that it was read from."""

    record: Record
    deployment: Mapping[str, Any]


@dataclass
class _Stream:
    """The pages of one task, and how far they were read. `lowest` is the lowest id read of it."""

    task: Task
    pages: Iterator[Any]
    found: list[_Found] = field(default_factory=list)
    lowest: float = float("inf")
    asked: bool = False
    done: bool = False


def _listed(page: Any) -> list[Any]:
    """Returns a page as a list. Raises `Inconclusive`."""
    if not isinstance(page, list):
        raise Inconclusive("Could not list the deployments: GitHub's answer is not a list.")
    return page


def _never(_: History) -> bool:
    return False


def _newest(found: _Found) -> int:
    return -found.record.id


def _spellings(environment: str) -> list[str]:
    """Returns the spellings to ask for: GitHub matches text, and names of environments are the same in any case."""
    return list(dict.fromkeys((environment.lower(), environment)))
