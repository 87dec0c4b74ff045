"""The figures as files: JSON, CSV and OpenMetrics."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from cicd_actions.pipeline_metrics import openmetrics
from cicd_actions.pipeline_metrics.compute import Figures
from cicd_actions.pipeline_metrics.facts import Facts
from cicd_actions.pipeline_metrics.metrics import Figure

SCHEMA = 1


def write(folder: Path, figures: Figures, facts: Sequence[Facts]) -> None:
    """Writes the files into a folder that exists. Raises `OSError`."""
    (folder / "figures.json").write_text(json.dumps(as_json(figures), indent=2) + "\n", "utf-8")
    (folder / "figures.csv").write_text(_csv(_figure_rows(figures)), "utf-8")
    (folder / "runs.csv").write_text(_csv(_run_rows(figures, facts)), "utf-8", errors="replace")
    (folder / "metrics.txt").write_text(openmetrics.text(figures), "utf-8", errors="replace")


def as_json(figures: Figures) -> dict[str, Any]:
    """Returns everything that was computed. Seconds, percentages and counts are numbers; `null` stands for too few samples."""
    scope = figures.scope
    return {
        "schema": SCHEMA,
        "since": scope.since,
        "until": scope.until,
        "environment": scope.environment,
        "runs": figures.runs,
        "runs-with-jobs": figures.detailed,
        "figures": {key: _figure(each) for key, each in figures.overall.items()},
        "workflows": [
            {
                "repository": repository,
                "workflow": workflow,
                "runs": runs,
                "figures": {key: _figure(each) for key, each in of.items()},
            }
            for repository, workflow, runs, of in figures.workflows
        ],
        "weeks": [
            {"start": week.start, "runs": week.runs, "figures": {key: _figure(each) for key, each in week.figures.items()}}
            for week in figures.weeks
        ],
        "flaky": [vars(each) for each in figures.flakes],
        "steps": [vars(each) for each in figures.steps],
        "minutes": [vars(each) for each in figures.minutes],
        "deployments": [{"repository": repository, **vars(each)} for repository, each in figures.deployments],
        "people": figures.people,
    }


def _figure(figure: Figure) -> dict[str, Any]:
    return {"value": figure.value, "unit": figure.metric.unit, "n": figure.n, **({"band": figure.band} if figure.band else {})}


def _figure_rows(figures: Figures) -> Iterable[Sequence[object]]:
    yield ("repository", "workflow", "metric", "value", "unit", "samples")
    for key, each in figures.overall.items():
        yield ("", "", key, "" if each.value is None else each.value, each.metric.unit, each.n)
    for repository, workflow, _, of in figures.workflows:
        for key, each in of.items():
            yield (repository, workflow, key, "" if each.value is None else each.value, each.metric.unit, each.n)


def _run_rows(figures: Figures, facts: Sequence[Facts]) -> Iterable[Sequence[object]]:
    yield ("repository", "id", "attempt", "workflow", "branch", "event", "sha", "conclusion", "created", "seconds")
    for each in facts:
        for run in sorted(each.runs.values(), key=lambda run: -run.created):
            if figures.scope.has(run):
                yield (
                    each.repository, run.id, run.attempt, run.workflow, run.branch, run.event, run.sha,
                    run.conclusion or run.status, run.created, run.seconds,
                )  # fmt: skip


def _csv(rows: Iterable[Sequence[object]]) -> str:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([[_cell(value) for value in row] for row in rows])
    return file.getvalue()


def _cell(value: object) -> object:
    """Text that a spreadsheet would take for a formula gets an apostrophe (https://owasp.org/www-community/attacks/CSV_Injection)."""
    return f"'{value}" if isinstance(value, str) and value[:1] in {"=", "+", "-", "@", "\t", "\r"} else value
