"""Sends the figures to a Pushgateway and the traces to a collector."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from cicd_actions.toolkit.background import within
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import Inconclusive, UnusableInput
from cicd_actions.toolkit.printable import shortened, visible
from cicd_actions.toolkit.retry import Retry
from cicd_actions.toolkit.runtime import Runtime

ONE_REQUEST = 20.0
"""Seconds that one attempt may take."""

_AGAIN = {408, 425, 429, 500, 502, 503, 504}


@dataclass(frozen=True)
class Destination:
    """Where figures go. `input` is the input that named it."""

    input: str
    url: str
    headers: Mapping[str, str]
    runtime: Runtime
    deadline: Deadline

    @classmethod
    def of(cls, name: str, url: str, headers: Sequence[str], runtime: Runtime, deadline: Deadline) -> Destination | None:
        """`None` without a URL. Raises `UnusableInput`."""
        if not url:
            return None
        expanded = runtime.environment.expand(url, input=name)
        parts = urlsplit(expanded)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise UnusableInput(f"Cannot send to `{name}`: it is not an HTTP URL.", fix=f"    with:\n      {name}: https://…")
        if parts.password:
            runtime.environment.mask(parts.password)
        fields = {}
        for line in headers:
            key, colon, value = (part.strip() for part in line.partition(":"))
            if not colon or not key.replace("-", "").isalnum() or not key.isascii():
                # The line is not repeated: without its colon, it may be a token.
                raise UnusableInput(
                    "A line of the input `headers` is not `Name: value`.",
                    fix='    with:\n      headers: "Authorization: Bearer $METRICS_TOKEN"',
                )
            fields[key] = runtime.environment.expand(value, input="headers")
            if not fields[key].isprintable() or not fields[key].isascii():
                raise UnusableInput(f"The value of the header {key} has characters that no header can have.")
        return cls(name, expanded.rstrip("/"), fields, runtime, deadline)

    def push(self, text: str, group: Mapping[str, str]) -> None:
        """Replaces the figures of a group of a Pushgateway. Raises `Inconclusive`.

        https://github.com/prometheus/pushgateway#put-method
        """
        # As base64, because a label's value may hold a slash.
        path = "".join(f"/{name}@base64/{base64.urlsafe_b64encode(value.encode()).decode()}" for name, value in group.items())
        self._send("PUT", f"{self.url}/metrics{path}", text.encode("utf-8", "replace"), "text/plain; version=0.0.4")

    def trace(self, request: Mapping[str, Any]) -> None:
        """Sends an ExportTraceServiceRequest. Raises `Inconclusive`."""
        self._send("POST", self.url, json.dumps(request).encode(), "application/json")

    def _send(self, verb: str, url: str, content: bytes, kind: str) -> None:
        host = urlsplit(self.url).hostname

        def attempt() -> None:
            limit = self.deadline.timeout(ONE_REQUEST)
            if limit <= 0:
                raise httpx.WriteTimeout("the deadline passed")
            try:
                within(limit, lambda: send(limit))
            except TimeoutError as error:
                raise httpx.ReadTimeout(f"no answer: {error}") from None

        def send(limit: float) -> None:
            fields = {"Content-Type": kind, **self.headers}
            # The answer's body may be endless, and is not read.
            with client.stream(verb, url, content=content, headers=fields, timeout=limit) as answer:
                if not answer.is_success:
                    raise httpx.HTTPStatusError(f"status {answer.status_code}", request=answer.request, response=answer)

        with httpx.Client(follow_redirects=False) as client:
            try:
                Retry(f"send the figures to {host}", _again, self.deadline, self.runtime, attempts=3)(attempt)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                said = shortened(visible(self.runtime.redactor(str(error) or type(error).__name__)), 200)
                raise Inconclusive(
                    f"Could not send the figures to {host}: {said}.",
                    cause=f"The server of `{self.input}` is down, refuses the request, or was too slow.",
                    fix=f"Check `{self.input}` and `headers`.",
                ) from None


def _again(error: BaseException) -> bool:
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code in _AGAIN
    return isinstance(error, httpx.TransportError) and not isinstance(error, httpx.UnsupportedProtocol)
