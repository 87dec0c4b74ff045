"""Reads one number: a Prometheus instant query, or a body that is nothing but a number."""

from __future__ import annotations

import json
import math
import re

from cicd_actions.health_gate.answer import Answer
from cicd_actions.health_gate.expectations import SHOWN, Mismatch
from cicd_actions.health_gate.http_probe import HttpProber
from cicd_actions.toolkit.printable import beginning

_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?(?:nan|inf)", re.IGNORECASE)


class MetricProber(HttpProber):
    """The answer is right when its number is at most the target's `metric_max`; no number is no data, and proves nothing."""

    def _expected(self) -> str:
        return f"a value of at most {self.target.metric_max:g}"

    def _check(self, answer: Answer, took: float) -> tuple[list[Mismatch], str | None]:  # noqa: ARG002 - a metric's latency is nobody's
        expected = self._expected()
        if answer.status != 200:
            # The metric's server is not what is gated: its errors say nothing about the target.
            return [Mismatch("no-data", expected, f"status {answer.status} of the metric's server")], None
        try:
            values = read(answer.body)
        except ValueError as error:
            return [Mismatch("no-data", expected, f"no number: {error}")], None
        if not values:
            return [Mismatch("no-data", expected, "no data: the query matched nothing yet")], None
        worst = max(values)
        assert self.target.metric_max is not None  # noqa: S101 - what makes it a metric
        if worst > self.target.metric_max:
            return [
                Mismatch("metric", expected, f"{worst:g}" + (f", the highest of {len(values)}" if len(values) > 1 else ""))
            ], None
        return [], None


def read(body: bytes) -> list[float]:
    """The numbers in the body, without those that are none (NaN). Raises `ValueError` when it is something else.

    Prometheus: https://prometheus.io/docs/prometheus/latest/querying/api/#instant-queries
    """
    text = body.decode("utf-8", "replace").strip()
    if _NUMBER.fullmatch(text):
        found = [float(text)]
    else:
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            raise ValueError(f"the answer is neither a number nor Prometheus's JSON: {beginning(text, SHOWN)}") from None
        found = [float(value) for value in _values(document)]
    return [value for value in found if not math.isnan(value)]


def _values(document: object) -> list[str]:
    if not isinstance(document, dict) or not isinstance(document.get("data"), dict):
        raise ValueError("the JSON has no `data`, as an answer of Prometheus has")  # noqa: TRY004 - of an answer, not of a caller
    if document.get("status") != "success":
        raise ValueError(f"Prometheus says: {beginning(str(document.get('error', document.get('status'))), SHOWN)}")
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
        if not isinstance(sample, list) or len(sample) != 2 or not isinstance(sample[1], str) or not _readable(sample[1]):
            raise ValueError("a sample is not a time and a number")
        values.append(sample[1])
    return values


def _readable(text: str) -> bool:
    # Prometheus writes infinity as `+Inf`.
    return _NUMBER.fullmatch(text) is not None
