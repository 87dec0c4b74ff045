"""Moves traffic to a release that stands beside the old one: the stage, its gate, the steps, the bake, and the end.

On *fail*, and when the step is cancelled, the old release gets all of the traffic. A run that is killed leaves the stage with
the share that it had: the next run finds it, and goes on from there or abandons it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cicd_actions.canary_analysis import judgement
from cicd_actions.canary_analysis.judgement import Judged
from cicd_actions.canary_analysis.proportions import Counted
from cicd_actions.engines import reported
from cicd_actions.engines.protocol import ChangedMeanwhile, Engine, Evidence, Refused, RollOutFailed
from cicd_actions.engines.release import runs_already, settled
from cicd_actions.engines.staged_inputs import abandon
from cicd_actions.engines.staged_protocol import Counting, Staged, Weighted
from cicd_actions.health_gate import reading
from cicd_actions.health_gate import run as health_gate
from cicd_actions.health_gate.inputs import Inputs as GateInputs
from cicd_actions.roll_out import prometheus
from cicd_actions.roll_out.counts import ByPrometheus, Uncounted
from cicd_actions.roll_out.inputs import Inputs
from cicd_actions.roll_out.progress import StagedProgress
from cicd_actions.roll_out.strategy import Step
from cicd_actions.roll_out.watch import Watch, old_answers, weigh
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import ActionError, Inconclusive, UnusableInput
from cicd_actions.toolkit.inputs import declarations
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.toolkit.verdict import Verdict

POLL = 1.0
"""Seconds between two looks at what was answered."""

LEAVING = 6.0
"""Seconds for the stages of a cancelled step, which has 7.5 in all."""


class Held(Inconclusive):
    """A step had no verdict, and the stage stands without traffic for a person to decide."""

    title = "Stage held"


def refuse(inputs: Inputs, engine: Engine, runtime: Runtime) -> None:
    """Raises for a strategy that does not fit, before anything is asked or moved."""
    if inputs.strategy == "rolling":
        if inputs.promote == "staged":
            raise UnusableInput(
                "Cannot promote a stage by `rolling`, which replaces the old release at once.",
                fix="    with:\n      strategy: blue-green",
            )
        return
    assert isinstance(engine, Staged)  # noqa: S101 - see `staged_inputs.STAGED`
    if inputs.strategy not in engine.strategies:
        raise UnusableInput(
            f"Cannot roll out by `{inputs.strategy}` on the engine {engine.name} without `proxy`.",
            cause=f"Without a proxy that divides the traffic, the engine can only do `{engine.strategies[0]}`.",
            fix=f"    with:\n      proxy: proxy\n\nOr, without a proxy:\n\n    with:\n      strategy: {engine.strategies[0]}",
        )
    if inputs.migrations:
        raise Refused(
            f"Cannot roll out by `{inputs.strategy}`: the old release may not work after {', '.join(inputs.migrations)}.",
            cause="Both releases use the database at the same time, and these migrations are not known to be `expand`.",
            fix='Declare the phase in each migration (`deploy_phase = "expand"`), or give run-migrations-oneshot the proof of'
            " verify-migrations (`proven-phases`). To roll out without a stage:\n\n    with:\n      strategy: rolling",
        )
    queries = {
        "latency-query": inputs.latency_query,
        "requests-query": inputs.requests_query,
        "errors-query": inputs.errors_query,
    }
    prometheus.refuse(inputs.prometheus, queries, runtime)
    if inputs.strategy == "canary" and inputs.promote != "staged" and isinstance(_counter(engine, inputs, runtime), Uncounted):
        choice = "set `strategy: blue-green`, which the gate alone decides"
        if "blue-green" not in engine.strategies:
            choice = "let HAProxy divide the traffic and count (`proxy`)"
        series = 'pod=~"{service}-[a-z0-9]+-[a-z0-9]{5}"' if engine.name == "kubernetes" else 'service="{service}"'
        raise UnusableInput(
            f"Cannot judge a canary on the engine {engine.name}: it does not count what the releases answer.",
            fix=f"Let Prometheus count, or {choice}:\n\n"
            "    with:\n      prometheus: http://prometheus:9090\n"
            f"      requests-query: 'http_requests_total{{{series}}}'\n"
            f"      errors-query: 'http_requests_total{{{series},code=~\"5..\"}}'",
        )
    if inputs.stage_targets.strip():
        here = {wanted.service: "127.0.0.1" for wanted in inputs.services}
        reading.targets(_gate_inputs(inputs, here, "0" * 40), runtime.environment, runtime.workspace)


def _counter(engine: Engine, inputs: Inputs, runtime: Runtime) -> Counting:
    """Returns what counts the answers of both releases."""
    if inputs.requests_query:
        return ByPrometheus(inputs.prometheus, inputs.requests_query, inputs.errors_query, runtime)
    return engine if isinstance(engine, Counting) else Uncounted()


def roll_out(
    engine: Engine,
    progress: StagedProgress,
    inputs: Inputs,
    deadline: Deadline,
    revert_deadline: Callable[[], Deadline],
    runtime: Runtime,
) -> None:
    """Moves the targets; `progress` holds the outcome, whatever ends the call."""
    assert isinstance(engine, Staged)  # noqa: S101 - see `refuse`
    walk = _Walk(engine, engine, _counter(engine, inputs, runtime), progress, inputs, deadline, runtime)
    try:
        walk.to_the_end()
    except Held as failure:
        progress.failure, progress.stage = failure, "held"
    except ActionError as failure:
        progress.failure = failure
        runtime.log(failure.what)
        walk.take_back(revert_deadline(), wait=True)
    except BaseException:
        walk.take_back(Deadline(LEAVING), wait=False)
        raise


@dataclass
class _Walk:
    engine: Engine
    beside: Staged
    counting: Counting
    progress: StagedProgress
    inputs: Inputs
    deadline: Deadline
    runtime: Runtime

    @property
    def weighted(self) -> Weighted:
        assert isinstance(self.engine, Weighted)  # noqa: S101 - its strategies have no share otherwise
        return self.engine

    def to_the_end(self) -> None:
        share = self.take_up()
        self.prepare()
        stages = self.progress.stages
        if stages:
            self.gate("before traffic" if not share else f"at {share:.0f} %")
            # What the proxy counted before, where no step measures the old release.
            baseline = {service: old_answers(self.counting, stage, self.deadline) for service, stage in stages.items()}
            if self.inputs.promote != "staged":
                for step in self.inputs.steps if self.inputs.strategy == "canary" else ():
                    if step.percent >= share:
                        baseline = self.step(step)
                if self.inputs.promote == "manual":
                    self.progress.stage = "staged"
                    return
            if self.beside.without_bake:
                self._note(self.beside.without_bake)
            else:
                self.bake(baseline)
        for service, stage in list(stages.items()):
            self.runtime.log(f"{service}: promoting the stage.")
            arrived = self.progress.arrived[service] = self.beside.finish(stage, self.deadline)
            self.progress.finished.append(service)
            del stages[service]
            if arrived.unproven:
                raise Inconclusive(
                    f"Could not prove that {service} runs {stage.target.image.pinned}: {arrived.unproven}.",
                    fix="Let `promote-command` end only when the service runs the release, and exit with 1 when it does not.",
                )
        self.progress.stage = "promoted" if self.progress.finished else ""

    def take_up(self) -> float:
        """Takes up the stages of this release, and abandons those of others; returns the smallest share that one has."""
        for target in self.progress.targets:
            stage = self.beside.staged([target.service], self.deadline).get(target.service)
            if stage is None:
                continue
            if stage.target.image.pinned != target.image.pinned or stage.until < time.time():
                self.progress.notes.append(abandon(self.beside, stage, self.deadline, self.runtime))
                now = settled(self.engine, [target.service], self.deadline, self.runtime)
                self.progress.before = {**self.progress.before, **now}
                continue
            self.progress.touched.append(target.service)
            self.progress.stages[target.service] = stage
            left = f"{stage.run or 'an earlier run'} left a stage with {stage.percent:.0f} % of the traffic"
            self._note(f"{target.service}: {left}. This run went on with it.")
        return min((stage.percent for stage in self.progress.stages.values()), default=0.0)

    def prepare(self) -> None:
        until = time.time() + self.deadline.remaining + self.inputs.stage_lasts
        for target in self.progress.targets:
            service, before = target.service, self.progress.before[target.service]
            if service in self.progress.stages:
                continue
            # The programs' word counts for what an interrupted promotion moved; they report no replicas.
            moved = self.inputs.promote == "staged" and self.engine.own_programs and reported.is_of(target, before)
            if moved or runs_already(target, before):
                self.progress.unchanged.append(service)
                continue
            if self.inputs.promote == "staged":
                raise Refused(
                    f"Cannot promote {service}: no stage of {target.image.pinned} stands.",
                    cause="It was never prepared, was abandoned, or has expired.",
                    fix="Stage the release again:\n\n    with:\n      promote: manual",
                )
            self.runtime.log(f"{service}: starting {target.image.pinned} beside what runs.")
            self.progress.touched.append(service)
            run = _run(self.runtime)
            self.progress.stages[service] = self.beside.prepare(target, before, self.deadline, run=run, until=until)

    def gate(self, at: str) -> None:
        """Runs the gate on each replica of the new release, at its own address."""
        if not self.inputs.stage_targets.strip():
            return
        stages = self.progress.stages
        for service, stage in stages.items():
            if not stage.addresses:
                raise Inconclusive(
                    f"Cannot gate the new release of {service}: none of its replicas runs on this machine.",
                    cause="The gate reaches a replica over the network of the engine that runs it.",
                    fix="Run the job where the engine is, or remove `stage-targets`: then only health checks decide.",
                )
        for number in range(max(len(stage.addresses) for stage in stages.values())):
            places = {service: stage.addresses[number % len(stage.addresses)] for service, stage in stages.items()}
            sha = next(stage.target.sha for stage in stages.values())
            report = health_gate.run(_gate_inputs(self.inputs, places, sha), self.runtime)
            judged = Judged(report.verdict, f"Gate of replica {number + 1}: {report.headline}")
            self._judged(at, ", ".join(stages), judged)
            if report.verdict is Verdict.FAIL:
                raise RollOutFailed(
                    next(iter(stages)), f"The new release failed its gate {at}: {report.headline}", reverted=False
                )
            if report.verdict is not Verdict.PASS:
                raise Inconclusive(f"Could not judge the new release {at}: {report.headline}")

    def step(self, step: Step) -> dict[str, Counted]:
        """Gives the new release a share and waits for the verdict; returns what the old one answered meanwhile."""
        self.runtime.log(f"Giving the new release {step} of the traffic for {step.requests} requests.")
        for service, stage in self.progress.stages.items():
            least = self.weighted.smallest(stage, self.deadline)
            if step.percent < least:
                raise Refused(
                    f"Cannot give the new release of {service} {step} of the traffic: the smallest share is {least:.2g} %.",
                    fix=f"    with:\n      steps: {math.ceil(least)}% {step.requests} requests within 30m",
                )
        watch = self.watch(step.percent)
        limit = Deadline(self.deadline.timeout(step.within), self.runtime.clock)
        while True:
            over = limit.expired
            if watch.decided(step.requests, last=over) or over:
                break
            self.runtime.sleep(limit.timeout(POLL))
        verdict = self._told(str(step), watch)
        if verdict is not Verdict.PASS or not watch.enough(step.requests):
            self.inconclusive(step, watch)
        self.gate(f"at {step}")
        return {service: tally.total for service, tally in watch.old.items()}

    def inconclusive(self, step: Step, watch: Watch) -> None:
        found = [judged.reason for judged in watch.judged.values() if judged.verdict is not Verdict.PASS]
        found = found or [
            f"The new release of {service} answered {tally.total.requests} of {step.requests} requests."
            for service, tally in watch.new.items()
            if tally.total.requests < step.requests
        ]
        why = " ".join(found)
        what = f"The step of {step} had no verdict after {step.within:g} s. {why}".rstrip()
        if self.inputs.on_inconclusive == "promote":
            self._note(what)
            return
        if self.inputs.on_inconclusive == "hold":
            weigh(self.weighted, self.progress.stages, 0, self.deadline)
            raise Held(
                f"{what} The stage stands without traffic.",
                fix="Promote it, or roll out what ran before to abandon it:\n\n    with:\n      promote: staged",
            )
        raise Inconclusive(
            what,
            cause="Either there was too little traffic, or what was answered proves neither.",
            fix="Allow more time, or give a larger share:\n\n"
            f"    with:\n      steps: {step.percent:g}% {step.requests} requests within 2h",
        )

    def bake(self, baseline: Mapping[str, Counted]) -> None:
        """Gives the new release all of the traffic, and watches it for a while beside the old one."""
        self.runtime.log(f"Giving the new release all of the traffic. The old one stands for {self.inputs.bake:g} s.")
        watch = self.watch(100, baseline)
        limit = Deadline(self.deadline.timeout(self.inputs.bake), self.runtime.clock)
        while not limit.expired:
            self.runtime.sleep(limit.timeout(POLL))
            watch.decided(judgement.ENOUGH, last=limit.expired)
            if watch.verdict is Verdict.FAIL:
                break
        self._told("100 %", watch)
        self.gate("at 100 %")

    def watch(self, percent: float, baseline: Mapping[str, Counted] | None = None) -> Watch:
        return Watch(
            self.weighted, self.counting, self.progress.stages, self.inputs, self.deadline, self.runtime, percent, baseline
        )

    def take_back(self, deadline: Deadline, *, wait: bool) -> None:
        """Gives the old release all of the traffic again, and rolls back what was promoted, the last one first."""
        progress = self.progress
        progress.stage = "abandoned"
        for service in reversed(progress.touched):
            stage = progress.stages.get(service)
            try:
                if service in progress.finished:
                    target = next(target for target in progress.targets if target.service == service)
                    self.engine.revert(target, progress.before[service], deadline, wait=wait)
                elif stage is not None:
                    self.beside.abandon(stage, deadline, wait=wait)
            except ChangedMeanwhile as error:
                progress.left[service] = error.what
            except ActionError as error:
                progress.stranded[service] = error.what
                self.runtime.log(f"{service}: {error.what}")
            else:
                progress.returned.append(service)

    def _told(self, at: str, watch: Watch) -> Verdict:
        """Reports the last verdicts. Raises `RollOutFailed` for a fail."""
        for (service, _), judged in watch.judged.items():
            self._judged(at, service, judged)
        for (service, _), judged in watch.judged.items():
            if judged.verdict is Verdict.FAIL:
                try:
                    evidence = self.engine.logs(f"{service}-next", self.deadline)
                except ActionError:
                    evidence = Evidence()
                raise RollOutFailed(
                    service, f"The new release of {service} failed at {at}. {judged.reason}", reverted=False, evidence=evidence
                )
        return watch.verdict

    def _judged(self, at: str, service: str, judged: Judged) -> None:
        self.progress.judged.append((at, service, judged))
        self.runtime.log(f"{service}, {at}: {judged.verdict}. {judged.reason}")

    def _note(self, text: str) -> None:
        self.progress.notes.append(text)
        self.runtime.log(text)


def _gate_inputs(inputs: Inputs, places: Mapping[str, str], sha: str) -> GateInputs:
    """Returns the inputs of a gate on one replica of each new release."""
    text = inputs.stage_targets.replace("{sha}", sha)
    for service, address in places.items():
        text = text.replace(f"{{{service}.address}}", address)
    values: dict[str, Any] = {
        name.replace("-", "_"): each.parse(each.default) for name, each in declarations(GateInputs).items()
    }
    return GateInputs(**{**values, "targets": text})


def _run(runtime: Runtime) -> str:
    """Returns the address of this run; empty outside GitHub."""
    names = ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID")
    server, repository, run = (runtime.variables.get(name, "") for name in names)
    return f"{server}/{repository}/actions/runs/{run}" if run else ""
