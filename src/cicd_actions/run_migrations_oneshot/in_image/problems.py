"""Says of an exception what a person needs: the database's own words, the statement without its values, the file and line."""

from __future__ import annotations

import os
import ssl
import sys
import traceback
from typing import Any, Iterator

from cicd_actions.run_migrations_oneshot.in_image.scripts import relative

_LATER = {"57P03", "57P01", "57P02", "53300"}
"""Starting up, shutting down, crashed, too many connections: https://www.postgresql.org/docs/current/errcodes-appendix.html"""

_LATER_WORDS = ("starting up", "shutting down", "recovery mode", "not yet accepting", "too many", "connection slots")
_NEVER_WORDS = (
    "certificate",
    "unable to open database file",
    "does not support SSL",
    "invalid dsn",
    "invalid connection option",
)

_LIBRARIES = ("sqlalchemy", "alembic", "asyncio", "importlib", "asyncpg", "psycopg", "psycopg2", "aiosqlite")


def chain(error: BaseException) -> Iterator[BaseException]:
    """The error, the driver's one inside it, and what they came from; each once."""
    seen: list[int] = []
    todo: list[BaseException | None] = [error]
    while todo:
        one = todo.pop(0)
        if one is None or id(one) in seen:
            continue
        seen.append(id(one))
        yield one
        original = getattr(one, "orig", None)
        if isinstance(original, BaseException):
            todo.append(original)
        todo.append(one.__cause__ or (None if one.__suppress_context__ else one.__context__))


def sqlstate(error: BaseException) -> str:
    """PostgreSQL's code for it (`sqlstate` of asyncpg and psycopg, `pgcode` of psycopg2), or empty."""
    for one in chain(error):
        code = getattr(one, "sqlstate", None) or getattr(one, "pgcode", None)
        if code:
            return str(code)
    return ""


def words(error: BaseException) -> str:
    """What the database or the driver said, without SQLAlchemy's copy of statement and parameters."""
    best: BaseException = error
    for one in chain(error):
        if getattr(one, "orig", None) is not None or "sqlalchemy" in type(one).__module__:
            continue
        best = one
        break
    # SQLAlchemy's adapter of asyncpg puts the class's name before the text; the cause has the text alone.
    cause = best.__cause__
    if cause is not None and str(best).startswith("<class"):
        best = cause
    return str(best).strip() or type(best).__name__


def described(error: BaseException, files: list[str]) -> dict[str, Any]:
    """`files` are the revisions' own: the last line of one of them in the traceback is where it happened."""
    found: dict[str, Any] = {"type": type(error).__name__, "text": words(error), "sqlstate": sqlstate(error)}
    for one in chain(error):
        diagnosis = getattr(one, "diag", None)
        for key in ("detail", "hint"):
            value = getattr(one, key, None) or getattr(diagnosis, "message_" + key, None)
            if isinstance(value, str) and value:
                found.setdefault(key, value)
        statement = getattr(one, "statement", None)
        if isinstance(statement, str) and statement:
            found.setdefault("statement", statement)
    for key in ("detail", "hint"):
        # The drivers' texts have them too.
        found["text"] = found["text"].replace(f"\n{key.upper()}:  {found.get(key)}", "")
    place = _place(error, files)
    if place:
        found.update(place)
    return found


def _place(error: BaseException, files: list[str]) -> dict[str, Any] | None:
    place: dict[str, Any] | None = None
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename in files:
            place = {"file": relative(frame.filename), "line": frame.lineno}
    return place


def connecting(error: BaseException) -> bool:
    """Whether it happened while a connection was being made: on the way out it passed SQLAlchemy's pool."""
    for one in chain(error):
        at = one.__traceback__
        while at is not None:
            if str(at.tb_frame.f_globals.get("__name__", "")).startswith("sqlalchemy.pool"):
                return True
            at = at.tb_next
    return False


def passes(error: BaseException) -> bool:
    """Whether waiting can help: a database that is down, starting, or full. Its answer to who we are stays the same."""
    code = sqlstate(error)
    if code:
        return code in _LATER or code.startswith("08")
    text = " ".join(str(one) for one in chain(error))
    if any(word in text for word in _NEVER_WORDS):
        return False
    if "FATAL" in text:  # libpq gives no code for what the server said while connecting
        return any(word in text for word in _LATER_WORDS)
    if any(isinstance(one, (ssl.SSLError, ValueError, TypeError, ImportError)) for one in chain(error)):
        return False
    # By name, because asyncio's TimeoutError was no OSError before Python 3.11, and each driver has an OperationalError.
    return any(isinstance(one, OSError) or type(one).__name__ in {"OperationalError", "TimeoutError"} for one in chain(error))


def show(error: BaseException) -> None:
    """The traceback on standard error, like Python's, but without the parameters in SQLAlchemy's text: they are data.

    Frames of the libraries are left out, because they would push what the migration itself said out of the last lines.
    """
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not _of_a_library(frame.filename)]
    lines = ["Traceback (most recent call last; frames of libraries are left out):\n" if own else "Traceback:\n"]
    lines += traceback.format_list(own or frames)
    lines.append(f"{type(error).__name__}: {words(error)}\n")
    statement = getattr(error, "statement", None)
    if statement:
        lines.append(f"[SQL: {statement}]\n")
    sys.stderr.write("".join(lines))


def _of_a_library(path: str) -> bool:
    return path.startswith("<") or any(f"{os.sep}{name}{os.sep}" in path for name in _LIBRARIES)
