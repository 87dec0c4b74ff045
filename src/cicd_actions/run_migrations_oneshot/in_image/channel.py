"""Reports what happens as JSON lines on the real standard output, which env.py can neither close nor replace."""

from __future__ import annotations

import json
import os
import threading
from typing import Any

from cicd_actions.run_migrations_oneshot.in_image.output import Output
from cicd_actions.run_migrations_oneshot.in_image.redaction import Redaction

LONGEST = 4000
"""Bytes of one line. Up to 4096 (PIPE_BUF on Linux) a write to a pipe is never mixed with that of another process."""


class Channel:
    """Writes lines `cicd-actions:<nonce> {"event": …}`. The nonce tells them from what a migration prints."""

    def __init__(self, nonce: str, redaction: Redaction, output: Output) -> None:
        self._prefix = f"cicd-actions:{nonce} "
        self._redaction = redaction
        self._output = output
        self._lock = threading.Lock()

    def hide(self, secret: str) -> None:
        """Hides a value in events and in everything that is printed."""
        self._output.hide(secret)

    def clean(self, text: str) -> str:
        """Returns the text without secrets."""
        return self._redaction(text)

    def drain(self, seconds: float = 1.0) -> None:
        """Waits until everything that was printed before has been passed on."""
        self._output.drain(seconds)

    def say(self, event: str, **fields: Any) -> None:
        """Writes one event. Text that would make the line too long is cut, the longest first."""
        body: dict[str, Any] = {"event": event, **{key: self._clean(value) for key, value in fields.items()}}
        line = self._line(body)
        while len(line) > LONGEST:
            if not _cut(body):
                body = {"event": event, "cut": True}
            line = self._line(body)
        with self._lock:
            while line:
                line = line[os.write(self._output.real, line) :]

    def _line(self, body: dict[str, Any]) -> bytes:
        return (self._prefix + json.dumps(body, ensure_ascii=True, default=str) + "\n").encode("ascii")

    def _clean(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._redaction(value)
        if isinstance(value, dict):
            return {key: self._clean(inner) for key, inner in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._clean(inner) for inner in value]
        return value


def _cut(body: dict[str, Any]) -> bool:
    """Shortens the longest text in the body by half. Returns false when nothing is left to shorten."""
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
    """Returns the text in pieces that fit a line whatever characters they hold."""
    return [text[at : at + size] for at in range(0, len(text), size)]
