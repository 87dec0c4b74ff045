"""A server that never ends its answer: one byte every tenth of a second, so that no wait for a byte is ever too long."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

STARTS = {
    "headers": b"HTTP/1.1 200 OK\r\nX: ",
    "body": b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n",
}


@contextlib.contextmanager
def dripping(what: str) -> Iterator[str]:
    """Serve until the block is left; yields `127.0.0.1:<port>`. `what` is in `STARTS`."""
    over = threading.Event()
    threads: list[threading.Thread] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def answer(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.recv(65536)
            connection.sendall(STARTS[what])
            while not over.wait(0.1):
                connection.sendall(b"x")

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=answer, args=(connection,)))
            threads[-1].start()

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for thread in (acceptor, *threads):
            thread.join()
