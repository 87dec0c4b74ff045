"""What the records of an app in an environment say together: last good, what is quarantined, what came since."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cicd_actions.github.release_record import Record, Task

Identity = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class History:
    """Records of one app and environment, newest (highest id) first.

    `complete` is false when older ones exist that were not read; everything newer than the oldest record here is here.
    """

    records: tuple[Record, ...] = ()
    complete: bool = True

    @classmethod
    def of(cls, records: Iterable[Record], *, complete: bool = True) -> History:
        """In any order, with repetitions (a page read while another record was written)."""
        by_id = {record.id: record for record in records}
        return cls(tuple(by_id[key] for key in sorted(by_id, reverse=True)), complete)

    @property
    def outcomes(self) -> tuple[Record, ...]:
        """The records with a verdict: passed and quarantined."""
        return tuple(record for record in self.records if record.task is not Task.DEPLOY)

    def quarantined_by(self, services: Identity) -> Record | None:
        """The record that quarantines exactly this release; `None` when its newest verdict is a pass, or it has none."""
        newest = next((record for record in self.outcomes if record.identity == services), None)
        return newest if newest is not None and newest.task is Task.QUARANTINED else None

    def good(self) -> list[Record]:
        """The passed releases that are not quarantined, each once, newest first."""
        seen: set[tuple[str, Identity]] = set()
        found: list[Record] = []
        state: dict[Identity, Task] = {}
        for record in self.outcomes:
            # Newest first: what a release's newest record says is what holds.
            state.setdefault(record.identity, record.task)
            key = (record.sha, record.identity)
            if record.task is Task.PASSED and state[record.identity] is Task.PASSED and key not in seen:
                seen.add(key)
                found.append(record)
        return found

    def last_good(self, *, not_sha: str = "", not_services: Identity | None = None) -> Record | None:
        """The newest good release that is neither of this commit nor made of exactly these images."""
        for record in self.good():
            if record.sha != not_sha and record.identity != not_services:
                return record
        return None

    def of_sha(self, sha: str) -> list[Record]:
        """The records with a verdict on a commit, newest first."""
        return [record for record in self.outcomes if record.sha == sha]

    def since(self, record: Record) -> list[Record]:
        """The records with a verdict that are newer than `record`, oldest first."""
        return [each for each in reversed(self.outcomes) if each.id > record.id]

    def database(self) -> tuple[str, ...]:
        """The database's revisions by the newest record; empty when the records cannot know.

        They cannot after a deploy on which no verdict was recorded: it may have migrated before it was cancelled or lost.
        """
        return self.records[0].schema if self.records else ()


def phases(records: Iterable[Record]) -> Mapping[str, str]:
    """What the records say of each migration: its phase by its revision."""
    return {each.revision: each.phase for record in records for each in record.revisions if each.phase}
