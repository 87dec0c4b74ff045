"""Adds up histograms of latencies from counters that only grow, as Prometheus' clients keep them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Cumulative = Mapping[float, float]
"""For each upper bound in seconds how many requests took at most that long, as a series with the label `le` has them."""


@dataclass
class HistogramTally:
    """Sums the raw differences of histograms, each by the name of what counts (a replica).

    As in `tally`, a series that became smaller began again at 0, and one that appears after the first reading began at 0.
    """

    _total: dict[float, float] = field(default_factory=dict)
    _seen: dict[str, Cumulative] = field(default_factory=dict)
    _began: bool = False

    def add(self, now: Mapping[str, Cumulative]) -> None:
        """Takes the counters as they are now."""
        for name, counts in now.items():
            earlier = self._seen.get(name, {})
            again = any(count < earlier.get(bound, 0) for bound, count in counts.items())
            for bound, count in counts.items():
                gained = count - (0 if again else earlier.get(bound, 0))
                self._total[bound] = self._total.get(bound, 0) + (gained if self._began else 0)
            self._seen[name] = counts
        self._began = True

    @property
    def bounds(self) -> tuple[float, ...]:
        """Returns the upper bounds of the buckets, the lowest first."""
        return tuple(sorted(self._total))

    @property
    def counts(self) -> Sequence[int]:
        """Returns how many requests each bucket holds, the lowest bound first."""
        found: list[int] = []
        below = 0.0
        for bound in self.bounds:
            # The counters of one histogram are not read at the same moment: one may be a request behind.
            found.append(max(0, round(self._total[bound] - below)))
            below = max(below, self._total[bound])
        return found
