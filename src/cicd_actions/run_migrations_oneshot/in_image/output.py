"""Filters everything that this process and its children print.

A child process stands between them and the real standard output. It also sees what a driver in C or `psql` prints, and it
passes on the last words of a process that is stopped or crashes.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time

from cicd_actions.run_migrations_oneshot.in_image.redaction import Redaction

_LONGEST = 64 * 1024
"""Bytes of a line without an end that are kept back at most."""

_KEPT = 4096
"""Bytes of such a line that are kept back when the rest is written: no password is longer."""


class Output:
    """Redirects file descriptors 1 and 2 into the filter. `real` is the real standard output."""

    def __init__(self, nonce: str, redaction: Redaction) -> None:
        self._control = f"cicd-actions-output:{nonce} ".encode()
        self._redaction = redaction
        self.real = os.dup(1)
        reading, writing = os.pipe()
        self._drained, drained = os.pipe()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        if os.fork() == 0:
            os.close(writing)
            os.close(self._drained)
            try:
                self._forward(reading, drained)
            finally:
                os._exit(0)
        os.close(reading)
        os.close(drained)
        os.dup2(writing, 1)
        os.dup2(writing, 2)
        self._writing = writing
        self._asked = self._answered = 0

    def hide(self, secret: str) -> None:
        """Hides a secret that came up later, in everything that is printed after this call."""
        if self._redaction.add(secret):
            self._tell(secret)

    def drain(self, seconds: float) -> None:
        """Waits until the filter has passed on what was printed so far, `seconds` at most. One thread asks."""
        end = time.monotonic() + seconds
        self._asked += 1
        self._tell("")
        while self._answered < self._asked and select.select([self._drained], [], [], max(end - time.monotonic(), 0))[0]:
            self._answered += len(os.read(self._drained, 99)) or self._asked  # at its end, the filter is gone

    def _tell(self, word: str) -> None:
        line = self._control + json.dumps(word).encode() + b"\n"
        # Longer writes may be mixed with those of other processes (PIPE_BUF).
        if len(line) <= 4096:
            try:
                os.write(self._writing, line)
            except OSError:  # the filter is gone, and with it the reader
                return

    def _forward(self, reading: int, drained: int) -> None:
        """The filter's whole life: line by line until the last writer is gone."""
        rest = b""
        while True:
            data = os.read(reading, 65536)
            lines = (rest + data).split(b"\n")
            rest = lines.pop()
            for at, line in enumerate(lines):
                before, found, word = line.partition(self._control)
                if not found:
                    self._write(line + b"\n")
                    continue
                told = json.loads(word)
                if told:
                    self._redaction.add(told)
                else:
                    self._write(before)
                    before = b""
                    os.write(drained, b".")
                # The line that was begun before the word goes on after it.
                if at + 1 < len(lines):
                    lines[at + 1] = before + lines[at + 1]
                else:
                    rest = before + rest
            if len(rest) > _LONGEST:
                # What is kept back may be the beginning of a secret.
                rest = self._clean(rest)
                self._write(rest[:-_KEPT])
                rest = rest[-_KEPT:]
            if not data:
                self._write(rest)
                return

    def _clean(self, line: bytes) -> bytes:
        return self._redaction(line.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")

    def _write(self, line: bytes) -> None:
        text = self._clean(line)
        while text:
            text = text[os.write(self.real, text) :]
