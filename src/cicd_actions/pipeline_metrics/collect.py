"""Collects the facts of one repository from GitHub, within a budget of requests, from where the last collection ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cicd_actions.github.client import GitHub, segment
from cicd_actions.github.commits import CONTENTS
from cicd_actions.github.errors import NotFound, Permission
from cicd_actions.github.proof import RUNS, Proofs, TooManyRuns, Trust, Unproven
from cicd_actions.github.records import READ
from cicd_actions.github.release_record import NotARecord, Record, Task, read
from cicd_actions.pipeline_metrics.facts import DAY, Changes, Facts, Job, Pull, Release, Run, by_environment, seconds
from cicd_actions.pipeline_metrics.listed import as_listed, committed, read_job, read_name, read_run, written
from cicd_actions.pipeline_metrics.requests import Budget, Requests, Spent
from cicd_actions.pipeline_metrics.walk import MOST_PAGES, PAGE, Slice, Walk, subtracted
from cicd_actions.toolkit.errors import ActionError, Inconclusive, UnusableInput
from cicd_actions.toolkit.grammar import is_whole
from cicd_actions.toolkit.json_values import members, objects

PULLS = Permission("Pull requests", "read", job="pull-requests")

RERUN_DAYS = 30
"""A run can be run again up to 30 days after it was created:
https://docs.github.com/actions/how-tos/manage-workflow-runs/re-run-workflows-and-jobs"""

OVERLAP = 3 * DAY
"""Seconds before the newest known run from which the next collection starts: most runs are run again within them."""

KEPT_DAYS = 400
"""Days after which a store forgets: GitHub itself keeps runs 400 days at most."""

JOB_PAGES = 3


@dataclass(frozen=True)
class Wanted:
    """What is collected: the time in seconds since 1970, the details, and what proves a record."""

    since: int
    now: int
    environment: str
    details: str
    people: bool
    trust: Trust


@dataclass
class Collection:
    """One collection of one repository. `left_out` says what is missing, one sentence each; `problem` ended it early."""

    github: GitHub
    facts: Facts
    wanted: Wanted
    budget: Budget
    news: set[int] = field(default_factory=set)
    """The runs that are new or changed."""
    left_out: list[str] = field(default_factory=list)
    problem: ActionError | None = None
    _again: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self._ask = Requests(self.github, self.budget, self.facts.marks)

    def basics(self) -> None:
        """Collects runs, records and pull requests. What was collected stays in `facts` when it ends early.

        Raises `UnusableInput` for a token that GitHub does not accept.
        """
        facts = self.facts
        if facts.until and self.wanted.since < facts.since:
            # Older ones are wanted than before: lists that did not change are read again.
            for key in set(facts.marks) - {"id"}:
                del facts.marks[key]
            self._again = True
        for what, work in (("runs", self._runs), ("records", self._releases), ("pull requests", self._pulls)):
            self._part(what, work)
        facts.drop_before(min(self.wanted.since, self.wanted.now - KEPT_DAYS * DAY))
        if facts.gaps:
            oldest, newest = min(low for low, _ in facts.gaps), max(high for _, high in facts.gaps)
            self.left_out.append(f"some runs between {_day(oldest)} and {_day(newest)}")

    def details(self) -> None:
        """Collects the commits between releases and the jobs, as `basics` does."""
        self._part("commits between releases", self._changes)
        if self.wanted.details != "none":
            self._part("jobs", self._jobs)

    def _part(self, what: str, work: Callable[[], None]) -> None:
        """Does one part. What is missing for it does not stop the others."""
        try:
            if not self.github.deadline.expired:
                work()
        except Spent:
            self.left_out.append(f"{what}: `request-budget` is used up")
        except UnusableInput:
            raise
        except ActionError as error:
            self.left_out.append(f"{what}: {error.what}")
            self.problem = self.problem or error

    # -- runs

    def _runs(self) -> None:
        facts, wanted = self.facts, self.wanted
        newest = max((run.created for run in facts.runs.values()), default=0)
        if not facts.until:
            facts.since, facts.until, facts.gaps = wanted.since, wanted.now, [(wanted.since, wanted.now)]
        else:
            self._head(max(newest - OVERLAP, facts.since))
            if wanted.since < facts.since:
                facts.gaps.append((wanted.since, facts.since - 1))
                facts.since = wanted.since
            facts.until = wanted.now
            self._recheck()
        for low, high in sorted(facts.gaps, reverse=True):
            self._walk(Slice(low, high))

    def _head(self, since: int) -> None:
        """Reads what is newer than `since` until a page has nothing new; one conditional request when nothing is new."""
        facts, before = self.facts, self.facts.until
        # Until it has been walked, the time since the last collection is a gap.
        page, number, gaps = self._page(Slice(since), 1), 1, facts.gaps
        facts.gaps = [*gaps, (before, self.wanted.now)]
        while self._keep(page) and len(page) == PAGE:
            if number == MOST_PAGES:
                # The rest is read by time, as every gap is.
                oldest = min(run.created for run in page)
                facts.gaps = [*gaps, (since, oldest)]
                return
            number += 1
            page = self._page(Slice(since), number)
        facts.gaps = gaps

    def _walk(self, part: Slice) -> None:
        facts = self.facts
        walk = Walk(part, self._page)
        try:
            for page in walk.pages():
                self._keep(page)
        finally:
            if walk.reached is not None:
                facts.gaps = subtracted(facts.gaps, walk.reached, part.until or 0)
        if walk.crowded:
            self.left_out.append(f"GitHub shows a thousand of the runs that were created at {written(walk.crowded)}")

    def _recheck(self) -> None:
        """Reads old runs again that may have been run again: those that had not ended, and one page of the others in turn."""
        facts, marks = self.facts, self.facts.marks
        oldest = self.wanted.now - RERUN_DAYS * DAY
        newest = max((run.created for run in facts.runs.values()), default=0)
        old = sorted(run.created for run in facts.runs.values() if oldest <= run.created < newest - OVERLAP)
        if not old or self.budget.left < 1:
            return
        parts = [(chunk[0], chunk[-1]) for chunk in (old[at : at + 90] for at in range(0, len(old), 90))]
        open_ = [run.created for run in facts.runs.values() if not run.completed]
        waiting = [part for part in parts if any(part[0] <= time <= part[1] for time in open_)]
        turn = int(marks.get("recheck", 0))
        following = next((part for part in parts if part[0] > turn), parts[0])
        marks["recheck"] = following[0]
        for low, high in list(dict.fromkeys([*waiting[:3], following])):
            self._keep(self._page(Slice(low, high), 1))

    def _page(self, span: Slice, number: int) -> list[Run]:
        until = f"..{written(span.until)}" if span.until is not None else ""
        query: dict[str, str | int] = {"created": f"{'' if until else '>='}{written(span.since)}{until}", "per_page": PAGE}
        if number > 1:
            query["page"] = number
        path, what = f"{self.github.repo}/actions/runs", "list the runs"
        if not until and number == 1:
            # The first page of what is new is the one that often did not change.
            found = self._ask.changed("runs", path, what, RUNS, query)
        else:
            found = self._ask.get(path, what, RUNS, query)
        return self._read_runs(found) if found is not None else []

    def _read_runs(self, found: Any) -> list[Run]:
        listed = members(found).get("workflow_runs")
        if not isinstance(listed, list):
            raise Inconclusive("Could not list the runs: GitHub's answer holds no list of runs.")
        runs = []
        for each in objects(listed):
            if isinstance(each.get("id"), int):
                runs.append(read_run(each))
                home = members(each.get("repository")).get("id")
                if isinstance(home, int):
                    self.facts.marks["id"] = home
        return runs

    def _keep(self, page: Sequence[Run]) -> bool:
        """Keeps the runs and returns whether any of them is news."""
        fresh = [run for run in page if self.facts.runs.get(run.id) != run]
        for run in fresh:
            self.facts.runs[run.id] = run
            self.news.add(run.id)
        return bool(fresh)

    # -- records

    def _releases(self) -> None:
        facts = self.facts
        path, what = f"{self.github.repo}/deployments", "list the deployments"
        page = self._ask.changed("deployments", path, what, READ, {"per_page": PAGE})
        if page is None:
            return
        known = 0 if self._again else max(facts.releases, default=0)
        found = self._records(page)
        if len(page) == PAGE and not _reaches(page, known, self.facts.since):
            # Other tools' Deployments fill the page: ours are asked for alone.
            for task in (Task.PASSED, Task.QUARANTINED):
                found += self._by_task(path, what, task, known)
        self._prove(found, known)

    def _by_task(self, path: str, what: str, task: Task, known: int) -> list[tuple[Mapping[str, Any], Record]]:
        found: list[tuple[Mapping[str, Any], Record]] = []
        number = 1
        while True:
            page = self._ask.get(path, what, READ, {"task": task.value, "per_page": PAGE, "page": number})
            found += self._records(page)
            if len(page) < PAGE or _reaches(page, known, self.facts.since):
                return found
            number += 1

    def _records(self, page: Any) -> list[tuple[Mapping[str, Any], Record]]:
        if not isinstance(page, list):
            raise Inconclusive("Could not list the deployments: GitHub's answer is not a list.")
        found = []
        for each in page:
            try:
                record = read(each)
            except NotARecord:
                continue
            if record.judged and seconds(each.get("created_at")) >= self.facts.since:
                found.append((each, record))
        return found

    def _prove(self, found: Sequence[tuple[Mapping[str, Any], Record]], known: int) -> None:
        named = {record.run.id for _, record in found}
        runs = {str(number): as_listed(run) for number, run in self.facts.runs.items() if str(number) in named}
        trust = replace(self.wanted.trust, repository=str(self.facts.marks.get("id", self.wanted.trust.repository)))
        proofs = Proofs(self.github, trust, runs)
        unproven = 0
        for deployment, record in sorted(found, key=lambda each: -each[1].id):
            if record.id in self.facts.releases:
                continue
            try:
                proofs.of(deployment, record)
            except TooManyRuns as error:
                self.left_out.append(error.what)
                self.facts.marks.get("etags", {}).pop("deployments", None)
                break
            except Unproven as reason:
                unproven += record.id > known
                self.github.runtime.log(f"The record {record.id} does not count: {reason}.")
                continue
            self.facts.releases[record.id] = Release(
                record.id,
                seconds(deployment.get("created_at")),
                record.task is Task.PASSED,
                record.kind,
                record.app,
                record.environment,
                record.sha,
                int(record.run.id) if is_whole(record.run.id) else 0,
            )
        if unproven:
            self.left_out.append(f"{unproven} records do not count, because their writer is not proven")

    # -- pull requests

    def _pulls(self) -> None:
        facts, path = self.facts, f"{self.github.repo}/pulls"
        query: dict[str, str | int] = {"state": "closed", "sort": "updated", "direction": "desc", "per_page": PAGE}
        known = int(facts.marks.get("pulls", 0))
        people = bool(facts.marks.get("people"))
        if self.wanted.people and not people:
            # Authors were not kept until now: what is known is read again.
            facts.marks.get("etags", {}).pop("pulls", None)
            known = 0
        if not self.wanted.people:
            facts.without_people()
        page = self._ask.changed("pulls", path, "list the pull requests", PULLS, query)
        number, newest = 1, known
        while page is not None:
            if not isinstance(page, list):
                raise Inconclusive("Could not list the pull requests: GitHub's answer is not a list.")
            updated = [seconds(each.get("updated_at")) for each in objects(page)]
            for each in objects(page):
                if pull := self._pull(each):
                    facts.pulls[pull.number] = pull
            newest = max([newest, *updated])
            if len(page) < PAGE or min(updated, default=0) < max(known, facts.since):
                break
            number += 1
            page = self._ask.get(path, "list the pull requests", PULLS, {**query, "page": number})
        facts.marks["pulls"], facts.marks["people"] = newest, self.wanted.people

    def _pull(self, found: Mapping[str, Any]) -> Pull | None:
        merged = seconds(found.get("merged_at"))
        if not merged or merged < self.facts.since or not isinstance(found.get("number"), int):
            return None
        user = members(found.get("user"))
        bot = user.get("type") == "Bot"
        author = read_name(user.get("login")) if self.wanted.people and not bot else ""
        return Pull(found["number"], seconds(found.get("created_at")), merged, bot, author)

    # -- commits between releases

    def _changes(self) -> None:
        missing = []
        for releases in by_environment(self.facts.releases.values(), self.wanted.environment).values():
            missing += [pair for pair in pairs(releases) if pair not in self.facts.changes]
        for number, (base, head) in enumerate(reversed(missing)):
            if self.budget.left < 1:
                self.left_out.append(f"the commits of {len(missing) - number} releases: `request-budget` is used up")
                return
            self.facts.changes[base, head] = self._compared(base, head)

    def _compared(self, base: str, head: str) -> Changes:
        what = f"compare {base[:12]} with {head[:12]}"
        path = f"{self.github.repo}/compare/{segment(base)}...{segment(head)}"
        try:
            found = self._ask.get(path, what, CONTENTS, {"per_page": PAGE})
        except NotFound:
            # A missing permission and a commit that a rewritten history lost answer alike; the release's own tells them apart.
            self._ask.get(
                f"{self.github.repo}/commits/{segment(head)}", f"read the commit {head[:12]}", CONTENTS, {"per_page": 1}
            )
            return Changes(base, head, 0, ())
        times = [committed(each) for each in objects(members(found).get("commits"))]
        total = members(found).get("total_commits")
        return Changes(base, head, total if isinstance(total, int) else len(times), tuple(time for time in times if time))

    # -- jobs

    def _jobs(self) -> None:
        facts = self.facts

        def wanted(run: Run) -> bool:
            again = run.good is False or run.attempt > 1
            known = max((job.attempt for job in facts.jobs.get(run.id, ())), default=0)
            return run.completed and known < run.attempt and (again or self.wanted.details == "all")

        missing = sorted((run for run in facts.runs.values() if wanted(run)), key=lambda run: -run.created)
        for number, run in enumerate(missing):
            if self.budget.left < 1:
                self.left_out.append(f"the jobs of {len(missing) - number} runs: `request-budget` is used up")
                return
            facts.jobs[run.id] = self._jobs_of(run)

    def _jobs_of(self, run: Run) -> list[Job]:
        path, what = f"{self.github.repo}/actions/runs/{run.id}/jobs", f"list the jobs of run {run.id}"
        found: list[Job] = []
        for number in range(1, JOB_PAGES + 1):
            query: dict[str, str | int] = {"filter": "all", "per_page": PAGE}
            if number > 1:
                query["page"] = number
            page = self._ask.get(path, what, RUNS, query)
            listed = members(page).get("jobs")
            if not isinstance(listed, list):
                raise Inconclusive(f"Could not {what}: GitHub's answer holds no list of jobs.")
            found += [read_job(run, each) for each in objects(listed) if isinstance(each.get("id"), int)]
            if len(listed) < PAGE:
                break
        else:
            self.left_out.append(f"run {run.id} has more than {JOB_PAGES * PAGE} jobs, of which the first were read")
        # An attempt lists the jobs that it did not run again, with their old times.
        own = {(job.name, job.started, job.completed): job for job in sorted(found, key=lambda job: -job.attempt)}
        jobs = sorted(own.values(), key=lambda job: (job.attempt, job.id))
        # A run without jobs (its file is not valid) is known too.
        return jobs or [Job(run.id, run.attempt, 0, "", "", 0, 0, 0, "skipped", ())]


def pairs(releases: Sequence[Release]) -> Iterator[tuple[str, str]]:
    """Yields what ran before and what was released, for each release that passed and was not a rollback, oldest first."""
    before = ""
    for each in releases:
        if each.passed:
            if each.kind == "release" and before and before != each.sha:
                yield before, each.sha
            before = each.sha


def _reaches(page: Sequence[Any], known: int, since: int) -> bool:
    """Whether a page of Deployments, newest first, reaches what is known, or what is too old."""
    last = page[-1] if page and isinstance(page[-1], dict) else {}
    number = last.get("id")
    return not isinstance(number, int) or number <= known or seconds(last.get("created_at")) < since


def _day(time: int) -> str:
    return written(time)[:10]
