"""Turns the program's events into lines that a person follows while it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cicd_actions.run_migrations_oneshot.heard import Heard, Holder, text


def said(event: Mapping[str, Any], heard: Heard) -> str:
    """One line for the log, or empty where there is nothing to follow. `heard` has taken the event already."""
    tell = _TOLD.get(text(event, "event"))
    return tell(event, heard) if tell else ""


def _hello(_event: Mapping[str, Any], heard: Heard) -> str:
    return "Python {python}, Alembic {alembic}, SQLAlchemy {sqlalchemy}".format(**heard.versions)


def _preflight(_event: Mapping[str, Any], heard: Heard) -> str:
    server = f" {heard.server // 10000}" if heard.server else ""
    return f"{heard.dialect}{server} by {heard.driver}: at {at(heard.before)}, the image's head is {at(heard.heads)}"


def _start(event: Mapping[str, Any], heard: Heard) -> str:
    revision = text(event, "revision")
    found = heard.pending.get(revision)
    known = f" {found.message.splitlines()[0] if found.message else ''} ({found.phase})" if found else ""
    number = f" ({len(heard.ran) + 1} of {len(heard.pending)})" if heard.pending else ""
    return f"{revision}{known}{number} …"


def _done(event: Mapping[str, Any], heard: Heard) -> str:
    revision = text(event, "revision")
    return f"{revision} ran in {heard.ran.get(revision, 0.0):.2f} s"


def _waiting(_event: Mapping[str, Any], heard: Heard) -> str:
    return f"Another migration run holds the lock: {'; '.join(map(described, heard.holders)) or 'unknown'}. Waiting."


def _blocked(_event: Mapping[str, Any], heard: Heard) -> str:
    return f"Waiting for a lock that others hold: {'; '.join(map(described, heard.blockers))}"


def _ending(event: Mapping[str, Any], _heard: Heard) -> str:
    return "The time is over: ending it" if text(event, "why") == "timeout" else "Told to stop: ending it"


def _end(_event: Mapping[str, Any], heard: Heard) -> str:
    if heard.now is None:
        return ""
    return f"{'Proven: the' if heard.state == 'applied' else 'The'} database is at {at(heard.now)}"


_TOLD: Mapping[str, Callable[[Mapping[str, Any], Heard], str]] = {
    "hello": _hello,
    "preflight": _preflight,
    "waiting-for-database": lambda event, _heard: f"The database does not answer yet: {text(event, 'problem')}",
    "waiting-for-lock": _waiting,
    "moved": lambda event, heard: (
        f"Another run has applied migrations meanwhile: at {at(heard.before)}, {text(event, 'left')} left"
    ),
    "lock": lambda _event, _heard: "The lock is held",
    "start": _start,
    "done": _done,
    "blocked": _blocked,
    "retry": lambda event, _heard: (
        f"Not had within lock-timeout, and nothing has moved: trying again in {text(event, 'seconds')} s"
    ),
    "no-sql": lambda event, _heard: f"The SQL cannot be rendered offline: {text(event, 'reason')}",
    "ending": _ending,
    "end": _end,
}


def at(revisions: tuple[str, ...] | None) -> str:
    """Heads for people."""
    if revisions is None:
        return "unknown"
    return ", ".join(revisions) or "base (nothing applied)"


def described(one: Holder) -> str:
    """A session in the database, for people."""
    name = f" {one.application!r}" if one.application else ""
    user = f" of {one.user}" if one.user else ""
    where = f" from {one.address}" if one.address and one.address != "local" else ""
    since = f" since {one.since}" if one.since else ""
    state = f", {one.state}" if one.state else ""
    busy = f" for {one.seconds} s" if one.seconds else ""
    query = f": {one.query}" if one.query else ""
    return f"pid {one.pid}{name}{user}{where}{since}{state}{busy}{query}"
