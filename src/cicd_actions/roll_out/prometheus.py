"""Asks Prometheus an instant query about one release, and checks the queries before anything moves."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx

from cicd_actions.engines.staged_protocol import Stage
from cicd_actions.toolkit import prometheus
from cicd_actions.toolkit.background import within
from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.toolkit.printable import shortened, visible
from cicd_actions.toolkit.process import filled
from cicd_actions.toolkit.runtime import Runtime

ONE_REQUEST = 10.0
"""Seconds that one answer may take."""

LONGEST = 4 * 1024 * 1024
"""Bytes of an answer: a hundred replicas with a hundred buckets are 2 MB."""

_EXAMPLES = {
    "prometheus": "http://prometheus:9090",
    "latency-query": 'http_request_duration_seconds_bucket{service="{service}"}',
    "requests-query": 'http_requests_total{pod=~"{service}-[a-z0-9]+-[a-z0-9]{5}"}',
    "errors-query": 'http_requests_total{pod=~"{service}-[a-z0-9]+-[a-z0-9]{5}",code=~"5.."}',
}

_trust = functools.cache(httpx.create_ssl_context)
"""Makes the system's trust once: that takes longer than a request."""


class Unreadable(Exception):
    """Prometheus did not give what was asked for; the text says what it gave."""


class Prometheus:
    """One server. `$NAME` in its address is expanded."""

    def __init__(self, address: str, runtime: Runtime) -> None:
        self._url = f"{runtime.environment.expand(address, input='prometheus').rstrip('/')}/api/v1/query"
        self._runtime = runtime

    def series(self, query: str) -> list[tuple[dict[str, str], float]]:
        """Returns the labels and the value of each series. Raises `Unreadable`.

        https://prometheus.io/docs/prometheus/latest/querying/api/#instant-queries
        """
        try:
            return vector(within(ONE_REQUEST, lambda: self._fetch(query)))
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError) as error:
            place = urlsplit(self._url).hostname
            said = shortened(visible(self._runtime.redactor(str(error) or type(error).__name__)), 200)
            raise Unreadable(f"Prometheus at {place} did not answer the query: {said}") from None

    def _fetch(self, query: str) -> str:
        read = bytearray()
        with (
            httpx.Client(timeout=ONE_REQUEST, verify=_trust()) as client,
            client.stream("GET", self._url, params={"query": query}) as answer,
        ):
            for piece in answer.iter_bytes():
                read += piece
                if len(read) > LONGEST:
                    raise ValueError(f"its answer is longer than {LONGEST} bytes")
        if answer.status_code != 200:
            raise ValueError(f"status {answer.status_code}: {shortened(read.decode('utf-8', 'replace'), 150)}")
        return read.decode("utf-8", "replace")


def vector(text: str) -> list[tuple[dict[str, str], float]]:
    """Reads the answer of an instant query. Raises `ValueError`."""
    try:
        answer = json.loads(text)
        if warning := prometheus.incomplete(answer):
            raise ValueError(f"the answer is incomplete, Prometheus warns: {shortened(warning, 100)}")
        result = answer["data"]["result"]
        return [({str(key): str(word) for key, word in each["metric"].items()}, float(each["value"][1])) for each in result]
    except (KeyError, IndexError, TypeError, AttributeError):
        raise ValueError(f"it is not the answer to an instant query: {shortened(text, 100)}") from None


def of_each_release(query: str, stage: Stage) -> tuple[str, str]:
    """Returns the query for the new and for the old release: `{service}` and `{sha}` filled in."""
    name = stage.service.partition("/")[0]
    new = {"service": f"{name}-next", "sha": stage.target.sha}
    old = {"service": name, "sha": stage.before_sha}
    return filled((query,), new)[0], filled((query,), old)[0]


def refuse(address: str, queries: Mapping[str, str], runtime: Runtime) -> None:
    """Raises `UnusableInput` for an address, or queries by their input's name, that cannot work."""
    given = [name for name, query in queries.items() if query]
    if bool(address) != bool(given):
        raise _missing("prometheus" if given else next(iter(queries)))
    counting = [name for name in given if name in {"requests-query", "errors-query"}]
    if len(counting) == 1:
        raise _missing("errors-query" if counting == ["requests-query"] else "requests-query")
    if not address:
        return
    parts = urlsplit(runtime.environment.expand(address, input="prometheus"))
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise UnusableInput("Cannot ask Prometheus: the input `prometheus` is not an HTTP address.", fix=_fix("prometheus"))
    for name in given:
        if "{service}" not in queries[name] and "{sha}" not in queries[name]:
            raise UnusableInput(
                f"Cannot compare the releases: the input `{name}` selects the same series for both.", fix=_fix(name)
            )


def _missing(name: str) -> UnusableInput:
    return UnusableInput(f"Cannot compare the releases by Prometheus: the input `{name}` is not set.", fix=_fix(name))


def _fix(name: str) -> str:
    return f"    with:\n      {name}: '{_EXAMPLES[name]}'"


def by_labels(found: Mapping[Any, Any]) -> str:
    """Returns a name for the series with these labels."""
    return json.dumps(found, sort_keys=True)
