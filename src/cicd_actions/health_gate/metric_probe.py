"""Reads one number: a Prometheus instant query, or a body that is nothing but a number."""

from __future__ import annotations

import math
import re
from dataclasses import replace

from cicd_actions.health_gate.answer import Answer
from cicd_actions.health_gate.expectations import SHOWN, Mismatch, Undecidable, json_value
from cicd_actions.health_gate.http_probe import HttpProber
from cicd_actions.health_gate.judge import REACHABLE_BEFORE
from cicd_actions.health_gate.observation import Observation, Outcome
from cicd_actions.health_gate.targets import Metric
from cicd_actions.toolkit import prometheus
from cicd_actions.toolkit.printable import beginning

_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?(?:nan|inf)", re.IGNORECASE)

JUDGED = ("metric", "missing-data")
"""Kinds that say something about the service. All else is about the metric's server."""

EMPTY = "no data: the query matched nothing"
NAN = "no data: the value is NaN, as 0/0 is when there were no requests"


class MetricProber(HttpProber):
    """The answer is right when all of its numbers are within the target's `metric`.

    Without a number there is no data, which `metric-no-data` judges. An error of the metric's server is never judged: that
    server is not what is gated.
    """

    @property
    def _metric(self) -> Metric:
        assert self.target.metric is not None  # noqa: S101 - the gate makes this prober for metrics only
        return self.target.metric

    async def probe(self, deadline: float) -> Observation:
        """Returns one observation, at the latest at `deadline`. Raises `UnusableInput` for a file that cannot be used."""
        seen = replace(await super().probe(deadline), reached=False)  # the service is not what was reached
        if seen.outcome is Outcome.UNFINISHED:
            return seen  # the deadline cut it: an answer before it says more
        if seen.kind in REACHABLE_BEFORE or (seen.judged_wrong and seen.kind not in JUDGED):
            return replace(seen, outcome=Outcome.UNJUDGED, kind="metric-error", permanent=False)
        return seen

    def _expected(self) -> str:
        return str(self._metric)

    _reads_body = True
    _said = ""

    def _came(self, answer: Answer) -> str:
        return self._said or super()._came(answer)

    def _check(self, answer: Answer, took: float) -> tuple[list[Mismatch], str | None]:  # a metric has no latency to judge
        expected = self._expected()
        try:
            if answer.status != 200:
                said = error_of(answer)
                raise ValueError(f"the metric's server answered status {answer.status}{f': {said}' if said else ''}")
            values = read(answer)
        except ValueError as error:
            return [Mismatch("metric-error", expected, str(error))], None
        self._said = NAN if values else EMPTY
        numbers = [value for value in values if not math.isnan(value)]
        if not numbers:
            kind = {"inconclusive": "no-data", "fail": "missing-data"}.get(self._metric.no_data)
            return [Mismatch(kind, expected, NAN if values else EMPTY)] if kind else [], None
        outside = [value for value in numbers if value not in self._metric]
        if outside:
            worst = max(outside) if self._metric.most is not None and max(outside) > self._metric.most else min(outside)
            return [Mismatch("metric", expected, f"{worst:g}" + (f", one of {len(numbers)}" if len(numbers) > 1 else ""))], None
        shown = f"{numbers[0]:g}" if len(numbers) == 1 else f"{min(numbers):g} to {max(numbers):g} ({len(numbers)} values)"
        self._said = f"value {shown}"
        return [], None


def read(answer: Answer) -> list[float]:
    """Returns the numbers in the body, NaN included. Raises `ValueError` for anything else.

    Prometheus: https://prometheus.io/docs/prometheus/latest/querying/api/#instant-queries
    """
    text = answer.text.strip()
    if _NUMBER.fullmatch(text):
        return [float(text)]
    try:
        document = json_value(answer)
    except (ValueError, RecursionError, Undecidable):
        raise ValueError(f"the answer is neither a number nor Prometheus's JSON: {beginning(text, SHOWN)}") from None
    return [float(value) for value in _values(document)]


def error_of(answer: Answer) -> str:
    """Returns what Prometheus says of a query that it refuses, such as `bad_data: parse error …`; empty for other bodies."""
    try:
        document = json_value(answer)
    except (ValueError, RecursionError, Undecidable):
        return ""
    if not isinstance(document, dict) or not isinstance(document.get("error"), str):
        return ""
    kind = document.get("errorType")
    return beginning(f"{kind}: {document['error']}" if isinstance(kind, str) else document["error"], SHOWN)


def _values(document: object) -> list[str]:
    if not isinstance(document, dict) or not isinstance(document.get("data"), dict):
        raise ValueError("the JSON has no `data`, as an answer of Prometheus has")  # noqa: TRY004 - of an answer, not of a caller
    if document.get("status") != "success":
        raise ValueError(f"Prometheus says: {beginning(str(document.get('error', document.get('status'))), SHOWN)}")
    if warning := prometheus.incomplete(document):
        raise ValueError(f"the answer is incomplete, Prometheus warns: {beginning(warning, SHOWN)}")
    data = document["data"]
    kind, result = data.get("resultType"), data.get("result")
    if kind == "scalar":
        samples = [result]
    elif kind == "vector" and isinstance(result, list):
        samples = [sample.get("value") if isinstance(sample, dict) else None for sample in result]
    else:
        raise ValueError(f"the result is a {kind}, and an instant query gives a vector or a scalar")
    values: list[str] = []
    for sample in samples:
        # Prometheus writes infinity as `+Inf`.
        if (
            not isinstance(sample, list)
            or len(sample) != 2
            or not isinstance(sample[1], str)
            or not _NUMBER.fullmatch(sample[1])
        ):
            raise ValueError("a sample is not a time and a number")
        values.append(sample[1])
    return values
