"""Tells what the records of an app in an environment say together: which releases are good, and what was deployed since."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from cicd_actions.github.release_record import ABANDONED, Record, Task, marked

Identity = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Release:
    """What ran after a record was written: `sources` has for each service the record that brought its image.

    A record of a part is laid over the good release before it, service by service. `record` is the newest source.
    """

    record: Record
    sources: Mapping[str, Record]

    @property
    def sha(self) -> str:
        return self.record.sha

    @property
    def services(self) -> dict[str, str]:
        """Returns the image of each service, as its record names it."""
        return {service: record.services[service] for service, record in self.sources.items()}

    @property
    def identity(self) -> Identity:
        """Returns the digest of each service, else its opaque id. Two builds of one commit have two identities."""
        return frozenset((service, marked(record.services[service])) for service, record in self.sources.items())

    def runs_in(self, running: Identity) -> bool:
        """Tells whether each service of the release runs with exactly its image."""
        return bool(self.sources) and self.identity <= running

    def parts(self) -> list[Record]:
        """Returns one record for each commit, with its own images alone, the oldest first: none mixes commits."""
        ordered = sorted(self.sources.items(), key=lambda item: item[1].id)
        by_commit: dict[str, tuple[Record, dict[str, str]]] = {}
        for service, record in ordered:
            images = by_commit.pop(record.sha, (record, {}))[1]
            by_commit[record.sha] = (record, {**images, service: record.services[service]})
        return [replace(record, services=images) for record, images in by_commit.values()]


@dataclass(frozen=True)
class History:
    """Records of one app and environment, newest (highest id) first.

    `complete` is false when older ones exist that were not read; everything newer than the oldest record here is here. An
    adopted release counts only in a complete history: it has to be the first.
    `apps` are the other apps with records in this environment; `passed_over` says which records do not count, and why.
    """

    records: tuple[Record, ...] = ()
    complete: bool = True
    apps: frozenset[str] = frozenset()
    passed_over: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        records: Iterable[Record],
        *,
        complete: bool = True,
        apps: Iterable[str] = (),
        passed_over: Iterable[str] = (),
    ) -> History:
        """Takes records in any order, with repetitions (a page read while another record was written)."""
        by_id = {record.id: record for record in records}
        ordered = tuple(by_id[key] for key in sorted(by_id, reverse=True))
        return cls(ordered, complete, frozenset(apps), tuple(passed_over))

    @property
    def conclusive(self) -> bool:
        """Returns whether unread older records change nothing here: a rollback's record counts by an older one."""
        standing = _Standing((), complete=self.complete)
        for record in reversed(self.outcomes):
            standing.add(record)
        return self.complete or not standing.unresolved

    @property
    def outcomes(self) -> tuple[Record, ...]:
        """Returns the records with a verdict: passed and quarantined."""
        return tuple(record for record in self.records if record.judged)

    @property
    def abandoned(self) -> frozenset[int]:
        """Returns the ids of the deploys whose stage was abandoned, and of the records that say so: nothing of them runs."""
        ended = {each.deployment or each.id for each in self.records if each.task is Task.DEPLOY and each.kind == ABANDONED}
        deploys = (each for each in self.records if each.task is Task.DEPLOY)
        return frozenset(each.id for each in deploys if each.id in ended or each.deployment in ended)

    def good(self, services: Collection[str] = ()) -> list[Release]:
        """Returns the passed releases that are not quarantined, each once, newest first; of `services` alone where given."""
        standing = _Standing(services, complete=self.complete)
        for record in reversed(self.outcomes):
            standing.add(record)
        seen: set[tuple[str, Identity]] = set()
        found: list[Release] = []
        for release in reversed(standing.passed):
            key = (release.sha, release.identity)
            if standing.is_good(release) and key not in seen:
                seen.add(key)
                found.append(release)
        return found

    def deploys(self, services: Collection[str] = ()) -> list[Release]:
        """Returns what each deploy brought, or meant to bring, newest first: neither rollbacks nor abandoned stages."""
        standing = _Standing(services, complete=self.complete)
        found = []
        for record in self._brought():
            release = standing.add(record)
            if release is not None and record.kind != "rollback":
                found.append(release)
        return found[::-1]

    def rolled_back_to(self, services: Collection[str] = ()) -> Identity | None:
        """Returns what the newest record says a rollback brought; `None` when the newest record is not of a rollback."""
        standing = _Standing(services, complete=self.complete)
        newest, release = None, None
        for record in self._brought():
            newest, release = record, standing.add(record)
        return release.identity if newest is not None and newest.kind == "rollback" and release is not None else None

    def _brought(self) -> list[Record]:
        """Returns the records that may say what runs, oldest first."""
        abandoned = self.abandoned
        return [each for each in reversed(self.records) if each.id not in abandoned]

    def unnamed(self, services: Collection[str]) -> Record | None:
        """Returns the newest passed record that names none of these services."""
        return next(
            (each for each in self.outcomes if each.task is Task.PASSED and not set(each.services) & set(services)), None
        )

    def of_sha(self, sha: str) -> list[Record]:
        """Returns the records with a verdict on a commit, newest first."""
        return [record for record in self.outcomes if record.sha == sha]

    def since(self, record: Record) -> list[Record]:
        """Returns the records with a verdict that are newer than `record`, oldest first."""
        return [each for each in reversed(self.outcomes) if each.id > record.id]

    def unjudged(self, services: Collection[str] = ()) -> Record | None:
        """Returns the newest deploy without a verdict, of any of `services` where given.

        It was inconclusive, cancelled or lost, and may have moved something.

        A run that is started again deploys again, so the verdict on its first attempt says nothing about the second. One run
        may deploy several services, each by itself.
        """
        judged = {record.deployment for record in self.outcomes} | self.abandoned
        attempts = {(record.identity, record.run.id, record.run.attempt) for record in self.outcomes if record.run.id}
        for record in self.records:
            known = record.id in judged or (record.identity, record.run.id, record.run.attempt) in attempts
            asked = not services or not record.services or bool(set(services) & set(record.services))
            if record.task is Task.DEPLOY and record.kind != "rollback" and asked and not known:
                return record
        return None

    def database(self) -> tuple[str, ...]:
        """Returns the database's revisions by the newest record; empty when the records cannot know.

        They cannot after a deploy without a verdict: it may have migrated before it was cancelled or lost.
        """
        return self.records[0].schema if self.records else ()


class _Standing:
    """The releases of records that are added oldest first, and the newest verdict on each identity.

    `unresolved` says whether a rollback's record went to a release that none of them made.
    """

    def __init__(self, services: Collection[str], *, complete: bool) -> None:
        self._services = services
        self._complete = complete
        self.unresolved = False
        self.passed: list[Release] = []
        self._verdicts: dict[Identity, Task] = {}

    def is_good(self, release: Release) -> bool:
        return self._verdicts[release.identity] is Task.PASSED

    def add(self, record: Record) -> Release | None:
        """Returns what ran after this record; `None` for one that does not count or names no service that is asked about."""
        own = {service: record for service in record.services if not self._services or service in self._services}
        if not own:
            return None
        base = next((each for each in reversed(self.passed) if self.is_good(each)), None)
        release = Release(record, {**(base.sources if base else {}), **own})
        if record.task is Task.PASSED:
            if not self._may_pass(record, own):
                return None
            self.passed.append(release)
        if record.judged:
            self._verdicts[release.identity] = record.task
        return release

    def _may_pass(self, record: Record, own: Collection[str]) -> bool:
        """A rollback's record is held to the records of what it rolled back to, an adopted release to being the first."""
        if record.kind == "adopt":
            return self._complete and not self.passed
        if record.kind != "rollback":
            return True
        known = {
            (source.sha, service, marked(source.services[service]))
            for old in self.passed
            for service, source in old.sources.items()
        }
        found = all((record.sha, service, marked(record.services[service])) in known for service in own)
        self.unresolved = self.unresolved or not found
        return found


def phases(records: Iterable[Record]) -> Mapping[str, str]:
    """Returns what the records say of each migration: its phase by its revision."""
    return {each.revision: each.phase for record in records for each in record.revisions if each.phase}
