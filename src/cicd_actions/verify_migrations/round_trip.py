"""Judges the way down and up again: which downgrade is missing, fails, or leaves another schema."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from cicd_actions.toolkit.findings import Severity
from cicd_actions.verify_migrations import catalog as catalogs
from cicd_actions.verify_migrations import segments
from cicd_actions.verify_migrations.rules import Trouble
from cicd_actions.verify_migrations.segments import Segment
from cicd_actions.verify_migrations.trace import Entry


def troubles(parts: Sequence[Segment], round_: Mapping[str, Any], entries: Iterable[Entry]) -> Iterator[Trouble]:
    """Yields what is wrong with the downgrades. `round_`: the report of the program `after`; `entries`: the server's log."""
    by_revision = {part.revision: part for part in parts}
    failed = round_.get("downgrade_failed", "")
    if round_.get("downgrade_error"):
        error = round_["downgrade_error"]
        rule = "downgrade-missing" if error["not_implemented"] else "downgrade-fails"
        yield _down(rule, f"the downgrade of {failed} fails: {error['text']}", by_revision.get(failed))
    downgraded = round_.get("downgraded") or ()
    done = {each["revision"]: each["statements"] for each in downgraded}
    rest = _after_mark(entries)
    missing = False
    moves = [each for each in rest if each.kind == "revision"]
    tenants = len(done) < len(downgraded)
    if tenants:  # the schema is whole again only when the last one is back
        back = [each for each in moves if not any(_has(each, step) for step in done)]
        last = len(downgraded) // len(done)
        moves = back[last - 1 : last]
        done = dict([list(done.items())[-1]])
    moved = iter(moves)
    for revision, count in done.items():
        part = by_revision.get(revision)
        snapshot = next((each.catalog for each in moved if not _has(each, revision)), None)
        if part is None or snapshot is None:
            continue
        wrong = catalogs.differences(part.before, snapshot)
        if wrong:
            listed = "; ".join(wrong[:5]) + (f"; and {len(wrong) - 5} more" if len(wrong) > 5 else "")
            rule = "downgrade-differs" if count else "downgrade-missing"
            yield _down(rule, f"after the downgrade of {revision}: {listed}", part)
            missing = not count
            break  # what an older one finds is a consequence
    # A missing downgrade explains it. Where there is one, what it leaves is in the way of the next deploy.
    if round_.get("error") and not missing:
        again = round_.get("running") or parts[-1].revision
        yield Trouble("upgrade-again-fails", f"{again} fails after its downgrade: {round_['error']['text']}", again)


def _down(rule: str, what: str, part: Segment | None) -> Trouble:
    soft = part is not None and catalogs.additive(part.before, part.after)
    return Trouble(rule, what, part.revision if part else "", severity=Severity.NOTICE if soft else None)


def _after_mark(entries: Any) -> list[Entry]:
    listed = list(entries)
    at = next((at for at, entry in enumerate(listed) if entry.kind == "mark"), len(listed))
    return listed[at + 1 :]


def _has(entry: Entry, revision: str) -> bool:
    return any(segments.version(row) == revision for row in entry.objects)
