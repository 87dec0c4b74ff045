"""Follows a run by the job's output: tells the program's events from ordinary lines, and keeps what they say.

Everything here comes from inside an image: types are checked, sizes are bounded, nothing raises.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from cicd_actions.toolkit import json_values

MOST = 20_000
"""Migrations that are remembered."""

MOST_SQL = 4 * 1024 * 1024


Step: TypeAlias = "tuple[str, str]"
"""One migration of one database: the database's name (empty where there is only one) and the revision."""


@dataclass(frozen=True)
class Migration:
    """A revision as its file declares it. `phase` is `expand`, `contract` or empty, or whatever stands there."""

    revision: str
    message: str = ""
    phase: str = ""
    file: str = ""
    down: str = ""
    database: str = ""

    @property
    def step(self) -> Step:
        return self.database, self.revision

    @property
    def declared(self) -> str:
        """The phase for people."""
        return self.phase or "not declared"


@dataclass(frozen=True)
class Touched:
    """A table that the pending migrations touch: its size with indexes in bytes, and its estimated rows."""

    table: str
    bytes: int
    rows: int


@dataclass(frozen=True)
class Load:
    """What the migration cost: the server's WAL in bytes, sessions that queued and the longest wait, and replay lag, both in
    seconds. `None` is not known, or not there."""

    wal: int | None = None
    queued: int = 0
    longest: float = 0.0
    lag: float | None = None


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
    missing: tuple[str, ...] = ()


@dataclass
class Progress:
    """Everything that one run of the program has reported. `state` stays empty when it did not come to its end."""

    tool: str = "alembic"
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
    tables: int = 1
    shared: bool = False
    writes: tuple[str, ...] = ()
    touched: tuple[Touched, ...] = ()
    in_the_way: tuple[str, ...] = ()
    load: Load | None = None
    pending: dict[Step, Migration] = field(default_factory=dict)
    ran: dict[Step, float] = field(default_factory=dict)
    applied: list[Step] = field(default_factory=list)
    running: Step | None = None
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
    database: str = ""
    partial: bool = False
    terminated: bool = False
    sessions: tuple[int, ...] = ()
    problem: Problem = field(default_factory=Problem)
    fields: dict[str, Any] = field(default_factory=dict)

    def take(self, event: Mapping[str, Any]) -> None:
        """Takes one event. What is not understood is passed over."""
        kind = text(event, "event")
        if kind in _EVENTS:
            getattr(self, "_" + kind.replace("-", "_"))(event)

    def _hello(self, event: Mapping[str, Any]) -> None:
        self.tool = text(event, "tool") or "alembic"
        known = ("python", "alembic", "sqlalchemy", "django", "driver")
        self.versions = {name: text(event, name) for name in known if text(event, name)}
        self.url = event.get("url") is not False

    def _preflight(self, event: Mapping[str, Any]) -> None:
        self.dialect, self.driver = text(event, "dialect"), text(event, "driver")
        self.server, self.tables = whole(event, "server"), max(whole(event, "tables"), 1)
        self.heads, self.before = texts(event, "heads"), texts(event, "at")
        self.now = self.before
        self.external = event.get("external") is True
        self.shared = event.get("shared") is True
        self.invalid_before = texts(event, "invalid")

    def _pending(self, event: Mapping[str, Any]) -> None:
        if len(self.pending) < MOST:
            found = migration(event)
            self.pending[found.step] = found

    def _sql(self, event: Mapping[str, Any]) -> None:
        if len(self.sql) < MOST_SQL:
            self.sql += text(event, "text")

    def _no_sql(self, event: Mapping[str, Any]) -> None:
        self.no_sql = text(event, "reason")

    def _writes(self, event: Mapping[str, Any]) -> None:
        self.writes = texts(event, "statements")

    def _health(self, event: Mapping[str, Any]) -> None:
        self.touched = tuple(
            Touched(text(one, "table"), whole(one, "bytes"), whole(one, "rows")) for one in objects(event, "tables")
        )
        self.in_the_way = (
            *(f"a transaction that has been open for {text(one, 'seconds')} s: {_who(one)}" for one in objects(event, "old")),
            *(
                f"the prepared transaction {text(one, 'gid')!r} of {text(one, 'user')}, {text(one, 'seconds')} s old:"
                f" `ROLLBACK PREPARED` or `COMMIT PREPARED` ends it"
                for one in objects(event, "prepared")
            ),
            *(
                f"an anti-wraparound vacuum of {text(one, 'table')} (pid {text(one, 'pid')}), which does not give way"
                for one in objects(event, "wraparound")
            ),
        )

    def _load(self, event: Mapping[str, Any]) -> None:
        wal = event.get("wal")
        self.load = Load(
            wal if isinstance(wal, int) and not isinstance(wal, bool) else None,
            whole(event, "queued"),
            number(event, "longest") or 0.0,
            number(event, "lag"),
        )

    def _waiting_for_lock(self, event: Mapping[str, Any]) -> None:
        self.holders = [holder(one) for one in objects(event, "holders")]

    def _lock(self, _event: Mapping[str, Any]) -> None:
        self.locked = True

    def _moved(self, event: Mapping[str, Any]) -> None:
        self.before = self.now = texts(event, "at")
        self.moved = True
        if whole(event, "left") == 0:
            self.pending.clear()

    def _start(self, event: Mapping[str, Any]) -> None:
        self.running = step(event)
        self.now = None  # until it says where it ended

    def _done(self, event: Mapping[str, Any]) -> None:
        if len(self.ran) < MOST:
            self.ran[step(event)] = number(event, "seconds") or 0.0
            self.running = None

    def _blocked(self, event: Mapping[str, Any]) -> None:
        self.blockers = [holder(one) for one in objects(event, "by")]

    def _retry(self, event: Mapping[str, Any]) -> None:
        self.retries += 1
        kept = set(texts(event, "kept"))
        self.ran = {one: seconds for one, seconds in self.ran.items() if one[1] in kept}
        self.running = None

    def _applied(self, event: Mapping[str, Any]) -> None:
        if len(self.applied) < MOST:
            self.applied += [(text(event, "database"), revision) for revision in texts(event, "revisions")]

    def _end(self, event: Mapping[str, Any]) -> None:
        self.state, self.rule = text(event, "state"), text(event, "rule")
        if isinstance(event.get("at"), list):
            self.now = texts(event, "at")
        self.unread = text(event, "unread")
        if self.unread:
            self.now = None
        self.step, self.partial = text(event, "step"), event.get("partial") is True
        self.database = text(event, "database")
        self.terminated = event.get("terminated") is True
        pids = event.get("sessions")
        self.sessions = tuple(pid for pid in pids if isinstance(pid, int)) if isinstance(pids, list) else ()
        self.invalid = texts(event, "invalid")
        if isinstance(event.get("holders"), list):
            self.holders = [holder(one) for one in objects(event, "holders")]
        found = event.get("problem")
        self.problem = problem(found) if isinstance(found, dict) else Problem()
        self.fields = dict(event)


_EVENTS = {
    *("hello", "preflight", "pending", "sql", "no-sql", "writes", "health", "load", "waiting-for-lock", "lock", "moved"),
    *("start", "done", "blocked", "retry", "applied", "end"),
}


def event_in(line: str, prefix: str) -> tuple[str, dict[str, Any] | None]:
    """Returns the ordinary text of a line, and the event after it. A migration may have printed without ending its line."""
    before, found, after = line.partition(prefix)
    if not found:
        return line, None
    try:
        event = json.loads(after)
    except (ValueError, RecursionError):
        return line, None
    return (before, event) if isinstance(event, dict) and isinstance(event.get("event"), str) else (line, None)


def text(event: Mapping[str, Any], name: str) -> str:
    """Returns a text field; numbers are spelled out."""
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
    return json_values.objects(event.get(name))


def number(event: Mapping[str, Any], name: str) -> float | None:
    value = event.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def step(event: Mapping[str, Any]) -> Step:
    return text(event, "database"), text(event, "revision")


def _who(one: Mapping[str, Any]) -> str:
    name = f" {text(one, 'application')!r}" if text(one, "application") else ""
    return f"pid {text(one, 'pid')}{name} of {text(one, 'user')}, {text(one, 'state')}: {text(one, 'query')}"


def migration(event: Mapping[str, Any]) -> Migration:
    return Migration(*(text(event, name) for name in ("revision", "message", "phase", "file", "down", "database")))


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
        missing=texts(event, "missing"),
    )
