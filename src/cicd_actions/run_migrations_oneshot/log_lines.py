"""Turns the program's events into lines that a person follows while it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cicd_actions.run_migrations_oneshot.progress import Holder, Progress, step, text


def log_line(event: Mapping[str, Any], progress: Progress) -> str:
    """Returns one line for the log, or empty where there is nothing to follow. `progress` has taken the event already."""
    tell = _LINES.get(text(event, "event"))
    return tell(event, progress) if tell else ""


def _hello(_event: Mapping[str, Any], progress: Progress) -> str:
    names = {"python": "Python", "alembic": "Alembic", "sqlalchemy": "SQLAlchemy", "django": "Django", "driver": "driver"}
    return ", ".join(f"{names[name]} {version}" for name, version in progress.versions.items())


def _preflight(_event: Mapping[str, Any], progress: Progress) -> str:
    server = f" {progress.server // 10000}" if progress.server else ""
    number = f" ({progress.tables} databases or schemas)" if progress.tables > 1 else ""
    heads = f", the image's head is {at(progress.heads)}" if progress.heads else ""
    return f"{progress.dialect}{server} by {progress.driver}{number}: at {at(progress.before)}{heads}"


def _start(event: Mapping[str, Any], progress: Progress) -> str:
    found = progress.pending.get(step(event))
    message = f" {found.message.splitlines()[0]}" if found and found.message else ""
    known = f"{message} ({found.declared})" if found else ""
    number = f" ({len(progress.ran) + 1} of {len(progress.pending)})" if progress.pending else ""
    return f"{text(event, 'revision')}{_where(event)}{known}{number} …"


def _done(event: Mapping[str, Any], progress: Progress) -> str:
    return f"{text(event, 'revision')}{_where(event)} ran in {progress.ran.get(step(event), 0.0):.2f} s"


def _where(event: Mapping[str, Any]) -> str:
    return f" in {text(event, 'database')}" if text(event, "database") else ""


def _waiting(event: Mapping[str, Any], progress: Progress) -> str:
    who = "; ".join(map(described, progress.holders)) or "unknown"
    if event.get("application") is True:
        return f"Waiting for the advisory lock that env.py takes. It is held by {who}"
    return f"Another migration run holds the lock: {who}. Waiting."


def _blocked(_event: Mapping[str, Any], progress: Progress) -> str:
    return f"Waiting for a lock that others hold: {'; '.join(map(described, progress.blockers))}"


def _ending(event: Mapping[str, Any], _progress: Progress) -> str:
    return "The deadline passed: stopping it" if text(event, "why") == "timeout" else "Cancelled: stopping it"


def _end(_event: Mapping[str, Any], progress: Progress) -> str:
    if progress.now is None:
        return ""
    return f"{'Proven: the' if progress.state == 'applied' else 'The'} database is at {at(progress.now)}"


_LINES: Mapping[str, Callable[[Mapping[str, Any], Progress], str]] = {
    "hello": _hello,
    "preflight": _preflight,
    "waiting-for-database": lambda event, _progress: f"The database does not answer yet: {text(event, 'problem')}",
    "waiting-for-lock": _waiting,
    "moved": lambda event, progress: (
        f"Another run has applied migrations meanwhile: at {at(progress.before)}, {text(event, 'left')} left"
    ),
    "writes": lambda _event, progress: f"Skipped what env.py tried to write: {'; '.join(progress.writes)}",
    "health": lambda _event, progress: (
        f"In the way of this migration: {'; '.join(progress.in_the_way)}" if progress.in_the_way else ""
    ),
    "lock": lambda _event, _progress: "The lock is held",
    "start": _start,
    "done": _done,
    "blocked": _blocked,
    "retry": lambda event, _progress: (
        f"Could not get the lock within lock-timeout, and nothing is half done: trying again in {text(event, 'seconds')} s"
    ),
    "no-sql": lambda event, _progress: f"Could not render the SQL offline: {text(event, 'reason')}",
    "ending": _ending,
    "end": _end,
}


def at(revisions: tuple[str, ...] | None) -> str:
    """Returns heads for people."""
    if revisions is None:
        return "unknown"
    return ", ".join(revisions) or "base (nothing applied)"


def way(before: tuple[str, ...], now: tuple[str, ...]) -> str:
    """Returns from where to where. Heads that stayed, such as those of Django's other apps, are left out."""
    stayed = set(before) & set(now)
    one, two = (tuple(head for head in side if head not in stayed) for side in (before, now))
    return f"{at(one)} → {at(two)}" if one and two else f"{at(before)} → {at(now)}"


def described(one: Holder) -> str:
    """Returns a session in the database for people."""
    name = f" {one.application!r}" if one.application else ""
    user = f" of {one.user}" if one.user else ""
    where = f" from {one.address}" if one.address and one.address != "local" else ""
    since = f" since {one.since}" if one.since else ""
    state = f", {one.state}" if one.state else ""
    busy = f" for {one.seconds} s" if one.seconds else ""
    query = f": {one.query}" if one.query else ""
    return f"pid {one.pid}{name}{user}{where}{since}{state}{busy}{query}"
