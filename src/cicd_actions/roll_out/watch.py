"""Counts what both releases answer while the new one has a share of the traffic, and judges it."""

from __future__ import annotations

from collections.abc import Mapping

from cicd_actions.canary_analysis import judgement
from cicd_actions.canary_analysis.judgement import Judged
from cicd_actions.canary_analysis.proportions import Counted
from cicd_actions.canary_analysis.tally import Tally
from cicd_actions.engines.protocol import EngineUnreachable, RollOutFailed
from cicd_actions.engines.staged_protocol import Answers, Counting, Stage, Weighted
from cicd_actions.roll_out.inputs import Inputs
from cicd_actions.roll_out.latency import Latency
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.toolkit.verdict import Verdict

PATIENCE = 30.0
"""Seconds for which the share need not be readable, or not be what was set: a proxy that crashed is started again."""

FORGOTTEN = 0.5
"""Percentage points by which the share may differ from the one that was set. More means that a proxy restarted."""


class Watch:
    """Counts what both releases answer while the new one has a share, and judges it. Making one gives the share."""

    def __init__(
        self,
        weighted: Weighted,
        counting: Counting,
        stages: dict[str, Stage],
        inputs: Inputs,
        deadline: Deadline,
        runtime: Runtime,
        percent: float,
        baseline: Mapping[str, Counted] | None = None,
    ) -> None:
        self._weighted = weighted
        self._counting = counting
        self._stages = stages
        self._deadline = deadline
        self._runtime = runtime
        self._percent = percent
        self._baseline = baseline
        self.new = {service: Tally() for service in stages}
        self.old = {service: Tally() for service in stages}
        self._due = dict.fromkeys(stages, 0)
        self.judged: dict[tuple[str, str], Judged] = {}
        self._count()
        weigh(weighted, stages, percent, deadline)
        self._reached = runtime.clock()
        asked = inputs.prometheus if baseline is None and inputs.latency_query else ""
        self._latencies = {
            service: Latency(asked, inputs.latency_query, stage, runtime) for service, stage in stages.items() if asked
        }

    @property
    def verdict(self) -> Verdict:
        return judgement.together(list(self.judged.values()))

    def enough(self, requests: int) -> bool:
        return all(tally.total.requests >= requests for tally in self.new.values())

    def decided(self, requests: int, *, last: bool = False) -> bool:
        """Counts, and judges each service whose turn it is (`last`: all); returns whether the wait is over."""
        try:
            self._keep_the_share()
            self._count()
        except (EngineUnreachable, RollOutFailed) as error:
            # A proxy that restarts does not answer for a moment, and then does not know the replicas for another.
            if self._runtime.clock() - self._reached > PATIENCE:
                raise
            self._runtime.log(f"{error.what} Looking again.")
            return False
        self._reached = self._runtime.clock()
        for service, tally in self.new.items():
            if last or tally.total.requests >= self._due[service]:
                self._due[service] = judgement.next_look(tally.total.requests, requests)
                baseline = self._baseline[service] if self._baseline is not None else self.old[service].total
                self.judged[service, "errors"] = judgement.errors(tally.total, baseline)
                if (latencies := self._latencies.get(service)) is not None:
                    latencies.look()
                    self.judged[service, "latency"] = latencies.judged()
        return self.verdict is Verdict.FAIL or (self.verdict is Verdict.PASS and self.enough(requests))

    def _count(self) -> None:
        for service, stage in self._stages.items():
            found = self._counting.answers(stage, self._deadline)
            self.new[service].add({proxy: _counted(new) for proxy, (new, _) in found.items()})
            self.old[service].add({proxy: _counted(old) for proxy, (_, old) in found.items()})

    def _keep_the_share(self) -> None:
        """Sets the share again where a proxy forgot it, or where the replicas are others now.

        Raises `ChangedMeanwhile` where the stage is gone.
        """
        stages, found = self._stages, self._weighted.staged(list(self._stages), self._deadline)
        for service, stage in stages.items():
            now = found[service].percent if service in found else 0.0
            if abs(now - stage.percent) > FORGOTTEN or service not in found:
                self._runtime.log(f"{service}: the new release has {now:.0f} % of the traffic. Setting it again.")
                stages[service] = self._weighted.weigh(stage, self._percent, self._deadline)


def weigh(weighted: Weighted, stages: dict[str, Stage], percent: float, deadline: Deadline) -> None:
    """Gives each new release the share of the traffic, and sets its stage in `stages` to the one that was read back."""
    for service, stage in stages.items():
        stages[service] = weighted.switch(stage, deadline) if percent == 100 else weighted.weigh(stage, percent, deadline)


def old_answers(counting: Counting, stage: Stage, deadline: Deadline) -> Counted:
    """Returns all that the proxies counted of the old release."""
    each = [old for _, old in counting.answers(stage, deadline).values()]
    return Counted(sum(one.errors for one in each), sum(one.requests for one in each))


def _counted(answers: Answers) -> Counted:
    return Counted(min(answers.errors, answers.requests), answers.requests)
