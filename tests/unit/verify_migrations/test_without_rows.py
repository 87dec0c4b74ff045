"""Which revisions rest on no rows of a table, from what the server recorded; and which of them is a squash."""

from __future__ import annotations

from typing import Any

from cicd_actions.verify_migrations.rows import Unfilled
from cicd_actions.verify_migrations.segments import Segment, joined
from cicd_actions.verify_migrations.trace import Entry
from cicd_actions.verify_migrations.without_rows import gaps, listed, touched

_SAME: dict[str, Any] = {"tables": {"1": {"columns": {}}, "2": {"columns": {}}}}


def entry(xid: str, locks: dict[str, list[str]], stats: dict[str, list[int]] | None = None) -> Entry:
    return Entry(0, "revision", "", xid, "", "", {}, [], locks, stats or {}, "", None)


def segment(revision: str, xid: str, locks: dict[str, list[str]], stats: dict[str, list[int]] | None = None) -> Segment:
    return Segment(revision, _SAME, _SAME, end=entry(xid, locks, stats))


def test_locks_and_counts_of_an_earlier_revision_in_the_transaction_are_not_a_later_ones() -> None:
    held = {"1": ["AccessShareLock", "RowExclusiveLock"]}
    first = segment("a", "7", held, {"1": [1, 0, 0, 0, 0]})
    second = segment("b", "7", {"1": ["RowExclusiveLock", "AccessShareLock"]}, {"1": [1, 0, 0, 0, 0]})
    third = segment("c", "7", {"1": ["RowExclusiveLock"]}, {"1": [2, 0, 0, 0, 0]})
    fourth = segment("d", "8", held)
    fifth = segment("e", "9", {})
    fifth.after = {"tables": {"1": {"columns": {}}}}
    assert list(touched([first, second, third, fourth, fifth])) == [{"1"}, set(), {"1"}, {"1"}, {"2"}]


def test_each_table_is_one_line_with_its_revisions() -> None:
    parts = [segment("a", "1", {"1": ["ShareLock"]}), segment("b", "2", {}), segment("c", "3", {"1": ["ShareLock"]})]
    unfilled = [Unfilled("1", "t", "refused."), Unfilled("2", "u", "refused")]
    (gap,) = gaps(unfilled, {}, parts, unseen=False)
    assert gap.sentence == "a, c ran without rows of t: refused. Add rows with `seed-sql` or `seed-command`."
    assert [each.revisions for each in gaps(unfilled, {}, parts, unseen=True)] == [("a", "b", "c")] * 2
    assert listed([str(number) for number in range(22)]).endswith("18, 19 and 2 more")


def test_squash_that_ran_is_one_segment_and_one_whose_parts_ran_is_not() -> None:
    def parts() -> list[Segment]:
        return [segment(name, str(at), {}) for at, name in enumerate(("3", "4", "5", "s"))]

    squashes = {"s": ["3", "4"], "5": [], "t": ["s", "5"]}
    assert [each.revision for each in joined(parts(), squashes, {"1"})] == ["s", "5"]
    assert [each.revision for each in joined(parts(), squashes, {"3"})] == ["3", "4", "5", "s"]
    assert [each.revision for each in joined(parts(), {"s": ["3", "4"], "t": ["s"]}, set())] == ["s", "5"]
