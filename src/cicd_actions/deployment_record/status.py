"""Runs the phase `status`: what is recorded in each environment, since when, and what forbids a deploy there."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cicd_actions.deployment_record.phase import Phase
from cicd_actions.engines.inputs import connected
from cicd_actions.engines.protocol import Running
from cicd_actions.engines.staged_inputs import STAGED, standing
from cicd_actions.engines.staged_protocol import Stage
from cicd_actions.github.history import History, Release
from cicd_actions.github.release_record import Record, Task, digest_of, lock_described, marked, written
from cicd_actions.toolkit.errors import ActionError
from cicd_actions.toolkit.report import Block, Code, Heading, Paragraph, Report, Strong, Table
from cicd_actions.toolkit.verdict import Verdict

VERDICTS = 5
"""Verdicts that are shown of each environment, newest first."""

_WORDS = {Task.PASSED: "passed", Task.QUARANTINED: "failed"}


@dataclass
class _Environment:
    """One environment. `running` is empty where no engine is named, or it does not answer."""

    phase: Phase
    history: History
    good: Release | None
    lock: Record | None
    running: Mapping[str, Running] = field(default_factory=dict)
    stages: Mapping[str, Stage] = field(default_factory=dict)

    @classmethod
    def of(cls, phase: Phase) -> _Environment:
        history = phase.records.history(phase.environment, lambda history: len(history.outcomes) >= VERDICTS)
        lock = phase.records.lock(phase.environment)
        good = next(iter(history.good()), None)
        here = cls(phase, history, good, lock if lock is not None and lock.locks(time.time()) else None)
        if phase.inputs.engine and good is not None:
            try:
                with connected(phase.inputs, phase.runtime, STAGED) as engine:
                    deadline = phase.runtime.deadline(phase.inputs.timeout)
                    here.running = engine.running(list(good.services), deadline)
                    here.stages = standing(engine, phase.inputs, list(good.services), deadline)
            except ActionError as error:
                phase.warn("status", f"Could not determine what runs in {phase.environment}: {error.what}", error.fix)
        return here

    @property
    def name(self) -> str:
        return self.phase.environment

    @property
    def unjudged(self) -> Record | None:
        """The newest deploy, where it has no verdict: it is under way, or ended without one."""
        found = self.history.unjudged()
        return found if found and (self.good is None or found.id > self.good.record.id) else None

    @property
    def sentence(self) -> str:
        found = f"is at {self.good.sha[:12]} since {self.good.record.at}" if self.good else "has no good release"
        if self.unjudged:
            found += f", {self.unjudged.sha[:12]} has no verdict yet"
        for service, stage in self.stages.items():
            found += f", a stage of {service} has {stage.percent:.0f} % of the traffic"
        if self.lock:
            found += f", locked until {self.lock.until}" if self.lock.until else ", locked"
        return found

    def blocks(self) -> list[Block]:
        """Returns the tables for a person."""
        found: list[Block] = [Heading(self.name)]
        if self.lock:
            found.append(Paragraph([Strong("Locked: "), f"{lock_described(self.lock)} ", self.phase.link(self.lock)]))
        if self.unjudged:
            since, run = f" since {self.unjudged.at} ", self.phase.link(self.unjudged)
            found.append(Paragraph([Strong("Without a verdict: "), Code(self.unjudged.sha[:12]), since, run]))
        if self.good:
            rows = [
                (Code(name), Code(source.sha[:12]), source.at, Code(marked(source.services[name])), self._runs(name, source))
                for name, source in self.good.sources.items()
            ]
            found.append(Table(("service", "commit", "since", "image", "runs"), rows))
        if self.stages:
            staged = [
                (Code(name), Code(stage.target.image.pinned), f"{stage.percent:.0f} %", _until(stage), stage.run)
                for name, stage in self.stages.items()
            ]
            found.append(Table(("staged service", "image", "traffic", "until", "run"), staged))
        verdicts = self.history.outcomes[:VERDICTS]
        if verdicts:
            table = [(each.at, Code(each.sha[:12]), _said(each), each.reason, self.phase.link(each)) for each in verdicts]
            found.append(Table(("at", "commit", "verdict", "reason", "run"), table))
        return found

    def _runs(self, name: str, source: Record) -> str:
        here = self.running.get(name)
        if here is None:
            return "not asked" if not self.running else "not found"
        same = (here.digest or here.image) == marked(source.services[name])
        ready = f", {here.ready} of {here.wanted} ready" if here.wanted is not None else ""
        return f"{'this' if same else here.digest or here.image}{ready}"

    def as_json(self) -> dict[str, Any]:
        """Returns the same for programs."""
        lock, unjudged = self.lock, self.unjudged
        return {
            "services": {
                name: {
                    "sha": source.sha,
                    "image": source.services[name],
                    "digest": digest_of(source.services[name]),
                    "since": source.at,
                    "running": (self.running[name].digest or self.running[name].image) if name in self.running else None,
                }
                for name, source in (self.good.sources if self.good else {}).items()
            },
            "unjudged": {"sha": unjudged.sha, "at": unjudged.at, "run": unjudged.run.url} if unjudged else None,
            "lock": {
                "by": lock.run.actor,
                "at": lock.at,
                "until": lock.until or None,
                "reason": lock.reason,
                "run": lock.run.url,
            }
            if lock
            else None,
            "stages": {
                name: {
                    "image": stage.target.image.pinned,
                    "sha": stage.target.sha,
                    "percent": stage.percent,
                    "until": _until(stage) or None,
                    "run": stage.run,
                }
                for name, stage in self.stages.items()
            },
            "verdicts": [
                {"sha": each.sha, "at": each.at, "verdict": each.verdict, "kind": each.kind, "run": each.run.url}
                for each in self.history.outcomes[:VERDICTS]
            ],
        }


def status(phase: Phase) -> Report:
    """Shows each environment that `environment` names, one per line. Asks the engine what runs, where one is named.

    Changes nothing. Raises what `GitHub` raises.
    """
    names = [name.strip() for name in phase.environment.splitlines() if name.strip()]
    found = [_Environment.of(replace(phase, inputs=replace(phase.inputs, environment=name))) for name in names]
    headline = "; ".join(f"{each.name} {each.sentence}" for each in found) + "."
    said = json.dumps({each.name: each.as_json() for each in found}, ensure_ascii=False)
    blocks = [block for each in found for block in each.blocks()]
    return Report(Verdict.PASS, headline, {"verdict": Verdict.PASS, "status": said, "reason": headline}, phase.findings, blocks)


def _until(stage: Stage) -> str:
    """Returns when the stage expires; empty where its engine keeps no end."""
    return written(stage.until) if math.isfinite(stage.until) else ""


def _said(record: Record) -> str:
    word = _WORDS[record.task]
    return word if record.kind == "release" else f"{word} ({record.kind})"
