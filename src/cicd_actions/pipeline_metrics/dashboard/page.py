"""Writes the dashboard's page: the template with its style, its script and the data."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cicd_actions.pipeline_metrics.compute import Figures, first_failed, flaky_pairs, green_again, queued
from cicd_actions.pipeline_metrics.dora import lead_times, restores
from cicd_actions.pipeline_metrics.facts import Facts, Run
from cicd_actions.pipeline_metrics.metrics import BANDS, METRICS, WITHOUT_RECORDS

_HERE = Path(__file__).parent


def write(folder: Path, facts: Sequence[Facts], figures: Figures, server: str, left_out: Sequence[str]) -> None:
    """Writes `index.html` into a folder that exists. Raises `OSError`."""
    style, script = ((_HERE / name).read_text("utf-8") for name in ("page.css", "page.js"))
    parts = {
        "style": style,
        "script": script,
        "style-hash": _hash(style),
        "script-hash": _hash(script),
        "data": _embedded(data(facts, figures, server, left_out)),
    }
    text = (_HERE / "page.html").read_text("utf-8")
    pieces = text.split("%%")
    # Odd pieces are names of parts. What a part holds is not looked at again.
    page = "".join(parts[piece] if number % 2 else piece for number, piece in enumerate(pieces))
    (folder / "index.html").write_text(page, "utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _embedded(value: object) -> str:
    """Returns JSON that cannot end the element it stands in."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


class _Names:
    """Numbers for names, in the order of their first use."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def __call__(self, name: str) -> int:
        return self.numbers.setdefault(name, len(self.numbers))


def data(facts: Sequence[Facts], figures: Figures, server: str, left_out: Sequence[str]) -> dict[str, Any]:
    """Returns what the page shows, in columns: runs by their time, everything else by repository, workflow and branch."""
    scope = figures.scope
    repositories, workflows, branches, steps = _Names(), _Names(), _Names(), _Names()
    rows: list[tuple[int, ...]] = []
    queue: list[tuple[int, ...]] = []
    pairs: list[tuple[int, ...]] = []
    failed: list[tuple[float | None, ...]] = []
    for each in facts:
        at = repositories(each.repository)
        runs = [run for run in each.runs.values() if scope.has(run)]
        places = {run.id: (at, workflows(run.workflow or run.path), branches(run.branch)) for run in runs}
        rows += [(run.created, run.id, *places[run.id], run.seconds, _result(run), run.attempt) for run in runs]
        queue += [(run.created, *places[run.id], wait) for run in runs for wait in queued(each.jobs.get(run.id, ()))]
        pairs += [
            (some[0].created, *places[some[0].id], int(flaky), *_ids(some, flaky=flaky))
            for some, flaky in flaky_pairs(each, runs)
        ]
        failed += _failed(each, runs, places, steps)
    rows.sort()
    deployed = [
        (repositories(name), one.at, one.sha[:12], one.run, 2 if one.back else int(one.failed), one.back)
        for name, one in sorted(figures.deployments, key=lambda each: each[1].at)
    ]
    within = range(scope.since, scope.until + 1)

    def timed(of: Callable[[Facts, str], Iterator[tuple[int, int]]]) -> list[tuple[int, int, int]]:
        return [
            (repositories(each.repository), at, took)
            for each in facts
            for at, took in of(each, scope.environment)
            if at in within
        ]

    return {
        "server": server,
        "since": scope.since,
        "until": scope.until,
        "environment": scope.environment,
        "repositories": list(repositories.numbers),
        "workflows": list(workflows.numbers),
        "branches": list(branches.numbers),
        "steps": list(steps.numbers),
        "runs": _columns(rows),
        "queue": queue,
        "pairs": pairs,
        "failed": failed,
        "deployments": deployed,
        "leads": timed(lead_times),
        "restores": timed(restores),
        "pulls": [
            (repositories(each.repository), pull.merged)
            for each in facts
            for pull in each.pulls.values()
            if pull.merged in within and not pull.bot
        ],
        "metrics": {key: asdict(metric) for key, metric in METRICS.items()},
        "bands": BANDS,
        "withoutRecords": WITHOUT_RECORDS,
        "leftOut": list(left_out),
    }


def _result(run: Run) -> int:
    """0: failed, 1: passed, 2: says neither, 3: at work."""
    if not run.completed:
        return 3
    return 2 if run.good is None else int(run.good)


def _ids(runs: Sequence[Run], *, flaky: bool) -> Iterable[int]:
    return [run.id for run in runs] if flaky else ()


def _failed(
    facts: Facts, runs: Sequence[Run], places: dict[int, tuple[int, int, int]], steps: _Names
) -> list[tuple[float | None, ...]]:
    green = green_again(runs)
    return [
        (run.created, *places[run.id], steps(f"{job.name} › {first_failed(job) or 'no step'}"), run.id, green.get(run.id))
        for run in runs
        for job in facts.jobs.get(run.id, ())
        if job.good is False
    ]


def _columns(rows: Sequence[tuple[int, ...]]) -> list[list[int]]:
    """Returns columns; times and ids as differences to the row before, which are short."""
    columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(8)]
    for number in (0, 1):
        column = columns[number]
        columns[number] = [value - before for value, before in zip(column, [0, *column], strict=False)]
    return columns
