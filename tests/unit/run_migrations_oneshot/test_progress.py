"""The reader of the program's lines: what comes out of an image can be anything."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd_actions.run_migrations_oneshot.log_lines import log_line, way
from cicd_actions.run_migrations_oneshot.progress import Progress, event_in

PREFIX = "cicd-actions:0123456789abcdef "
KINDS = [
    "hello",
    "preflight",
    "pending",
    "sql",
    "no-sql",
    "waiting-for-database",
    "waiting-for-lock",
    "lock",
    "moved",
    "start",
    "done",
    "blocked",
    "retry",
    "applied",
    "writes",
    "health",
    "load",
    "ending",
    "end",
]
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
_fields = st.sampled_from(
    [
        "at",
        "heads",
        "revision",
        "revisions",
        "message",
        "phase",
        "seconds",
        "by",
        "holders",
        "problem",
        "invalid",
        "unread",
        "step",
        "partial",
        "tables",
        "old",
        "wal",
        "longest",
        "database",
        "kept",
        "server",
        "text",
        "left",
    ]
)
_events = st.builds(
    lambda kind, body: {**body, "event": kind}, st.sampled_from(KINDS) | st.text(max_size=10), st.dictionaries(_fields, _json)
)


@given(st.text())
def test_ordinary_lines_stay_what_they_are(line: str) -> None:
    if PREFIX not in line:
        assert event_in(line, PREFIX) == (line, None)


@given(st.text(max_size=50), _events)
def test_an_event_is_found_behind_a_line_without_an_end(before: str, event: dict[str, object]) -> None:
    if PREFIX not in before:
        assert event_in(before + PREFIX + json.dumps(event), PREFIX)[0] == before


@given(st.text())
def test_what_only_looks_like_an_event_is_an_ordinary_line(rest: str) -> None:
    line, event = event_in(PREFIX + rest, PREFIX)
    if event is None:
        assert line == PREFIX + rest


def test_deeply_nested_json_is_an_ordinary_line() -> None:
    line = PREFIX + "[" * 200_000
    assert event_in(line, PREFIX) == (line, None)


@given(st.lists(_events, max_size=8))
def test_any_event_is_taken_and_told(events: list[dict[str, object]]) -> None:
    progress = Progress()
    for event in events:
        progress.take(event)
        assert isinstance(log_line(event, progress), str)
    assert progress.now is None or isinstance(progress.now, tuple)


def test_a_run() -> None:
    progress = Progress()
    for event in (
        {"event": "preflight", "at": ["a"], "heads": ["c"], "dialect": "postgresql", "server": 150008},
        {"event": "pending", "revision": "b", "message": "B", "phase": "expand", "file": "b.py"},
        {"event": "pending", "revision": "c", "message": "C", "phase": "contract", "file": "c.py"},
        {"event": "lock", "pid": 1},
        {"event": "start", "revision": "b"},
        {"event": "done", "revision": "b", "seconds": 0.5},
        {"event": "start", "revision": "c"},
        {"event": "applied", "revisions": ["b"]},
        {
            "event": "end",
            "state": "failed",
            "rule": "migration",
            "step": "c",
            "at": ["b"],
            "problem": {"text": "no", "line": 7},
        },
    ):
        progress.take(event)
    assert (progress.before, progress.now, progress.applied) == (("a",), ("b",), [("", "b")])
    assert (progress.running, progress.step) == (("", "c"), "c")
    assert progress.pending["", "c"].phase == "contract"
    assert (progress.problem.text, progress.problem.line) == ("no", 7)


def test_where_the_database_is_stays_unknown_while_a_migration_runs() -> None:
    progress = Progress()
    for event in ({"event": "preflight", "at": ["a"]}, {"event": "lock", "pid": 1}):
        progress.take(event)
        assert progress.now == ("a",)
    progress.take({"event": "start", "revision": "b"})
    assert progress.now is None


@pytest.mark.parametrize(
    ("before", "now", "shown"),
    [
        ((), ("r1",), "base (nothing applied) → r1"),
        (("r1",), ("r2",), "r1 → r2"),
        (("auth.0012", "shop.0001"), ("auth.0012", "shop.0004"), "shop.0001 → shop.0004"),
        (("r1",), ("r1", "b1"), "r1 → r1, b1"),
    ],
)
def test_way_leaves_out_heads_that_stayed(before: tuple[str, ...], now: tuple[str, ...], shown: str) -> None:
    assert way(before, now) == shown
