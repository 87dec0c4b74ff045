"""Counts what was answered during a stage, from counters that only grow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cicd_actions.canary_analysis.proportions import Counted

_NOTHING = Counted(0, 0)


@dataclass
class Tally:
    """Sums the raw differences of counters, each by the name of what counts (a proxy).

    Raw, because a rate that is extrapolated to the ends of its window, as Prometheus' `increase` is, counts requests that never
    were. A counter that became smaller began again at 0, with its proxy. `total` is the sum since the first reading of each
    counter that was there then; one that appears later began at 0.
    """

    total: Counted = _NOTHING
    _seen: dict[str, Counted] = field(default_factory=dict)
    _began: bool = False

    def add(self, now: Mapping[str, Counted]) -> None:
        """Takes the counters as they are now."""
        for name, counted in now.items():
            if self._began:
                self.total = _sum(self.total, _gained(self._seen.get(name, _NOTHING), counted))
            self._seen[name] = counted
        self._began = True


def _gained(earlier: Counted, now: Counted) -> Counted:
    if now.requests < earlier.requests or now.errors < earlier.errors:
        return now
    errors, requests = now.errors - earlier.errors, now.requests - earlier.requests
    # Two counters are not read at the same moment: an error may be counted before its request is.
    return Counted(min(errors, requests), requests)


def _sum(one: Counted, other: Counted) -> Counted:
    return Counted(one.errors + other.errors, one.requests + other.requests)
