"""Does work in a separate thread, mostly on a fresh connection made as the application makes its own: while the migration's own
connection sits in a statement, and for a proof that does not ask the session which did the work."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, Callable


class Aside:
    """`body()` under way in its thread."""

    def __init__(self, body: Callable[[], Any]) -> None:
        self._body = body
        self._result: Any = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def result(self, seconds: float) -> Any:
        """Returns what `body` returned. Raises its error, or `TimeoutError`."""
        self._thread.join(seconds)
        if self._thread.is_alive():
            raise TimeoutError(f"the database did not answer within {seconds:g} s")
        if self._error is not None:
            raise self._error
        return self._result

    def _run(self) -> None:
        try:
            self._result = self._body()
        except BaseException as error:  # the caller that asks for the result gets it
            self._error = error


def of_engine(engine: Any, work: Callable[[Any], Any]) -> Callable[[], Any]:
    """Returns a body that does `work(dbapi)` on a fresh connection of a SQLAlchemy engine."""

    def plain() -> Any:
        # The pool's own way to connect: with the application's arguments, hooks and certificates.
        fairy = engine.pool.recreate().connect()
        dbapi = dbapi_of(fairy)
        try:
            if engine.dialect.name == "postgresql":
                # Nothing here may hold a snapshot, or keep a lock until a commit.
                engine.dialect.set_isolation_level(dbapi, "AUTOCOMMIT")
            return work(dbapi)
        finally:
            fairy.invalidate()

    def asynchronous() -> Any:
        from sqlalchemy.util import greenlet_spawn  # not there before SQLAlchemy 1.4

        async def spawned() -> Any:
            return await greenlet_spawn(plain)

        return asyncio.run(spawned())

    return asynchronous if getattr(engine.dialect, "is_async", False) else plain


def dbapi_of(fairy: Any) -> Any:
    """Returns the DBAPI connection behind a pooled one (the attribute's name is that of SQLAlchemy 1.4.24 and later)."""
    return getattr(fairy, "dbapi_connection", None) or fairy.connection


def on_fresh(engine: Any, work: Callable[[Any], Any], seconds: float = 10.0) -> Any:
    """Returns `work(dbapi)` on a fresh connection. Raises its error, or `TimeoutError`."""
    return Aside(of_engine(engine, work)).result(seconds)
