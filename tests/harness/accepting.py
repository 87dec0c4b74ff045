"""Accepts connections in a thread, and ends that for certain."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable


class Accepting:
    """Hands each connection of a listener to `take`, one after the other, until it is closed.

    To close a listener does not end an `accept` in another thread. That one goes on with the number of the descriptor, which
    the next socket of the process gets, and takes its connections: a server of another test then waits forever.
    """

    def __init__(self, listener: socket.socket, take: Callable[[socket.socket], object]) -> None:
        self.listener = listener
        self._take = take
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        port: int = self.listener.getsockname()[1]
        return port

    def close(self) -> None:
        """May be called twice."""
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self.listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self._take(connection)
