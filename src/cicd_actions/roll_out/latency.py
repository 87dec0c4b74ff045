"""Reads the latencies of both releases from Prometheus while a canary has its share, and judges them."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping
from urllib.parse import urlsplit

import httpx

from cicd_actions.canary_analysis import judgement
from cicd_actions.canary_analysis.histogram import Cumulative, HistogramTally
from cicd_actions.canary_analysis.judgement import Judged
from cicd_actions.engines.staged_protocol import Stage
from cicd_actions.toolkit.background import within
from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.toolkit.printable import shortened, visible
from cicd_actions.toolkit.process import filled
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.toolkit.verdict import Verdict

ONE_REQUEST = 10.0
"""Seconds that one answer may take."""

LONGEST = 4 * 1024 * 1024
"""Bytes of an answer: a hundred replicas with a hundred buckets are 2 MB."""


_trust = functools.cache(httpx.create_ssl_context)
"""Makes the system's trust once: that takes longer than a request."""


class Unreadable(Exception):
    """Prometheus did not give histograms; the text says what it gave."""


class Latency:
    """The latencies of one staged service since this was made.

    `query` selects bucket series, such as `http_request_duration_seconds_bucket{service="{service}"}`: `{service}` stands for
    the service's name and for `NAME-next`, `{sha}` for the commit of each release.
    """

    def __init__(self, prometheus: str, query: str, stage: Stage, runtime: Runtime) -> None:
        self._url = f"{runtime.environment.expand(prometheus, input='prometheus').rstrip('/')}/api/v1/query"
        self._runtime = runtime
        old = {"service": stage.service, "sha": stage.before_sha}
        new = {"service": f"{stage.service}-next", "sha": stage.target.sha}
        self._queries = [filled((query,), values)[0] for values in (new, old)]
        self._tallies = [HistogramTally(), HistogramTally()]
        self._problem = ""
        self.look()

    def look(self) -> None:
        """Takes the counters as they are now."""
        try:
            found = [self._ask(query) for query in self._queries]
        except Unreadable as error:
            self._problem = str(error)
            return
        self._problem = ""
        for tally, series in zip(self._tallies, found, strict=True):
            tally.add(series)

    def judged(self) -> Judged:
        """Judges what was seen so far. It is inconclusive where the last look failed."""
        new, old = self._tallies
        if self._problem:
            return Judged(Verdict.INCONCLUSIVE, f"Latency: {self._problem}")
        if new.bounds and old.bounds and new.bounds != old.bounds:
            return Judged(Verdict.INCONCLUSIVE, "Latency: the histograms of the two releases have different buckets.")
        return judgement.latency(new.counts, old.counts)

    def _ask(self, query: str) -> Mapping[str, Cumulative]:
        """Returns the series of one release by their labels without `le`. Raises `Unreadable`."""
        try:
            text = within(ONE_REQUEST, lambda: self._fetch(query))
            return series(text)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError) as error:
            place = urlsplit(self._url).hostname
            said = shortened(visible(self._runtime.redactor(str(error) or type(error).__name__)), 200)
            raise Unreadable(f"Prometheus at {place} gave no histogram: {said}") from None

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


def series(text: str) -> dict[str, Cumulative]:
    """Reads the answer of an instant query: bucket series by their labels without `le`. Raises `ValueError`.

    https://prometheus.io/docs/prometheus/latest/querying/api/#instant-queries
    """
    try:
        result = json.loads(text)["data"]["result"]
        found: dict[str, dict[float, float]] = {}
        for each in result:
            labels = dict(each["metric"])
            bound, count = float(labels.pop("le")), float(each["value"][1])
            if not math.isfinite(count) or count < 0:
                raise ValueError(f"a bucket holds {count:g} requests")
            found.setdefault(json.dumps(labels, sort_keys=True), {})[bound] = count
    except (KeyError, IndexError, TypeError):
        raise ValueError(f"it is not the answer to an instant query of bucket series: {shortened(text, 100)}") from None
    return dict(found)


def refuse(prometheus: str, query: str, runtime: Runtime) -> None:
    """Raises `UnusableInput` for an address or a query that cannot work, before anything moves."""
    if bool(prometheus) != bool(query):
        missing = "latency-query" if prometheus else "prometheus"
        example = 'http_request_duration_seconds_bucket{service="{service}"}' if prometheus else "http://prometheus:9090"
        raise UnusableInput(
            f"Cannot compare latencies: the input `{missing}` is not set.", fix=f"    with:\n      {missing}: '{example}'"
        )
    if not prometheus:
        return
    parts = urlsplit(runtime.environment.expand(prometheus, input="prometheus"))
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise UnusableInput(
            "Cannot compare latencies: the input `prometheus` is not an HTTP address.",
            fix="    with:\n      prometheus: http://prometheus:9090",
        )
    if "{service}" not in query and "{sha}" not in query:
        raise UnusableInput(
            "Cannot compare latencies: the input `latency-query` selects the same series for both releases.",
            fix="    with:\n      latency-query: 'http_request_duration_seconds_bucket{service=\"{service}\"}'",
        )
