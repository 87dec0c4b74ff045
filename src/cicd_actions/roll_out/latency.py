"""Reads the latencies of both releases from Prometheus while a canary has its share, and judges them."""

from __future__ import annotations

import math

from cicd_actions.canary_analysis import judgement
from cicd_actions.canary_analysis.histogram import Cumulative, HistogramTally
from cicd_actions.canary_analysis.judgement import Judged
from cicd_actions.engines.staged_protocol import Stage
from cicd_actions.roll_out.prometheus import Prometheus, Unreadable, by_labels, of_each_release
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.toolkit.verdict import Verdict


class Latency:
    """The latencies of one staged service since this was made.

    `query` selects bucket series, such as `http_request_duration_seconds_bucket{service="{service}"}`: `{service}` stands for
    the service's name and for `NAME-next`, `{sha}` for the commit of each release.
    """

    def __init__(self, prometheus: str, query: str, stage: Stage, runtime: Runtime) -> None:
        self._prometheus = Prometheus(prometheus, runtime)
        self._queries = of_each_release(query, stage)
        self._tallies = [HistogramTally(), HistogramTally()]
        self._problem = ""
        self.look()

    def look(self) -> None:
        """Takes the counters as they are now."""
        try:
            found = [histograms(self._prometheus.series(query)) for query in self._queries]
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


def histograms(series: list[tuple[dict[str, str], float]]) -> dict[str, Cumulative]:
    """Returns the bucket series by their labels without `le`. Raises `Unreadable`."""
    found: dict[str, dict[float, float]] = {}
    for labels, count in series:
        try:
            bound = float(labels["le"])
        except (KeyError, ValueError):
            raise Unreadable("Prometheus gave no histogram: a series has no bound `le`.") from None
        if not math.isfinite(count) or count < 0:
            raise Unreadable(f"Prometheus gave no histogram: a bucket holds {count:g} requests.")
        rest = {name: text for name, text in labels.items() if name != "le"}
        found.setdefault(by_labels(rest), {})[bound] = count
    return dict(found)
