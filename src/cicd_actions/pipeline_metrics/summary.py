"""The job summary: tables, two charts, and what was left out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone

from cicd_actions.pipeline_metrics.compute import Figures, Week
from cicd_actions.pipeline_metrics.metrics import BANDS, METRICS, WITHOUT_RECORDS, Figure, duration, shown
from cicd_actions.toolkit.report import Block, Bullets, Code, CodeBlock, Details, Heading, Inline, Link, Paragraph, Table

HEALTH = (
    "success-rate", "duration-p50", "duration-p90", "flaky-rate", "queue-p50", "queue-p90", "minutes", "cost",
    "merged-per-week",
)  # fmt: skip
DORA = ("deployments-per-week", "lead-time-p50", "lead-time-p90", "change-failure-rate", "restore-p50")

ROWS = 10
"""Rows of a table of the worst."""

LINKS = 3


class Summary:
    """Makes the blocks. `server` is the URL of GitHub's pages, such as `https://github.com`."""

    def __init__(self, figures: Figures, server: str, left_out: Sequence[str]) -> None:
        self._figures = figures
        self._server = server
        self._left_out = left_out

    def blocks(self) -> list[Block]:
        """Returns the whole summary."""
        figures = self._figures
        blocks: list[Block] = [Heading("Pipeline health"), _table(figures, HEALTH)]
        blocks += _chart(figures.weeks)
        blocks.append(Heading(f"DORA metrics of {figures.scope.environment}"))
        blocks.append(_table(figures, DORA) if figures.deployments else Paragraph(WITHOUT_RECORDS))
        if figures.workflows:
            names = ("success-rate", "duration-p50", "duration-p90")
            rows: list[Sequence[Inline]] = [
                (
                    repository,
                    Link(workflow, f"{self._server}/{repository}/actions"),
                    str(runs),
                    *(str(of[key]) for key in names),
                )
                for repository, workflow, runs, of in figures.workflows[:ROWS]
            ]
            blocks += [
                Heading("Workflows"),
                Table(("repository", "workflow", "runs", *(METRICS[key].title for key in names)), rows),
            ]
        blocks += self._jobs() + self._flakes() + self._steps() + self._minutes() + self._people()
        if self._left_out:
            blocks += [Heading("Left out"), Bullets(list(dict.fromkeys(self._left_out)))]
        return blocks

    def _jobs(self) -> list[Block]:
        rows: list[Sequence[Inline]] = [
            (repository, workflow, Code(job), duration(median), str(n))
            for repository, workflow, job, n, median in self._figures.jobs[:ROWS]
        ]
        head = ("repository", "workflow", "job", "median", "samples")
        return [Details("Slowest jobs, of those that were read", [Table(head, rows)])] if rows else []

    def _flakes(self) -> list[Block]:
        rows: list[Sequence[Inline]] = [
            (each.repository, each.workflow, Code(each.job), Code(each.step), self._runs(each.repository, each.runs))
            for each in self._figures.flakes[:ROWS]
        ]
        head = ("repository", "workflow", "job", "step", "runs that failed, then passed")
        return [Heading("Flaky jobs"), Table(head, rows)] if rows else []

    def _steps(self) -> list[Block]:
        failing = [each for each in self._figures.steps if each.failed][:ROWS]
        slow = sorted(self._figures.steps, key=lambda each: -(each.median or 0))[:ROWS]
        blocks: list[Block] = []
        if failing:
            rows: list[Sequence[Inline]] = [
                (
                    each.repository,
                    Code(each.job),
                    Code(each.step),
                    f"{each.failed} of {each.ran}",
                    "not yet" if each.remediation is None else f"{duration(each.remediation)} (n = {each.remedied})",
                    self._runs(each.repository, each.runs),
                )
                for each in failing
            ]
            head = ("repository", "job", "step", "failed", "median until green", "runs")
            blocks += [Heading("Steps that failed most, in the runs that were read"), Table(head, rows)]
        if slow:
            rows = [
                (each.repository, Code(each.job), Code(each.step), duration(each.median or 0), str(each.ran)) for each in slow
            ]
            blocks.append(Details("Slowest steps", [Table(("repository", "job", "step", "median", "samples"), rows)]))
        return blocks

    def _minutes(self) -> list[Block]:
        rows: list[Sequence[Inline]] = [
            (Code(each.runner), str(each.jobs), f"{each.minutes:,}", "no rate" if each.cost is None else shown(each.cost, ""))
            for each in self._figures.minutes[:ROWS]
        ]
        title = f"Runner minutes of {self._figures.detailed} of {self._figures.runs} runs"
        return [Details(title, [Table(("runner", "jobs", "minutes", "cost"), rows)])] if rows else []

    def _people(self) -> list[Block]:
        rows = [(name, str(count)) for name, count in self._figures.people.items()]
        return [Details("Merged pull requests per person", [Table(("person", "merged"), rows)])] if rows else []

    def _runs(self, repository: str, runs: Iterable[int]) -> Inline:
        numbers = list(runs)
        parts: list[str | Code | Link] = []
        for number in numbers[:LINKS]:
            parts += [Link(str(number), f"{self._server}/{repository}/actions/runs/{number}"), " "]
        return [*parts, f"and {len(numbers) - LINKS} more"] if len(numbers) > LINKS else parts


def _table(figures: Figures, names: Iterable[str]) -> Table:
    rows: list[Sequence[Inline]] = []
    banded = False
    for name in names:
        figure = figures.overall.get(name)
        if figure is None or (name == "cost" and not figure.n):
            continue
        banded = banded or name in BANDS
        rows.append((figure.metric.title, str(figure), str(figure.n), figure.band or figure.metric.target))
    return Table(("metric", "value", "samples", "band (DORA 2023)" if banded else "target"), rows)


def _chart(weeks: Sequence[Week]) -> list[Block]:
    """Two Mermaid charts of the weeks with enough runs. Their labels are days: no name from outside stands in them."""
    blocks: list[Block] = []
    for name, title, unit in (("success-rate", "Success rate", "%"), ("duration-p50", "Median duration", "minutes")):
        points = [(week.start, figure) for week in weeks if (figure := week.figures[name]).value is not None]
        if len(points) < 2:
            continue
        values = [_scaled(figure) for _, figure in points]
        top = 100 if unit == "%" else math.ceil(max(values) * 1.1) or 1
        labels = ", ".join(f'"{datetime.fromtimestamp(start, timezone.utc):%d %b}"' for start, _ in points)
        blocks.append(
            CodeBlock(
                f'xychart-beta\n    title "{title} by week"\n    x-axis [{labels}]\n    y-axis "{unit}" 0 --> {top}\n'
                f"    line [{', '.join(f'{value:.2f}' for value in values)}]",
                "mermaid",
            )
        )
    return blocks


def _scaled(figure: Figure) -> float:
    value = figure.value or 0.0
    return value / 60 if figure.metric.unit == "s" else value
