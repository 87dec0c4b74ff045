"""A load of clients on one address, that counts what they got."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from types import TracebackType
from urllib.parse import urlsplit


class Load:
    """`with Load(url) as load:` asks from several threads, one connection a request, until the end of the block.

    `answers` counts by the answer's text (the version), `failures` by what went wrong. With `posts` every third request is a
    POST, which no proxy may repeat. A client pauses for this number of seconds between two requests.

    `samples` are all answers in their order: the time on the monotonic clock, and the text, empty for a failure.
    """

    def __init__(self, url: str, clients: int = 4, *, posts: bool = False, pause: float = 0.005) -> None:
        self.url = url
        self._posts = posts
        self._pause = pause
        self._address = urlsplit(url)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(clients)]
        self.answers: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.samples: list[tuple[float, str]] = []

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(20)

    def _ask(self) -> None:
        # A pause, or the clients alone would take the whole machine.
        count = 0
        while not self._stop.wait(self._pause):
            count += 1
            try:
                answer = self._once("POST" if self._posts and count % 3 == 0 else "GET")
            except (OSError, http.client.HTTPException) as error:
                with self._lock:
                    self.failures[f"{type(error).__name__}: {error}"] += 1
                    self.samples.append((time.monotonic(), ""))
            else:
                with self._lock:
                    self.answers[answer] += 1
                    self.samples.append((time.monotonic(), answer))

    def _once(self, method: str) -> str:
        connection = http.client.HTTPConnection(self._address.hostname or "", self._address.port, timeout=15)
        try:
            connection.request(method, self._address.path or "/")
            response = connection.getresponse()
            text = response.read().decode().strip()
            if response.status != 200:
                raise http.client.HTTPException(f"status {response.status}")
            return text
        finally:
            connection.close()
