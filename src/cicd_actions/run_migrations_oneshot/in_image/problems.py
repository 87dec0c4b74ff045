"""Describes an exception for a person: the database's own words, the statement without its values, the file and line."""

from __future__ import annotations

import os
import re
import ssl
import sys
import traceback
from typing import Any, Iterator

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

_LOST = "server closed the connection unexpectedly"
"""libpq's words: https://www.postgresql.org/docs/current/libpq-status.html"""

_NOT_SET = re.compile(
    r"""[Ee]nvironment variable ["']?([A-Za-z_]\w*)["']? (?:is )?(?:not set|missing|required)"""
    r"""|Set the ([A-Za-z_]\w*) environment variable|(?:^|\s)([A-Za-z_]\w*) not found\. Declare it as envvar"""
)

_LIBRARIES = ("sqlalchemy", "alembic", "asyncpg", "psycopg", "psycopg2", "aiosqlite", "pydantic", "pydantic_settings")


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yields the error, the driver's one inside it, and what they came from; each once."""
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
    """Returns PostgreSQL's code for it (`sqlstate` of asyncpg and psycopg, `pgcode` of psycopg2), or empty.

    A lost connection counts only where nothing says why: asyncpg has the server's reason as its cause. psycopg2 has neither
    a code nor the reason.
    """
    codes = [str(getattr(one, "sqlstate", None) or getattr(one, "pgcode", None) or "") for one in chain(error)]
    known = sorted(filter(None, codes), key=lambda code: code.startswith("08"))
    if not known and any(_LOST in said(one) for one in chain(error)):
        return "08006"
    return known[0] if known else ""


def said(error: BaseException) -> str:
    """Returns the text of an error; an application's own class may fail to give it."""
    try:
        return str(error)
    except Exception as failed:
        return f"{type(error).__name__} (its text could not be read: {type(failed).__name__})"


def words(error: BaseException) -> str:
    """Returns what the database or the driver said, without SQLAlchemy's copy of statement and parameters."""
    best: BaseException = error
    for one in chain(error):
        if getattr(one, "orig", None) is not None or "sqlalchemy" in type(one).__module__:
            continue
        best = one
        break
    # SQLAlchemy's adapter of asyncpg puts the class's name before the text; the cause has the text alone.
    cause = best.__cause__
    if cause is not None and said(best).startswith("<class"):
        best = cause
    return said(best).strip() or type(best).__name__


def described(error: BaseException, files: list[str]) -> dict[str, Any]:
    """Returns an error as it is reported. It happened in the last line of `files`, the revisions' own, in the traceback."""
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
    missing = missing_variables(error)
    if missing:
        found["missing"] = missing
    if ascii_only(error):
        found["encoding"] = "SQL_ASCII"
    return found


def missing_variables(error: BaseException) -> list[str]:
    """Returns the variables of the environment that an error misses: of `os.environ`, pydantic, environs, decouple."""
    for one in chain(error):
        if isinstance(one, KeyError) and one.args and _raised_by(one, "os.py"):
            return [str(one.args[0])]
        if type(one).__name__ == "ValidationError" and callable(getattr(one, "errors", None)):
            return _missing_fields(one)
        named = _NOT_SET.search(said(one))
        if named:
            return [next(filter(None, named.groups()))]
    return []


def _raised_by(error: BaseException, file: str) -> bool:
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and os.path.basename(frames[-1].filename).endswith((file, "<frozen os>"))


def _missing_fields(error: Any) -> list[str]:
    prefix = ""
    fields: set[str] = set()
    at = error.__traceback__
    while at is not None:
        # pydantic-settings' own name for `self`; the class knows the prefix of its variables.
        settings = type(at.tb_frame.f_locals.get("__pydantic_self__"))
        config = getattr(settings, "model_config", None) or {}
        if isinstance(config, dict) and "env_prefix" in config:
            prefix, fields = str(config["env_prefix"] or ""), set(getattr(settings, "model_fields", ()))
        at = at.tb_next
    # A model of a list has numbers there; another library's class of this name has other things.
    found = [one for one in _attempted(error.errors) if isinstance(one, dict) and "missing" in str(one.get("type", ""))]
    names = [str(one["loc"][0]) for one in found if isinstance(one.get("loc"), (list, tuple)) and one["loc"]]
    return [((prefix + name) if name in fields else name).upper() for name in names if name.isidentifier()][:50]


def _attempted(errors: Any) -> list[Any]:
    try:
        return list(errors())
    except Exception:
        return []


def _place(error: BaseException, files: list[str]) -> dict[str, Any] | None:
    place: dict[str, Any] | None = None
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename in files:
            place = {"file": relative(frame.filename), "line": frame.lineno}
    return place


def inside(error: BaseException, function: str) -> bool:
    """Returns whether the error came out of a function of that name."""
    return any(frame.name == function for one in chain(error) for frame in traceback.extract_tb(one.__traceback__))


def files_of(error: BaseException | None) -> list[str]:
    """Returns the files in the traceback."""
    return [frame.filename for frame in traceback.extract_tb(error.__traceback__)] if error is not None else []


def rule_before_the_first(error: BaseException) -> str:
    """Returns the rule of an error that came before the first migration."""
    code, text = sqlstate(error), words(error)
    if code == "25006":
        return "dry-run-writes"
    if code == "42501" and "alembic_version" in text + str(getattr(error, "statement", "")):
        return "no-right"
    if isinstance(error, ValueError) and "invalid interpolation syntax" in text:
        return "interpolation"
    if ascii_only(error):
        return "sql-ascii"
    if "unexpected keyword argument 'sslmode'" in text:
        return "sslmode"
    if type(error).__name__ == "NoSuchModuleError" and "sqlalchemy.dialects:postgres" in text and "postgresql" not in text:
        return "postgres-scheme"
    return "environment"


def ascii_only(error: BaseException) -> bool:
    """Returns whether a driver does not read or write the texts of a session with the encoding SQL_ASCII: psycopg leaves bytes,
    psycopg2 takes ASCII."""
    if isinstance(error, UnicodeError):
        return getattr(error, "encoding", "") == "ascii" and inside(error, "do_execute")
    return isinstance(error, TypeError) and "bytes-like object" in words(error) and inside(error, "_get_server_version_info")


def connecting(error: BaseException) -> bool:
    """Returns whether it happened while a connection was being made: on the way out it passed SQLAlchemy's pool."""
    for one in chain(error):
        at = one.__traceback__
        while at is not None:
            if str(at.tb_frame.f_globals.get("__name__", "")).startswith("sqlalchemy.pool"):
                return True
            at = at.tb_next
    return False


def passes(error: BaseException) -> bool:
    """Returns whether waiting can help: a database that is down, starting, or full. Its answer to who we are stays the same."""
    code = sqlstate(error)
    if code:
        return code in _LATER or code.startswith("08")
    text = " ".join(said(one) for one in chain(error))
    if any(word in text for word in _NEVER_WORDS):
        return False
    if "FATAL" in text:  # libpq gives no code for what the server said while connecting
        return any(word in text for word in _LATER_WORDS)
    if any(isinstance(one, (ssl.SSLError, ValueError, TypeError, ImportError)) for one in chain(error)):
        return False
    # By name, because asyncio's TimeoutError was no OSError before Python 3.11, and each driver has an OperationalError.
    return any(isinstance(one, OSError) or type(one).__name__ in {"OperationalError", "TimeoutError"} for one in chain(error))


def show(error: BaseException) -> None:
    """Writes the traceback to standard error like Python does, without the parameters in SQLAlchemy's text: they are data.

    Frames of libraries are left out, because they would push the migration's own output out of the last lines.
    """
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not _of_a_library(frame.filename)]
    lines = ["Traceback (most recent call last; frames of libraries are left out):\n"] if own else []
    lines += traceback.format_list(own)
    if isinstance(error, SyntaxError):
        lines += traceback.format_exception_only(type(error), error)
    else:
        lines.append(f"{type(error).__name__}: {words(error)}\n")
    statement = getattr(error, "statement", None)
    if statement:
        lines.append(f"[SQL: {statement}]\n")
    sys.stderr.write("".join(lines))
    sys.stderr.flush()


def relative(path: str) -> str:
    """Returns a path as people write it: from the working directory where it is below that."""
    here = os.getcwd()
    return path[len(here) + 1 :] if path.startswith(here + os.sep) else path


def _of_a_library(path: str) -> bool:
    """A library is what was installed, not a folder of the project that is called `alembic`."""
    if path.startswith("<") or "site-packages" + os.sep in path or "dist-packages" + os.sep in path:
        return True
    files = [getattr(sys.modules.get(name), "__file__", None) for name in _LIBRARIES]
    folders = [os.path.dirname(found) for found in [os.__file__, *files] if found]
    return any(path.startswith(folder + os.sep) for folder in folders)
