"""The audit line: one record as one line of JSON, POSTed to a log that others keep."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from cicd_actions.toolkit.background import within
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import Inconclusive, UnusableInput
from cicd_actions.toolkit.printable import shortened, visible
from cicd_actions.toolkit.retry import Retry, retry_after
from cicd_actions.toolkit.runtime import Runtime

ONE_REQUEST = 10.0
"""Seconds that one attempt may take."""


@dataclass(frozen=True)
class AuditLog:
    """Where the lines go. `url` and `headers` are expanded already."""

    url: str
    headers: Mapping[str, str]
    runtime: Runtime
    deadline: Deadline

    @classmethod
    def of(cls, url: str, headers: tuple[str, ...], runtime: Runtime, deadline: Deadline) -> AuditLog | None:
        """`None` without a URL. Raises `UnusableInput`."""
        if not url:
            return None
        expanded = runtime.environment.expand(url, input="audit-url")
        if urlsplit(expanded).scheme not in {"http", "https"} or not urlsplit(expanded).hostname:
            raise UnusableInput(
                "Cannot post to `audit-url`: it is not an HTTP URL.",
                fix="    with:\n      audit-url: https://audit.example.com/deployments",
            )
        fields: dict[str, str] = {}
        for line in headers:
            name, colon, value = (part.strip() for part in line.partition(":"))
            if not colon or not name.replace("-", "").isalnum():
                # The line is not repeated: without its colon, it may be a token.
                raise UnusableInput(
                    "A line of the input `audit-headers` is not `Name: value`.",
                    fix='    with:\n      audit-headers: "Authorization: Bearer $AUDIT_TOKEN"',
                )
            fields[name] = runtime.environment.expand(value, input="audit-headers")
            if not fields[name].isprintable() or not fields[name].isascii():
                raise UnusableInput(f"The value of the audit header {name} has characters that no header can have.")
        return cls(expanded, fields, runtime, deadline)

    def write(self, record: Mapping[str, Any]) -> None:
        """POST one line. Raises `Inconclusive` when it was not taken within the deadline.

        The `Idempotency-Key` is the same for each attempt, so a line whose answer was lost is not kept twice:
        https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
        """
        line = json.dumps(record, separators=(",", ":"), sort_keys=True) + "\n"
        key = hashlib.sha256(line.encode()).hexdigest()
        fields = {"Content-Type": "application/x-ndjson", **self.headers, "Idempotency-Key": f'"{key}"'}

        def post() -> None:
            limit = self.deadline.timeout(ONE_REQUEST)
            if limit <= 0:
                raise httpx.WriteTimeout("the deadline passed")
            try:
                within(limit, lambda: send(limit))
            except TimeoutError as error:
                raise httpx.ReadTimeout(f"the answer did not come: {error}") from None

        def send(limit: float) -> None:
            # The answer's body may be endless, and is not read.
            with client.stream("POST", self.url, content=line.encode(), headers=fields, timeout=limit) as answer:
                if not answer.is_success:
                    raise httpx.HTTPStatusError(f"status {answer.status_code}", request=answer.request, response=answer)

        place = urlsplit(self.url).hostname
        with httpx.Client(follow_redirects=False) as client:
            try:
                Retry(f"write the audit line to {place}", self._again, self.deadline, self.runtime)(post)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                said = shortened(visible(self.runtime.redactor(str(error) or type(error).__name__)), 200)
                raise Inconclusive(
                    f"Could not write the audit line to {place}: {said}",
                    cause="The server is down, refuses the request, or was too slow for the input `timeout`.",
                    fix="Check `audit-url` and `audit-headers`; the line is written again by running the job again.",
                ) from None

    @staticmethod
    def _again(error: BaseException) -> float | bool:
        if isinstance(error, httpx.HTTPStatusError):
            status = error.response.status_code
            # 409: the first attempt is still being worked on, by the draft on idempotency keys.
            later = status >= 500 or status in {408, 409, 425, 429}
            return retry_after(error.response.headers.get("Retry-After", "")) if later else False
        return isinstance(error, httpx.TransportError) and not isinstance(error, httpx.UnsupportedProtocol)
