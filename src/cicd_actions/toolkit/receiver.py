"""A server that an input names and that takes what an action sends: an audit log, a Pushgateway, a collector of traces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from cicd_actions.toolkit.background import within
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import Inconclusive, UnusableInput
from cicd_actions.toolkit.inputs import as_yaml
from cicd_actions.toolkit.printable import shortened, visible
from cicd_actions.toolkit.retry import Retry, retry_after
from cicd_actions.toolkit.runtime import Runtime

LATER = frozenset({408, 409, 425, 429})
"""Statuses below 500 that another attempt can cure. 409: the first attempt is still at work, by the draft on idempotency keys,
https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/"""


@dataclass(frozen=True)
class Receiver:
    """Where requests go. `url` and `headers` are expanded already; `input` and `headers_input` named them."""

    input: str
    headers_input: str
    url: str
    headers: Mapping[str, str]
    runtime: Runtime
    deadline: Deadline

    @classmethod
    def of(
        cls, name: str, url: str, headers_input: str, headers: Sequence[str], runtime: Runtime, deadline: Deadline
    ) -> Receiver | None:
        """Returns `None` without a URL. Raises `UnusableInput`."""
        if not url:
            return None
        expanded = runtime.environment.expand(url, input=name)
        parts = urlsplit(expanded)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise UnusableInput(
                f"Cannot send to `{name}`: it is not an HTTP URL.", fix=f"    with:\n      {name}: https://example.com/…"
            )
        if parts.password:
            runtime.environment.mask(parts.password)
        fields: dict[str, str] = {}
        for line in headers:
            key, colon, value = (part.strip() for part in line.partition(":"))
            if not colon or not key.replace("-", "").isalnum() or not key.isascii():
                # The line is not repeated: without its colon, it may be a token.
                raise UnusableInput(
                    f"A line of the input `{headers_input}` is not `Name: value`.",
                    fix=f"    with:\n      {as_yaml(headers_input, 'Authorization: Bearer $TOKEN')}",
                )
            fields[key] = runtime.environment.expand(value, input=headers_input)
            if not fields[key].isprintable() or not fields[key].isascii():
                raise UnusableInput(
                    f"The value of the header {key} (input `{headers_input}`) has characters that no header can have."
                )
        return cls(name, headers_input, expanded, fields, runtime, deadline)

    def send(
        self,
        what: str,
        verb: str,
        content: bytes,
        headers: Mapping[str, str],
        *,
        path: str = "",
        seconds: float = 10.0,
        attempts: int = 5,
    ) -> None:
        """Makes one request, again where that can help, each attempt for at most `seconds`. Raises `Inconclusive`.

        `what` completes "Could not … HOST". An attempt whose answer was lost may have arrived: give an `Idempotency-Key`, or
        content that may arrive twice.
        """
        host = urlsplit(self.url).hostname
        url = f"{self.url.rstrip('/')}{path}" if path else self.url

        def attempt() -> None:
            limit = self.deadline.timeout(seconds)
            if limit <= 0:
                raise httpx.WriteTimeout("the deadline passed")
            try:
                within(limit, lambda: send(limit))
            except TimeoutError as error:
                raise httpx.ReadTimeout(f"no answer: {error}") from None

        def send(limit: float) -> None:
            fields = {**headers, **self.headers}
            # The answer's body may be endless, and is not read.
            with client.stream(verb, url, content=content, headers=fields, timeout=limit) as answer:
                if not answer.is_success:
                    raise httpx.HTTPStatusError(f"status {answer.status_code}", request=answer.request, response=answer)

        with httpx.Client(follow_redirects=False) as client:
            try:
                Retry(f"{what} {host}", _again, self.deadline, self.runtime, attempts=attempts)(attempt)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                said = shortened(visible(self.runtime.redactor(str(error) or type(error).__name__)), 200)
                raise Inconclusive(
                    f"Could not {what} {host}: {said}.",
                    cause=f"The server of `{self.input}` is down, refuses the request, or did not answer within `timeout`.",
                    fix=f"Check `{self.input}` and `{self.headers_input}`, then run the job again.",
                ) from None


def _again(error: BaseException) -> float | bool:
    if isinstance(error, httpx.HTTPStatusError):
        status = error.response.status_code
        later = status >= 500 or status in LATER
        return retry_after(error.response.headers.get("Retry-After", "")) if later else False
    return isinstance(error, httpx.TransportError) and not isinstance(error, httpx.UnsupportedProtocol)
