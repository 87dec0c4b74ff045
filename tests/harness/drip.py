"""A server that never ends its answer: one byte every tenth of a second, so that no wait for a byte is ever too long."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

from tests.harness.accepting import Accepting

STARTS = {
    "headers": b"HTTP/1.1 200 OK\r\nX: ",
    "body": b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n",
}


@contextlib.contextmanager
def dripping(what: str) -> Iterator[str]:
    """Serve until the block is left; yields `127.0.0.1:<port>`. `what` is in `STARTS`."""
    over = threading.Event()
    threads: list[threading.Thread] = []

    def answer(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.recv(65536)
            connection.sendall(STARTS[what])
            while not over.wait(0.1):
                connection.sendall(b"x")

    def take(connection: socket.socket) -> None:
        threads.append(threading.Thread(target=answer, args=(connection,)))
        threads[-1].start()

    accepting = Accepting(socket.create_server(("127.0.0.1", 0)), take)
    try:
        yield f"127.0.0.1:{accepting.port}"
    finally:
        over.set()
        accepting.close()
        for thread in threads:
            thread.join()
