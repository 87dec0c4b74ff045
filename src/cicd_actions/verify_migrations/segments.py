"""Cuts what the server and the client recorded into revisions, at the writes to the version table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cicd_actions.verify_migrations.catalog import Catalog
from cicd_actions.verify_migrations.trace import Entry


@dataclass
class Segment:
    """One revision's part of the run. `statements` are the client's reports, `before` and `after` the catalog around it."""

    revision: str
    before: Catalog = field(repr=False)
    after: Catalog = field(repr=False)
    entries: list[Entry] = field(default_factory=list)
    statements: list[Mapping[str, Any]] = field(default_factory=list)
    end: Entry | None = None

    def place(self, entry: Entry | None) -> tuple[str, int]:
        """Returns the file and line of the statement that a line of the log came from; an empty file where they are unknown."""
        at = 0
        for statement in self.statements:
            seen = statement.get("seen")
            if seen and entry is not None and at < entry.n <= seen["at"]:
                return str(statement["file"]), int(statement["line"])
            at = seen["at"] if seen else at
        if len({(each["file"], each["line"]) for each in self.statements if each["file"]}) == 1:
            first = next(each for each in self.statements if each["file"])
            return str(first["file"]), int(first["line"])
        return "", 0


def cut(entries: Iterable[Entry], base: Catalog, last: Catalog, statements: Sequence[Mapping[str, Any]]) -> list[Segment]:
    """Returns the segments in the order of the run. `last` is the catalog at the end. What no version table closes is one
    segment without a revision."""
    found: list[Segment] = []
    seen: set[str] = set()
    open_: list[Entry] = []
    before = base
    for entry in entries:
        if entry.kind != "revision":
            open_.append(entry)
            continue
        versions = [version(row) for row in entry.objects]
        new = [version for version in versions if version and version not in seen]
        seen |= set(versions)
        if entry.catalog is None:
            continue
        if not new and found:  # a merge deletes the other heads after it
            found[-1].entries += open_
            found[-1].after, before, open_ = entry.catalog, entry.catalog, []
        elif new:
            found.append(Segment(new[-1], before, entry.catalog, open_, end=entry))
            before, open_ = entry.catalog, []
    if open_ or not found:
        found.append(Segment("", before, last, open_))
    found[-1].after = last
    for segment in found:
        segment.statements = [each for each in statements if each["revision"] == segment.revision or not segment.revision]
    return found


def joined(segments: list[Segment], squashes: Mapping[str, Sequence[str]], known: set[str]) -> list[Segment]:
    """Returns the segments with one for each squash that ran: Django records it as all that it replaces, and by its name at the
    end. `squashes`: what each migration replaces. Where some of that is `known` already, the replaced ones ran themselves."""
    recorded = {each.revision for each in segments}
    ran = [name for name, replaced in squashes.items() if replaced and name in recorded and not known & {name, *replaced}]
    owners: dict[str, str] = {}
    for name in sorted(ran, key=lambda each: len(squashes[each])):  # the one that replaces most comes last
        owners |= dict.fromkeys((name, *squashes[name]), name)
    found: list[Segment] = []
    seen: set[str] = set()
    for each in segments:
        each.revision = owners.get(each.revision, each.revision)
        if each.revision not in seen or each.revision not in ran:
            found.append(each)
            seen.add(each.revision)
            continue
        found[-1].entries += each.entries
        found[-1].after = each.after  # its first record stays the end: the rows that it changed were counted there
    return found


def started(entries: Iterable[Entry], base_versions: Iterable[str]) -> list[Entry]:
    """Returns the entries with the versions that were there at base removed from each write to the version table."""
    known = set(base_versions)
    kept = []
    for entry in entries:
        if entry.kind == "revision":
            entry.objects[:] = [row for row in entry.objects if version(row) not in known]
        kept.append(entry)
    return kept


def version(row: Mapping[str, Any]) -> str:
    """Returns what a row of a version table is about."""
    if "version_num" in row:
        return str(row["version_num"])
    if "app" in row and "name" in row:
        return f"{row['app']}.{row['name']}"
    for key in ("migration_name", "version", "version_id", "name", "MigrationId"):
        if key in row:
            return str(row[key])
    return str(sorted(row.items(), key=str))
