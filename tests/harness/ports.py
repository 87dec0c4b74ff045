"""Ports of the loopback for servers that take a number."""

from __future__ import annotations

import random
import socket


def free_port() -> int:
    """Returns a port that no process listens on now.

    It lies below those that the kernel gives to clients (32768 and above): none of them takes it before the server does.
    """
    while True:
        port = random.randrange(15000, 30000)  # noqa: S311 - not a secret
        with socket.socket() as one:
            try:
                one.bind(("", port))
            except OSError:
                continue
        return port
