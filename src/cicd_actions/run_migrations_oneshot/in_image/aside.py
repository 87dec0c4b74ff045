"""Work on a fresh connection, made as the application makes its own, in a thread of its own: while the migration's own
connection sits in a statement, and for a proof that does not ask the session which did the work."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, Callable


class Aside:
    """`work(dbapi)` under way in its thread."""

    def __init__(self, engine: Any, work: Callable[[Any], Any]) -> None:
        self._engine = engine
        self._work = work
        self._result: Any = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def result(self, seconds: float) -> Any:
        """What `work` gave. Raises its error, or `TimeoutError`."""
        self._thread.join(seconds)
        if self._thread.is_alive():
            raise TimeoutError(f"the database did not answer within {seconds:g} s")
        if self._error is not None:
            raise self._error
        return self._result

    def _run(self) -> None:
        try:
            if getattr(self._engine.dialect, "is_async", False):
                from sqlalchemy.util import greenlet_spawn  # noqa: PLC0415 - not there before SQLAlchemy 1.4

                async def work() -> None:
                    await greenlet_spawn(self._body)

                asyncio.run(work())
            else:
                self._body()
        except BaseException as error:  # noqa: BLE001 - whoever asks for the result gets it
            self._error = error

    def _body(self) -> None:
        # The pool's own way to connect: with the application's arguments, hooks and certificates.
        fairy = self._engine.pool.recreate().connect()
        dbapi = dbapi_of(fairy)
        try:
            if self._engine.dialect.name == "postgresql":
                # Nothing here may hold a snapshot, or keep a lock until somebody commits.
                self._engine.dialect.set_isolation_level(dbapi, "AUTOCOMMIT")
            self._result = self._work(dbapi)
        finally:
            fairy.invalidate()


def dbapi_of(fairy: Any) -> Any:
    """The DBAPI connection behind a pooled one (the attribute's name is that of SQLAlchemy 1.4.24 and later)."""
    return getattr(fairy, "dbapi_connection", None) or fairy.connection


def on_fresh(engine: Any, work: Callable[[Any], Any], seconds: float = 10.0) -> Any:
    """`work(dbapi)` on a fresh connection, waited for. Raises its error, or `TimeoutError`."""
    return Aside(engine, work).result(seconds)
