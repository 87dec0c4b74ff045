"""Says what happens as JSON lines, on a standard output of its own: env.py may close or replace the one that Python knows."""

from __future__ import annotations

import json
import os
import threading
from typing import Any

LONGEST = 4000
"""Bytes of one line. Up to 4096 (PIPE_BUF on Linux) a write to a pipe is never mixed with that of another process."""

MASK = "***"


class Channel:
    """Lines `cicd-actions:<nonce> {"event": …}`. The nonce keeps what a migration prints from being taken for one of them."""

    def __init__(self, nonce: str) -> None:
        self._prefix = f"cicd-actions:{nonce} "
        self._output = os.dup(1)
        self._lock = threading.Lock()
        self._hidden: set[str] = set()

    def hide(self, secret: str) -> None:
        """Never say this value. Shorter ones than six characters are left alone: they hide nothing and spoil every text."""
        if len(secret) >= 6:
            self._hidden.add(secret)

    def say(self, event: str, **fields: Any) -> None:
        """Write one event. Text that would make the line too long is cut, the longest first."""
        body: dict[str, Any] = {"event": event, **{key: self._clean(value) for key, value in fields.items()}}
        line = self._line(body)
        while len(line) > LONGEST:
            if not _cut(body):
                body = {"event": event, "cut": True}
            line = self._line(body)
        with self._lock:
            while line:
                line = line[os.write(self._output, line) :]

    def _line(self, body: dict[str, Any]) -> bytes:
        return (self._prefix + json.dumps(body, ensure_ascii=True, default=str) + "\n").encode("ascii")

    def _clean(self, value: Any) -> Any:
        if isinstance(value, str):
            for secret in self._hidden:
                value = value.replace(secret, MASK)
            return value
        if isinstance(value, dict):
            return {key: self._clean(inner) for key, inner in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._clean(inner) for inner in value]
        return value


def _cut(body: dict[str, Any]) -> bool:
    """Shorten the longest text in the body by half; false when nothing is left to shorten."""
    longest: tuple[int, Any, Any] = (0, None, None)
    todo: list[Any] = [body]
    while todo:
        holder = todo.pop()
        for key, value in list(holder.items()) if isinstance(holder, dict) else list(enumerate(holder)):
            if isinstance(value, str) and key != "event" and len(value) > longest[0]:
                longest = (len(value), holder, key)
            elif isinstance(value, (dict, list)):
                todo.append(value)
    size, holder, key = longest
    if size < 40:
        return False
    holder[key] = holder[key][: size // 2] + "…"
    return True


def chunks(text: str, size: int = 600) -> list[str]:
    """The text in pieces that fit a line whatever characters they hold."""
    return [text[at : at + size] for at in range(0, len(text), size)]
