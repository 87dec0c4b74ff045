"""Work that goes on beside a program that is waited for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Meanwhile(Generic[T]):
    """`work` in a separate thread, begun at once unless `later`. A cancelled action does not wait for it, as for a pool's."""

    def __init__(self, work: Callable[[], T], *, later: bool = False) -> None:
        self._work = work
        self._results: list[T] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._do, daemon=True)
        if not later:
            self.start()

    def start(self) -> None:
        """Begins the work, unless it has begun."""
        if self._thread.ident is None:
            self._thread.start()

    def _do(self) -> None:
        try:
            self._results.append(self._work())
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
            self._error = error

    def result(self) -> T:
        """What the work came to, once it is done. Raises what it raised."""
        self.start()
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._results[0]
