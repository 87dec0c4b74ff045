"""Thresholds on figures: `success-rate < 95%` fails the check when the success rate is below 95 %."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cicd_actions.pipeline_metrics.metrics import METRICS, Figure, shown
from cicd_actions.toolkit.grammar import NotUnderstood, duration, fits, nearest, number

_LINE = re.compile(r"([a-z0-9-]+)\s*(<=|>=|<|>)\s*(\S.*)")
_COMPARED: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True)
class Threshold:
    """One line of `fail-on`. `limit` is in the metric's unit."""

    text: str
    metric: str
    sign: str
    limit: float

    def broken(self, figure: Figure) -> bool | None:
        """Returns whether the figure is what fails the check; `None` where there are too few samples."""
        return None if figure.value is None else _COMPARED[self.sign](figure.value, self.limit)

    def __str__(self) -> str:
        return f"{METRICS[self.metric].title} {self.sign} {shown(self.limit, METRICS[self.metric].unit)}"


def threshold(text: str) -> Threshold:
    """Reads one line. Raises `NotUnderstood`."""
    match = _LINE.fullmatch(text.strip())
    if match is None:
        raise NotUnderstood(f"`{text[:200]}` is not a metric, a sign and a value", example=_EXAMPLE)
    name, sign, limit = match[1], match[2], match[3].strip()
    if name not in METRICS:
        meant = nearest(name, METRICS)
        known = f"did you mean `{meant}`?" if meant else f"known are {', '.join(METRICS)}"
        example = f"{meant} {sign} {limit}"
        raise NotUnderstood(f"`{name}` is not a metric: {known}", example=example if fits(threshold, example) else _EXAMPLE)
    try:
        return Threshold(text, name, sign, _limit(limit, METRICS[name].unit))
    except NotUnderstood as error:
        raise NotUnderstood(f"the value of `{name}`: {error}", example=f"{name} {sign} {error.example}") from None


def _limit(text: str, unit: str) -> float:
    if unit == "s":
        return duration(text)
    return number(text.removesuffix("%").strip() if unit == "%" else text)


_EXAMPLE = "success-rate < 95%"


def rate(text: str) -> tuple[str, float]:
    """Reads `ubuntu-*=0.006`: a pattern of runner labels and the price of a minute. Raises `NotUnderstood`."""
    label, equals, price = (part.strip() for part in text.rpartition("="))
    if not equals or not label:
        raise NotUnderstood(f"`{text[:200]}` is not a label and the price of a minute", example="ubuntu-*=0.006")
    found = number(price)
    if found < 0:
        raise NotUnderstood(f"`{text[:200]}` is below zero", example=f"{label}=0.006")
    return label, found
