"""What Prometheus says of an answer beside its data."""

from __future__ import annotations

from collections.abc import Mapping

_OF_THE_QUERY = "PromQL "
"""Begins a warning about the query. Any other names a part of the data that could not be read: a store that is down.

https://github.com/prometheus/prometheus/blob/main/util/annotations/annotations.go
"""


def incomplete(answer: Mapping[str, object]) -> str:
    """Returns the first warning that a part of the data is missing; empty where there is none."""
    warnings = answer.get("warnings")
    told = (str(warning) for warning in warnings) if isinstance(warnings, list) else ()
    return next((warning for warning in told if not warning.startswith(_OF_THE_QUERY)), "")
