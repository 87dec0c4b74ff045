"""Runs pipeline-metrics: collects, computes, shows, exports, and judges the thresholds."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cicd_actions.github.client import GitHub
from cicd_actions.github.proof import Trust
from cicd_actions.pipeline_metrics import delivery, files, openmetrics, traces
from cicd_actions.pipeline_metrics.collect import Collection, Wanted
from cicd_actions.pipeline_metrics.compute import Figures, Scope, compute
from cicd_actions.pipeline_metrics.dashboard import page
from cicd_actions.pipeline_metrics.facts import DAY, Facts
from cicd_actions.pipeline_metrics.inputs import Inputs
from cicd_actions.pipeline_metrics.requests import Budget
from cicd_actions.pipeline_metrics.store import Store
from cicd_actions.pipeline_metrics.summary import Summary
from cicd_actions.toolkit.errors import Inconclusive, UnusableInput
from cicd_actions.toolkit.findings import Finding, Severity
from cicd_actions.toolkit.receiver import Receiver
from cicd_actions.toolkit.report import Report
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.toolkit.verdict import Verdict

TRACES = 200
"""Runs in one request to a collector."""


@dataclass
class Measurement:
    """One run of the action."""

    inputs: Inputs
    runtime: Runtime
    wall: Callable[[], float] = time.time
    findings: list[Finding] = field(default_factory=list)
    collections: list[Collection] = field(default_factory=list)

    def report(self) -> Report:
        """Raises `UnusableInput`."""
        inputs, runtime = self.inputs, self.runtime
        repositories = inputs.repositories or tuple(filter(None, [runtime.variables.get("GITHUB_REPOSITORY", "")]))
        if not repositories:
            raise UnusableInput("Cannot tell which repository to measure.", fix="    with:\n      repositories: octo-org/shop")
        deadline = runtime.deadline(inputs.timeout)
        # Asked before the work begins, so that no run waits for a result that cannot be kept.
        pushgateway = Receiver.of("pushgateway", inputs.pushgateway, "headers", inputs.headers, runtime, deadline)
        collector = Receiver.of("otlp", inputs.otlp, "headers", inputs.headers, runtime, deadline)
        dashboard, export = (self._folder(name) for name in ("dashboard", "export"))
        store = Store(self._folder("store"))
        now = int(self.wall())
        facts = self._collect(dict.fromkeys(repositories), store, now)
        scope = Scope(
            now - inputs.days * DAY,
            now,
            inputs.environment,
            inputs.workflows,
            inputs.branches,
            dict(inputs.rates),
            inputs.per_person,
        )
        figures = compute(facts, scope)
        server = runtime.variables.get("GITHUB_SERVER_URL", "https://github.com").rstrip("/")
        left_out = self._left_out(figures)
        if dashboard:
            self._write("dashboard", dashboard, lambda: page.write(dashboard, facts, figures, server, left_out))
        if export:
            self._write("export", export, lambda: files.write(export, figures, facts))
        if pushgateway:
            group = {"job": "cicd-actions", "repository": repositories[0]}
            self._deliver("pushgateway", lambda: delivery.push(pushgateway, openmetrics.text(figures), group))
        if collector:
            self._deliver("otlp", lambda: self._trace(collector, facts, server, scope))
            for each in facts:
                # After the export, so that traces which were not taken are sent again.
                store.write(each)
        return self._judged(figures, server, left_out, str(dashboard / "index.html") if dashboard else "")

    def _collect(self, repositories: dict[str, Any], store: Store, now: int) -> list[Facts]:
        inputs, runtime = self.inputs, self.runtime
        wanted = Wanted(
            now - inputs.days * DAY, now, inputs.environment, inputs.details, inputs.per_person, Trust.of(inputs, runtime)
        )
        budget, deadline = Budget(inputs.request_budget), runtime.deadline(inputs.timeout)
        self.collections = [
            Collection(GitHub(inputs.github_token, each, runtime, deadline), store.read(each), wanted, budget)
            for each in repositories
        ]
        for collect in (Collection.basics, Collection.details):
            for each in self.collections:
                used = budget.used
                collect(each)
                # A run that is killed later continues from here.
                if budget.used > used:
                    store.write(each.facts)
        runtime.log(f"{budget.used} requests; {sum(len(each.news) for each in self.collections)} new or changed runs.")
        return [each.facts for each in self.collections]

    def _left_out(self, figures: Figures) -> list[str]:
        left_out = [f"{each.facts.repository}: {what}" for each in self.collections for what in each.left_out]
        if figures.unread:
            left_out.append(f"{figures.unread} runs were run again, and their earlier attempts were not read")
        return left_out

    def _trace(self, collector: Receiver, facts: Sequence[Facts], server: str, scope: Scope) -> None:
        for each in facts:
            sent = int(each.marks.get("traced", 0))
            runs = sorted(
                (run for run in each.runs.values() if run.completed and run.updated > sent and scope.has(run)),
                key=lambda run: run.updated,
            )
            for at in range(0, len(runs), TRACES):
                part = runs[at : at + TRACES]
                delivery.trace(collector, traces.request(each, part, server))
                each.marks["traced"] = part[-1].updated

    def _judged(self, figures: Figures, server: str, left_out: list[str], dashboard: str) -> Report:
        problems = [each.problem for each in self.collections if each.problem]
        verdict = Verdict.INCONCLUSIVE if problems else Verdict.PASS
        broken, unknown = [], []
        for each in self.inputs.fail_on:
            figure = figures.overall[each.metric]
            state = each.broken(figure)
            if state:
                broken.append(f"{figure.metric.title} is {figure} (n = {figure.n}); `fail-on: {each.text}`")
            elif state is None:
                unknown.append(f"{figure.metric.title}: {figure}; `fail-on: {each.text}`")
        self._find("threshold", Severity.ERROR, broken)
        self._find("too-few", Severity.WARNING, unknown)
        for problem in problems:
            fix = "\n".join(part for part in (problem.cause, problem.fix) if part)
            self.findings.append(Finding("pipeline-metrics/incomplete", Severity.WARNING, problem.what, fix=fix))
        if unknown:
            verdict = Verdict.INCONCLUSIVE
        if broken:
            verdict = Verdict.FAIL
        success, lead = figures.overall["success-rate"], figures.overall["lead-time-p50"]
        headline = f"{figures.runs:,} runs in {self.inputs.days} days: success rate {success}, median lead time {lead}."
        if verdict is not Verdict.PASS:
            headline = f"{(broken or unknown or [problems[0].what])[0].rstrip('.')}. {headline}"
        outputs: dict[str, Any] = {
            "verdict": verdict,
            "reason": headline,
            "figures": {key: each.value for key, each in figures.overall.items()},
            "dashboard": dashboard,
        }
        return Report(verdict, headline, outputs, self.findings, Summary(figures, server, left_out).blocks())

    def _find(self, rule: str, severity: Severity, messages: Sequence[str]) -> None:
        self.findings += [Finding(f"pipeline-metrics/{rule}", severity, message) for message in messages]

    def _deliver(self, name: str, send: Callable[[], None]) -> None:
        """A server that takes no figures does not change what they are: it is a warning."""
        try:
            send()
        except Inconclusive as error:
            fix = "\n".join(part for part in (error.cause, error.fix) if part)
            self.findings.append(Finding(f"pipeline-metrics/{name}", Severity.WARNING, error.what, fix=fix))

    def _folder(self, name: str) -> Path | None:
        """Returns the folder of an input, which then exists. Raises `UnusableInput`."""
        asked = getattr(self.inputs, name)
        return self.runtime.place(Path(asked) / "index.html", input=name).parent if asked else None

    @staticmethod
    def _write(name: str, folder: Path, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:
            raise UnusableInput(
                f"Cannot write to the folder {folder} of the input `{name}`: {error.strerror or error}.",
                fix=f"    with:\n      {name}: ${{{{ runner.temp }}}}/{name}",
            ) from None


def run(inputs: Inputs, runtime: Runtime) -> Report:
    """Returns the figures of the window. Raises `UnusableInput`."""
    # A hundred thousand rows without a circle among them: looking for circles takes a third of the time.
    gc.disable()
    try:
        return Measurement(inputs, runtime).report()
    finally:
        gc.enable()
