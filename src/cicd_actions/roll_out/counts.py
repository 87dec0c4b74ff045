"""Counts what both releases answer by Prometheus, where no proxy of the engine counts."""

from __future__ import annotations

import math
from collections.abc import Mapping

from cicd_actions.engines.protocol import EngineUnreachable
from cicd_actions.engines.staged_protocol import Answers, Counting, Stage
from cicd_actions.roll_out.prometheus import Prometheus, Unreadable, by_labels, of_each_release
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.runtime import Runtime

_NOTHING = Answers(0, 0)


class Uncounted(Counting):
    """Nothing counts: only the gate and the health of the replicas judge the new release."""

    def answers(self, stage: Stage, deadline: Deadline) -> Mapping[str, tuple[Answers, Answers]]:
        return {}


class ByPrometheus(Counting):
    """Two queries of counters: all requests, and those with a server's error.

    They are summed by pod, so that a pod that begins again at 0 is seen. A pod without a series of errors has none, as long as
    it has one of requests: without that, it was not measured.
    """

    def __init__(self, prometheus: str, requests: str, errors: str, runtime: Runtime) -> None:
        self._prometheus = Prometheus(prometheus, runtime)
        self._requests, self._errors = requests, errors

    def answers(self, stage: Stage, deadline: Deadline) -> Mapping[str, tuple[Answers, Answers]]:
        new_requests, old_requests = of_each_release(self._requests, stage)
        new_errors, old_errors = of_each_release(self._errors, stage)
        new, old = self._counted(new_requests, new_errors), self._counted(old_requests, old_errors)
        found = {f"new {name}": (counted, _NOTHING) for name, counted in new.items()}
        return found | {f"old {name}": (_NOTHING, counted) for name, counted in old.items()}

    def _counted(self, requests: str, errors: str) -> dict[str, Answers]:
        try:
            all_of_them, wrong = self._sums(requests), self._sums(errors)
        except Unreadable as error:
            raise EngineUnreachable(
                f"Could not count what the releases answered. {error}",
                fix="Check `prometheus`, `requests-query` and `errors-query`: each query has to select counters.",
            ) from None
        return {name: Answers(count, wrong.get(name, 0)) for name, count in all_of_them.items()}

    def _sums(self, query: str) -> dict[str, int]:
        found: dict[str, int] = {}
        for labels, count in self._prometheus.series(f"sum by (instance, pod) ({query})"):
            if not math.isfinite(count) or count < 0:
                raise Unreadable(f"A counter holds {count:g}.")
            found[by_labels(labels)] = round(count)
        return found
