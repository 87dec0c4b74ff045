"""Tells which new revisions were proven without rows: where a table refuses the generated ones, and old code's INSERT."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cicd_actions.verify_migrations.replay import Refused, Statement
from cicd_actions.verify_migrations.rows import Unfilled
from cicd_actions.verify_migrations.segments import Segment

_MOST = 20
"""Revisions that one line names."""


@dataclass(frozen=True)
class Gap:
    """What one table's refusal leaves unproven, and the revisions that touch the table. `insert`: it has rows, and refuses
    only the row that the running release would write."""

    table: str
    reason: str
    revisions: tuple[str, ...]
    insert: bool

    @property
    def sentence(self) -> str:
        """One line for people."""
        who = listed(self.revisions)
        if self.insert:
            return f"The running release's INSERT into {self.table} was not tried for {who}: {self.reason}."
        return f"{who} ran without rows of {self.table}: {self.reason}. Add rows with `seed-sql` or `seed-command`."

    @property
    def short(self) -> str:
        """The same beside a revision."""
        return f"INSERT into {self.table} not tried" if self.insert else f"no rows of {self.table}"


def gaps(
    unfilled: Sequence[Unfilled],
    refused: Mapping[Statement, Refused],
    segments: Sequence[Segment],
    *,
    unseen: bool,
) -> list[Gap]:
    """Returns each table once. `refused`: old code's statements that failed on the base's schema. `unseen`: the database does
    not tell which tables a revision touched, so all count."""
    empty = {each.oid: Gap(each.table, each.reason.rstrip("."), (), insert=False) for each in unfilled}
    for statement, why in refused.items():
        if statement.kind == "INSERT":
            label = statement.need.table.removeprefix("public.").removeprefix("main.")
            empty.setdefault(statement.need.oid, Gap(label, why.message.rstrip("."), (), insert=True))
    touching = [set(empty)] * len(segments) if unseen else list(touched(segments))
    found = []
    for oid, gap in empty.items():
        revisions = tuple(part.revision for part, tables in zip(segments, touching, strict=True) if oid in tables)
        if revisions:
            found.append(Gap(gap.table, gap.reason, revisions, gap.insert))
    return found


def touched(segments: Sequence[Segment]) -> Iterator[set[str]]:
    """Yields the oids of the tables that each revision locked, read, wrote or changed."""
    xid, locks, stats, totals = "", dict[str, Any](), dict[str, Any](), dict[str, Any]()
    for segment in segments:
        old, new = segment.before["tables"] or {}, segment.after["tables"] or {}
        found = {oid for oid in {*old, *new} if old.get(oid) != new.get(oid)}
        for entry in segment.entries + ([segment.end] if segment.end else []):
            same = bool(xid) and entry.xid == xid
            # What a revision before it in the same transaction holds and counted is not this one's.
            found |= _locked(entry.locks, locks if same else {}) | _counted(entry.stats, stats if same else {})
        for statement in segment.statements:
            seen = statement.get("seen")
            if seen:
                held = locks if xid and seen["xid"] == xid else {}
                found |= _locked(seen["locks"], held) | _counted(seen["totals"], totals)
                totals = seen["totals"]
        if segment.end:
            xid, locks, stats = segment.end.xid, dict(segment.end.locks), dict(segment.end.stats)
        yield found


def _locked(now: Mapping[str, Any], before: Mapping[str, Any]) -> set[str]:
    return {oid for oid, modes in now.items() if set(modes) - set(before.get(oid, ()))}


def _counted(now: Mapping[str, Any], before: Mapping[str, Any]) -> set[str]:
    return {oid for oid, counts in now.items() if counts != before.get(oid)}


def listed(revisions: Sequence[str]) -> str:
    """Returns the revisions for people."""
    shown = ", ".join(revisions[:_MOST])
    return f"{shown} and {len(revisions) - _MOST} more" if len(revisions) > _MOST else shown
