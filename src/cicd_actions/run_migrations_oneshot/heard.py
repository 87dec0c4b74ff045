"""Hears the job's output: tells the program's events from ordinary lines, and keeps what they say.

Everything here comes from inside an image: types are checked, sizes are bounded, nothing raises.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MOST = 20_000
"""Migrations that are remembered."""

MOST_SQL = 4 * 1024 * 1024


@dataclass(frozen=True)
class Migration:
    """A revision as its file says it. `phase` is `expand` or `contract`, or whatever stands there."""

    revision: str
    message: str = ""
    phase: str = "expand"
    file: str = ""
    down: str = ""


@dataclass(frozen=True)
class Holder:
    """A session in the database: the one that holds the lock, or the one that blocks."""

    pid: str
    application: str
    user: str = ""
    since: str = ""
    address: str = ""
    state: str = ""
    query: str = ""
    seconds: str = ""
    waiting: str = ""


@dataclass(frozen=True)
class Problem:
    """What went wrong, in the database's or driver's words. `line` is of `file`, 0 where it is not known."""

    text: str = ""
    kind: str = ""
    sqlstate: str = ""
    detail: str = ""
    hint: str = ""
    statement: str = ""
    file: str = ""
    line: int = 0


@dataclass
class Heard:
    """Everything that one run of the program has said. `state` stays empty when it did not come to its end."""

    versions: dict[str, str] = field(default_factory=dict)
    url: bool = True
    dialect: str = ""
    driver: str = ""
    server: int = 0
    heads: tuple[str, ...] = ()
    before: tuple[str, ...] | None = None
    now: tuple[str, ...] | None = None
    unread: str = ""
    external: bool = False
    transactional: bool = True
    places: int = 1
    pending: dict[str, Migration] = field(default_factory=dict)
    ran: dict[str, float] = field(default_factory=dict)
    applied: list[str] = field(default_factory=list)
    running: str = ""
    blockers: list[Holder] = field(default_factory=list)
    holders: list[Holder] = field(default_factory=list)
    invalid_before: tuple[str, ...] = ()
    invalid: tuple[str, ...] = ()
    sql: str = ""
    no_sql: str = ""
    locked: bool = False
    retries: int = 0
    moved: bool = False
    state: str = ""
    rule: str = ""
    step: str = ""
    partial: bool = False
    terminated: bool = False
    sessions: tuple[int, ...] = ()
    problem: Problem = field(default_factory=Problem)
    fields: dict[str, Any] = field(default_factory=dict)

    def take(self, event: Mapping[str, Any]) -> None:  # noqa: C901, PLR0912 - one branch an event reads best
        """One event. What is not understood is passed over."""
        kind = text(event, "event")
        if kind == "hello":
            self.versions = {name: text(event, name) for name in ("python", "alembic", "sqlalchemy")}
            self.url = event.get("url") is not False
        elif kind == "preflight":
            self.dialect, self.driver = text(event, "dialect"), text(event, "driver")
            self.server, self.places = whole(event, "server"), max(whole(event, "places"), 1)
            self.heads, self.before = texts(event, "heads"), texts(event, "at")
            self.now = self.before
            self.external, self.transactional = event.get("external") is True, event.get("transactional") is not False
            self.invalid_before = texts(event, "invalid")
        elif kind == "pending" and len(self.pending) < MOST:
            found = migration(event)
            self.pending[found.revision] = found
        elif kind == "sql" and len(self.sql) < MOST_SQL:
            self.sql += text(event, "text")
        elif kind == "no-sql":
            self.no_sql = text(event, "reason")
        elif kind == "waiting-for-lock":
            self.holders = [holder(one) for one in objects(event, "holders")]
        elif kind == "lock":
            self.locked = True
        elif kind == "moved":
            self.before = self.now = texts(event, "at")
            self.moved = True
            if whole(event, "left") == 0:
                self.pending.clear()
        elif kind == "start":
            self.running = text(event, "revision")
            self.now = None  # until it says where it ended
        elif kind == "done" and len(self.ran) < MOST:
            seconds = event.get("seconds")
            self.ran[text(event, "revision")] = float(seconds) if isinstance(seconds, (int, float)) else 0.0
            self.running = ""
        elif kind == "blocked":
            self.blockers = [holder(one) for one in objects(event, "by")]
        elif kind == "retry":
            self.retries += 1
            self.ran.clear()
            self.running = ""
        elif kind == "applied" and len(self.applied) < MOST:
            self.applied += texts(event, "revisions")
        elif kind == "end":
            self._end(event)

    def _end(self, event: Mapping[str, Any]) -> None:
        self.state, self.rule = text(event, "state"), text(event, "rule")
        if isinstance(event.get("at"), list):
            self.now = texts(event, "at")
        self.unread = text(event, "unread")
        if self.unread:
            self.now = None
        self.step, self.partial = text(event, "step"), event.get("partial") is True
        self.terminated = event.get("terminated") is True
        pids = event.get("sessions")
        self.sessions = tuple(pid for pid in pids if isinstance(pid, int)) if isinstance(pids, list) else ()
        self.invalid = texts(event, "invalid")
        if isinstance(event.get("holders"), list):
            self.holders = [holder(one) for one in objects(event, "holders")]
        found = event.get("problem")
        self.problem = problem(found) if isinstance(found, dict) else Problem()
        self.fields = dict(event)


def event_in(line: str, prefix: str) -> tuple[str, dict[str, Any] | None]:
    """The ordinary text of a line, and the event after it. A migration may have printed without ending its line."""
    before, found, after = line.partition(prefix)
    if not found:
        return line, None
    try:
        event = json.loads(after)
    except (ValueError, RecursionError):
        return line, None
    return (before, event) if isinstance(event, dict) and isinstance(event.get("event"), str) else (line, None)


def text(event: Mapping[str, Any], name: str) -> str:
    """A text field; numbers are spelled."""
    value = event.get(name)
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return ""
    return str(value)


def whole(event: Mapping[str, Any], name: str) -> int:
    value = event.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def texts(event: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = event.get(name)
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()


def objects(event: Mapping[str, Any], name: str) -> Sequence[dict[str, Any]]:
    value = event.get(name)
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def migration(event: Mapping[str, Any]) -> Migration:
    return Migration(*(text(event, name) for name in ("revision", "message", "phase", "file", "down")))


def holder(event: Mapping[str, Any]) -> Holder:
    names = ("pid", "application", "user", "since", "address", "state", "query", "seconds", "waiting")
    return Holder(*(text(event, name) for name in names))


def problem(event: Mapping[str, Any]) -> Problem:
    return Problem(
        text=text(event, "text"),
        kind=text(event, "type"),
        sqlstate=text(event, "sqlstate"),
        detail=text(event, "detail"),
        hint=text(event, "hint"),
        statement=text(event, "statement"),
        file=text(event, "file"),
        line=whole(event, "line"),
    )
