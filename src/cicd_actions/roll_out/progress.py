"""The state of a staged roll-out: what stands, what was judged on the way, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timezone

from cicd_actions.canary_analysis.judgement import Judged
from cicd_actions.engines.release import Progress
from cicd_actions.engines.staged_protocol import Stage
from cicd_actions.toolkit.report import Block, Code, Heading, Table


@dataclass
class StagedProgress(Progress):
    """The state of a staged roll-out.

    - `stages`: those that stand. `finished`: the services that were promoted.
    - `judged`: each verdict on the way: at which share, of which service, and it. `notes`: what else people should know.
    - `stage`: what became of the stages: `promoted`, `abandoned`, `staged` (it waits to be promoted) or `held`.
    """

    stages: dict[str, Stage] = field(default_factory=dict)
    finished: list[str] = field(default_factory=list)
    judged: list[tuple[str, str, Judged]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    stage: str = ""

    def state(self, service: str) -> str:
        if self.stage in {"staged", "held"} and service in self.stages:
            return f"staged, {self.stages[service].percent:.0f} % of the traffic"
        return super().state(service)

    def blocks(self) -> list[Block]:
        """Returns the verdicts on the way, for people."""
        rows = [(at, Code(service), judged.verdict.value, judged.reason) for at, service, judged in self.judged]
        return [Heading("On the way"), Table(("at", "service", "verdict", "why"), rows)] if rows else []

    def waiting(self) -> str:
        """Returns the sentence about stages that wait to be promoted."""
        shares = ", ".join(f"{service} with {stage.percent:.0f} %" for service, stage in self.stages.items())
        until = min(stage.until for stage in self.stages.values())
        try:
            end = f", until {datetime.fromtimestamp(until, timezone.utc):%Y-%m-%d %H:%M} UTC"
        except (ValueError, OverflowError, OSError):  # a program may report any number: milliseconds, or one without an end
            end = ""
        return f"The new release stands beside the old one ({shares} of the traffic){end}."
