"""What a migration does to the traffic, decided from what the server and the client recorded, not from a statement's text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cicd_actions.toolkit.findings import Severity
from cicd_actions.verify_migrations.catalog import Catalog, called, root
from cicd_actions.verify_migrations.rows import is_version_table
from cicd_actions.verify_migrations.rules import Trouble
from cicd_actions.verify_migrations.segments import Segment
from cicd_actions.verify_migrations.trace import Entry

MODES = (
    *("AccessShareLock", "RowShareLock", "RowExclusiveLock", "ShareUpdateExclusiveLock", "ShareLock", "ShareRowExclusiveLock"),
    *("ExclusiveLock", "AccessExclusiveLock"),
)
"""From the weakest to the strongest: https://www.postgresql.org/docs/current/explicit-locking.html"""

_BLOCKS_WRITES = MODES.index("ShareLock")
_CHANGES = ("whole-table-update", "backfill-under-lock")
_SCANS, _READ, _INSERTED, _UPDATED, _DELETED = range(5)
_WHOLE = 0.5
"""The share of a table's rows from which a change counts as one of the whole table."""

_FEW = 10
"""Rows of a table below which reading half of it is not a scan."""

_NOTHING: Mapping[str, Any] = {"vx": "", "at": 0, "locks": {}, "totals": {}}
"""The state before the first statement."""


@dataclass(frozen=True)
class Counts:
    """The rows of each table at base and at the end, by oid."""

    before: Mapping[str, int]
    after: Mapping[str, int]


def troubles(segments: list[Segment], base: Catalog, counts: Counts) -> list[Trouble]:
    """Returns what the run did to tables that were there at base."""
    found: list[Trouble] = []
    last: Mapping[str, Any] = _NOTHING
    for segment in segments:
        found += _Judge(segment, base, counts, last).all()
        last = next((each["seen"] for each in reversed(segment.statements) if each.get("seen")), last)
    found += _rows_deleted(segments, base, counts, found)
    first: dict[tuple[str, str, str], Trouble] = {}
    for each in found:
        once_a_run = each.rule == "no-lock-timeout"
        first.setdefault((each.rule, "" if once_a_run else each.revision, each.place), each)
    return list(first.values())


def strongest(segment: Segment, base: Catalog) -> dict[str, str]:
    """Returns the strongest lock that the revision held on each table that was there at base."""
    found: dict[str, int] = {}
    states = [(entry.locks, entry.start.get("locks") or {}) for entry in segment.entries]
    states += [(statement["seen"]["locks"], {}) for statement in segment.statements if statement.get("seen")]
    for locks, _ in states:
        for oid, modes in locks.items():
            if oid in base["tables"] and not is_version_table(base["tables"][oid]):
                found[oid] = max([found.get(oid, 0), *(MODES.index(mode) for mode in modes if mode in MODES)])
    return {called(base["tables"][oid]): MODES[mode] for oid, mode in sorted(found.items())}


def invalid_before(before: Catalog, after: Catalog) -> list[Trouble]:
    """Returns the indexes that were invalid at base and still are."""
    return [
        Trouble(
            "invalid-index",
            f"the index {one['name']} of {called(table)} was invalid before, and still is",
            place=called(table),
            severity=Severity.WARNING,
        )
        for oid, table in (before["tables"] or {}).items()
        for index, one in (table["indexes"] or {}).items()
        if not one["valid"]
        and table["kind"] != "p"
        and not ((after["tables"].get(oid) or {}).get("indexes") or {}).get(index, {"valid": True})["valid"]
    ]


class _Judge:
    def __init__(self, segment: Segment, base: Catalog, counts: Counts, last: Mapping[str, Any]) -> None:
        self._segment = segment
        self._last = last
        self._tables: Mapping[str, Any] = {
            oid: table for oid, table in (base["tables"] or {}).items() if not is_version_table(table)
        }
        self._base = base
        self._counts = counts
        self._rewritten = {str(each["oid"]) for entry in segment.entries if entry.kind == "rewrite" for each in entry.objects}

    def all(self) -> Iterator[Trouble]:
        for entry in self._segment.entries:
            if entry.kind == "rewrite":
                yield from self._rewrite(entry)
            elif entry.kind == "ddl" and entry.vx == entry.start.get("vx"):
                yield from self._scan(entry)
            elif entry.kind == "drop":
                yield from self._index_dropped(entry)
        yield from self._files()
        yield from self._rows_changed()
        yield from self._exclusive()
        yield from self._explicit()
        yield from self._swallowed()
        yield from self._invalid()
        yield from self._no_timeout()
        yield from self._plans()

    def _trouble(self, rule: str, what: str, oid: str = "", entry: Entry | None = None) -> Trouble:
        file, line = self._segment.place(entry)
        return Trouble(rule, what, self._segment.revision, self._name(oid) if oid else "", file, line)

    def _name(self, oid: str) -> str:
        return called(self._tables[oid])

    def _there(self, oid: str) -> bool:
        return (
            oid in self._tables
            and oid in (self._segment.after["tables"] or {})
            and self._tables[oid]["kind"] in {"r", "p", "m"}
        )

    def _rewrite(self, entry: Entry) -> Iterator[Trouble]:
        for each in entry.objects:
            oid = str(each["oid"])
            if self._there(oid):
                yield self._trouble("table-rewrite", f"{entry.tag} rewrites {self._name(oid)}", oid, entry)

    def _scan(self, entry: Entry) -> Iterator[Trouble]:
        before = entry.start.get("stats") or {}
        for oid, now in entry.stats.items():
            scanned = now[_SCANS] > (before.get(oid) or [0])[_SCANS]
            modes = entry.locks.get(oid, ())
            if not scanned or oid in self._rewritten or not self._there(oid) or not self._blocked(modes):
                continue
            if self._tables[oid]["kind"] == "m" and "AccessExclusiveLock" not in modes:
                continue  # only a refresh writes to a materialized view: reads go on
            mode = max(entry.locks[oid], key=MODES.index)
            new = self._new_constraints(oid)
            if entry.tag == "CREATE INDEX" or any(each["type"] in "pux" for each in new):
                yield self._trouble(
                    "blocking-index", f"{entry.tag} builds an index on {self._name(oid)} under {mode}", oid, entry
                )
            elif any(each["type"] in "cf" and each["valid"] for each in new) or self._is_target(oid):
                yield self._trouble(
                    "constraint-validated", f"{entry.tag} checks every row of {self._name(oid)} under {mode}", oid, entry
                )
            else:
                yield self._trouble(
                    "scan-under-lock", f"{entry.tag} reads every row of {self._name(oid)} under {mode}", oid, entry
                )

    @staticmethod
    def _blocked(modes: Any) -> bool:
        return any(MODES.index(mode) >= _BLOCKS_WRITES for mode in modes if mode in MODES)

    def _new_constraints(self, oid: str) -> list[Mapping[str, Any]]:
        old = (self._segment.before["tables"].get(oid) or {}).get("constraints") or {}
        new = (self._segment.after["tables"].get(oid) or {}).get("constraints") or {}
        return [one for name, one in new.items() if name not in old or old[name]["valid"] != one["valid"]]

    def _is_target(self, oid: str) -> bool:
        return any(
            one["type"] == "f" and one["target"] == oid
            for other in (self._segment.after["tables"] or {})
            for one in self._new_constraints(other)
        )

    def _index_dropped(self, entry: Entry) -> Iterator[Trouble]:
        end = next((each for each in self._segment.entries if each.kind == "ddl" and each.n > entry.n), None)
        if entry.tag != "DROP INDEX" or end is None or end.vx != end.start.get("vx"):
            return
        gone = {str(each["oid"]) for each in entry.objects if each["type"] == "index"}
        for oid, table in self._tables.items():
            if self._there(oid) and gone & set(table["indexes"] or ()):
                yield self._trouble("blocking-index-drop", f"DROP INDEX locks {self._name(oid)}", oid, entry)

    def _files(self) -> Iterator[Trouble]:
        """A new file without the event is VACUUM FULL, CLUSTER or a move. An index's alone is REINDEX."""
        for oid in self._tables:
            old, new = self._segment.before["tables"].get(oid), self._segment.after["tables"].get(oid)
            if not old or not new or oid in self._rewritten:
                continue
            if old["file"] != new["file"]:
                if self._counts.after.get(oid, 0) or not self._counts.before.get(oid, 0):
                    yield self._trouble("table-rewrite", f"the file of {self._name(oid)} is written again", oid)
                continue
            for index, one in (old["indexes"] or {}).items():
                again = (new["indexes"] or {}).get(index)
                if again and again["file"] != one["file"]:
                    yield self._trouble("blocking-reindex", f"the index {one['name']} of {self._name(oid)} is built again", oid)

    def _rows_changed(self) -> Iterator[Trouble]:
        """What each statement, and each transaction, read and changed. `totals` count all sessions since the run began."""
        sent = [each for each in self._segment.statements if each.get("seen")]
        repeated = Counter((each["file"], each["line"]) for each in sent if not each["seen"]["xid"])
        before, changed = self._last, Counter[str]()
        for statement in sent:
            seen, place = statement["seen"], (statement["file"], statement["line"])
            within = seen["vx"] == before["vx"]
            if not within:
                changed = Counter()
            # A loop that sends a statement again and again works in batches.
            alone = within or seen["xid"] or repeated[place] == 1
            for oid, (read, all_) in seen["totals"].items():
                was_read, was_changed = before["totals"].get(oid, (0, 0))
                rows = max(all_ - was_changed, 0)
                most, parts = seen["parts"].get(oid) or (0, 0)
                if rows and most and parts <= _transactions(before, seen):
                    rows = most
                changed[oid] += rows
                if oid not in self._tables:
                    continue
                if alone and rows and self._whole(oid, changed[oid]):
                    yield self._changed(oid, changed[oid], self._exclusively(seen["locks"]), *place)
                elif within and not rows and self._counts.before.get(oid, 0) >= _FEW and self._whole(oid, read - was_read):
                    yield from self._read_locked(before, seen, oid, place)
            before = seen
        if not self._segment.statements and self._segment.end is not None:
            # Without the client's report: what the revision's last transaction did.
            for oid, now in self._segment.end.stats.items():
                if oid in self._tables and self._whole(oid, now[_UPDATED] + now[_DELETED]):
                    yield self._changed(oid, now[_UPDATED] + now[_DELETED], self._exclusively(self._segment.end.locks), "", 0)

    def _read_locked(
        self, before: Mapping[str, Any], seen: Mapping[str, Any], oid: str, place: tuple[str, int]
    ) -> Iterator[Trouble]:
        modes = [mode for mode in before["locks"].get(oid, ()) if self._blocked([mode])]
        recorded = any(before["at"] < entry.n <= seen["at"] for entry in self._segment.entries)
        if modes and not recorded and self._there(oid):
            what = f"a statement reads every row of {self._name(oid)} under {max(modes, key=MODES.index)}"
            yield Trouble("scan-under-lock", what, self._segment.revision, self._name(oid), *place)

    def _changed(self, oid: str, rows: int, locked: str, file: str, line: int) -> Trouble:
        rule = "backfill-under-lock" if locked else "whole-table-update"
        under = f" while {locked} is locked" if locked else ""
        what = f"{rows} of {self._counts.before.get(oid, 0)} rows of {self._name(oid)} change in one transaction{under}"
        return Trouble(rule, what, self._segment.revision, self._name(oid), file, line)

    def _whole(self, oid: str, rows: int) -> bool:
        all_ = self._counts.before.get(oid, 0)
        return all_ > 0 and rows >= all_ * _WHOLE

    def _exclusively(self, locks: Mapping[str, Any]) -> str:
        return next((self._name(oid) for oid, modes in locks.items() if oid in self._tables and self._blocked(modes)), "")

    def _exclusive(self) -> Iterator[Trouble]:
        held: dict[str, set[str]] = {}
        for entry in self._segment.entries:
            if entry.kind == "ddl" and entry.vx == entry.start.get("vx"):
                mine = {root(self._base, oid) for oid, modes in entry.locks.items() if "AccessExclusiveLock" in modes}
                held.setdefault(entry.xid, set()).update(oid for oid in mine if self._relation(oid))
        for tables in held.values():
            if len(tables) > 1:
                listed = ", ".join(sorted(map(self._name, tables)))
                yield self._trouble("several-exclusive-locks", f"one transaction locks {listed}")
                return

    def _relation(self, oid: str) -> bool:
        return oid in self._tables and self._tables[oid]["kind"] in {"r", "p", "m"}

    def _explicit(self) -> Iterator[Trouble]:
        """A lock that a statement took without a command that the server records. DML takes none that blocks writes, and what
        writes files again has other rules."""
        before = self._last
        for statement in self._segment.statements:
            seen = statement.get("seen")
            if not seen:
                continue
            recorded = any(before["at"] < entry.n <= seen["at"] for entry in self._segment.entries)
            held = before["locks"] if before["vx"] == seen["vx"] else {}
            for oid, modes in seen["locks"].items():
                more = set(modes) - set(held.get(oid, ()))
                if not recorded and self._blocked(more) and self._relation(oid) and not self._written_again(oid):
                    yield self._locked(statement, oid, more)
            before = seen

    def _written_again(self, oid: str) -> bool:
        old, new = self._segment.before["tables"].get(oid), self._segment.after["tables"].get(oid)
        return old is not None and (new is None or _all_files(old) != _all_files(new))

    def _locked(self, statement: Mapping[str, Any], oid: str, modes: set[str]) -> Trouble:
        what = f"a statement takes {max(modes, key=MODES.index)} on {self._name(oid)}"
        return Trouble("explicit-lock", what, self._segment.revision, self._name(oid), statement["file"], statement["line"])

    def _swallowed(self) -> Iterator[Trouble]:
        for statement in self._segment.statements:
            if "error" in statement and self._segment.end is not None:
                what = f"a statement failed ({statement['error']}), and the revision went on"
                yield Trouble("error-swallowed", what, self._segment.revision, "", statement["file"], statement["line"])

    def _invalid(self) -> Iterator[Trouble]:
        for oid, table in (self._segment.after["tables"] or {}).items():
            for index, one in (table["indexes"] or {}).items():
                old = ((self._segment.before["tables"].get(oid) or {}).get("indexes") or {}).get(index)
                if not one["valid"] and table["kind"] != "p" and (old is None or old["valid"]):
                    what = f"the index {one['name']} of {called(table)} is invalid"
                    yield Trouble("invalid-index", what, self._segment.revision, called(table))

    def _no_timeout(self) -> Iterator[Trouble]:
        for entry in self._segment.entries:
            if entry.kind == "ddl" and entry.lock_timeout == "0":
                locked = [oid for oid, modes in entry.locks.items() if "AccessExclusiveLock" in modes and self._relation(oid)]
                if locked:
                    what = f"{entry.tag} waits for {self._name(locked[0])} without a `lock_timeout`"
                    yield self._trouble("no-lock-timeout", what, "", entry)
                    return

    def _plans(self) -> Iterator[Trouble]:
        for oid in self._tables:
            old, new = self._segment.before["tables"].get(oid), self._segment.after["tables"].get(oid)
            if old and new and _shape(old) != _shape(new):
                yield self._trouble("cached-plans", f"the columns of {self._name(oid)} change", oid)


def _all_files(table: Mapping[str, Any]) -> list[Any]:
    return [table["file"], *(one["file"] for _, one in sorted((table["indexes"] or {}).items()))]


def _shape(table: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    return sorted((at, column["name"], column["type"]) for at, column in (table["columns"] or {}).items())


def _transactions(before: Mapping[str, Any], seen: Mapping[str, Any]) -> int:
    """Returns how many transactions the session began since the last statement: a block or a procedure may commit inside."""
    backend, _, number = seen["vx"].partition("/")
    earlier, _, last = before["vx"].partition("/")
    return int(number) - (int(last) if backend == earlier else 0)


def _rows_deleted(segments: list[Segment], base: Catalog, counts: Counts, found: list[Trouble]) -> Iterator[Trouble]:
    for oid, rows in counts.before.items():
        if not rows or counts.after.get(oid) != 0:
            continue
        table = base["tables"][oid]
        label = called(table)
        deleted = [each.revision for each in found if each.rule in _CHANGES and each.place == label]
        emptied = [each.revision for each in segments if _file(each.after, oid) != table["file"]]
        yield Trouble("rows-deleted", f"every row of {label} is gone", next(iter([*deleted, *emptied]), ""), label)


def _file(catalog: Catalog, oid: str) -> Any:
    return ((catalog["tables"] or {}).get(oid) or {}).get("file")
