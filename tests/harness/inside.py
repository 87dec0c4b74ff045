"""Clients inside a network of Docker, which find a service by its name alone: no proxy stands between."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Any

import docker

from tests.harness.engine import BASE

_PROGRAM = """
import http.client, json, random, socket, sys, threading, time
from collections import Counter
name, clients, pause = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
answers, errors, failures, lock = Counter(), Counter(), Counter(), threading.Lock()

def once():
    # One address by chance, and no other one where that fails: a client that tries the next one would hide it.
    address = random.choice(socket.getaddrinfo(name, 8000, socket.AF_INET, socket.SOCK_STREAM))[4][0]
    connection = http.client.HTTPConnection(address, 8000, timeout=15)
    try:
        connection.request("GET", "/")
        response = connection.getresponse()
        return response.status, response.read().decode().strip()
    finally:
        connection.close()

def ask():
    while True:
        time.sleep(pause)
        try:
            status, version = once()
        except (OSError, http.client.HTTPException) as error:
            with lock:
                failures[f"{type(error).__name__}: {error}"] += 1
        else:
            with lock:
                answers[version] += 1
                errors[version] += status >= 500

for _ in range(clients):
    threading.Thread(target=ask, daemon=True).start()
while True:
    time.sleep(0.1)
    with lock:
        print(json.dumps([answers, errors, failures]), flush=True)
"""


class Inside:
    """`with Inside(client, network, name) as load:` asks by one connection a request, until the end of the block.

    `answers` and `errors` (status 5xx) count by the version that answered, `failures` by what went wrong. `on_change` is called
    after each look.
    """

    def __init__(
        self,
        client: docker.DockerClient,
        network: str,
        name: str,
        on_change: Callable[[Inside], None] = lambda _load: None,
        *,
        clients: int = 4,
        pause: float = 0.005,
    ) -> None:
        words = ["python3", "-c", _PROGRAM, name, str(clients), str(pause)]
        self._made: Any = client.containers.create(BASE, words, network=network)
        self._on_change = on_change
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.answers: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()

    def __enter__(self) -> Inside:
        self._made.start()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join(20)
        self._look()
        self._made.remove(force=True)

    def _watch(self) -> None:
        while not self._stop.wait(0.2):
            self._look()

    def _look(self) -> None:
        lines = self._made.logs(tail=1).decode().splitlines()
        if not lines:
            return
        self.answers, self.errors, self.failures = (Counter(each) for each in json.loads(lines[-1]))
        self._on_change(self)
