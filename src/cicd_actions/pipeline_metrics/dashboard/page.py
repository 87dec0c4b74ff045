"""Writes the dashboard's page: the template with its style, its script and the data."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cicd_actions.pipeline_metrics.compute import Figures, first_failed, queued
from cicd_actions.pipeline_metrics.dora import lead_times, restores
from cicd_actions.pipeline_metrics.facts import Facts
from cicd_actions.pipeline_metrics.metrics import BANDS, METRICS, WITHOUT_RECORDS

_HERE = Path(__file__).parent
_RESULTS = {False: 0, True: 1, None: 2}
"""How the page says it; 3 is a run at work."""


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


class _Names(dict[str, int]):
    """Numbers for names, in the order of their first use."""

    def __missing__(self, name: str) -> int:
        self[name] = len(self)
        return self[name]


def data(facts: Sequence[Facts], figures: Figures, server: str, left_out: Sequence[str]) -> dict[str, Any]:
    """Returns what the page shows, in columns: runs by their time, everything else by repository, workflow and branch."""
    scope = figures.scope
    repositories, workflows, branches, steps = _Names(), _Names(), _Names(), _Names()
    columns: list[list[int]] = [[] for _ in range(9)]
    queue: list[tuple[int, ...]] = []
    pairs: list[tuple[int, ...]] = []
    failed: list[tuple[float | None, ...]] = []
    for story in figures.stories:
        at, jobs = repositories[story.facts.repository], story.facts.jobs
        # 1 marks the first run of a pair that has a verdict.
        first = {some[0].id for some, _ in story.pairs}
        ended = list(zip(story.runs, story.ends, strict=True))
        for column, values in zip(
            columns,
            (
                [run.created for run in story.runs],
                [run.id for run in story.runs],
                [at] * len(story.runs),
                [workflows[run.workflow or run.path] for run in story.runs],
                [branches[run.branch] for run in story.runs],
                [time for _, time in story.ends],
                [_RESULTS[good] if run.completed else 3 for run, (good, _) in ended],
                [run.attempt for run in story.runs],
                [int(run.id in first) for run in story.runs],
            ),
            strict=True,
        ):
            column.extend(values)
        for run in filter(lambda run: run.id in jobs, story.runs):
            place = (at, workflows[run.workflow or run.path], branches[run.branch])
            for job in jobs[run.id]:
                queue += [(run.created, *place, wait, run.id) for wait in queued([job])]
                if job.good is False:
                    step = steps[f"{job.name} › {first_failed(job) or 'no step'}"]
                    failed.append((run.created, *place, step, run.id, story.green.get(run.id)))
        for some in (some for some, flaky in story.pairs if flaky):
            place = (at, workflows[some[0].workflow or some[0].path], branches[some[0].branch])
            pairs.append((some[0].created, *place, *(run.id for run in some)))
    deployed = [
        (repositories[name], one.at, one.sha[:12], one.run, 2 if one.back else int(one.failed), one.back)
        for name, one in sorted(figures.deployments, key=lambda each: each[1].at)
    ]
    within = range(scope.since, scope.until + 1)

    def timed(of: Callable[[Facts, str], Iterator[tuple[int, int]]]) -> list[tuple[int, int, int]]:
        return [
            (repositories[each.repository], at, took)
            for each in facts
            for at, took in of(each, scope.environment)
            if at in within
        ]

    return {
        "server": server,
        "since": scope.since,
        "until": scope.until,
        "environment": scope.environment,
        "repositories": list(repositories),
        "workflows": list(workflows),
        "branches": list(branches),
        "steps": list(steps),
        "runs": _by_time(columns),
        "queue": queue,
        "flaky": pairs,
        "failed": failed,
        "deployments": deployed,
        "leads": timed(lead_times),
        "restores": timed(restores),
        "pulls": [
            (repositories[each.repository], pull.merged)
            for each in facts
            for pull in each.pulls.values()
            if pull.merged in within and not pull.bot
        ],
        "metrics": {key: asdict(metric) for key, metric in METRICS.items()},
        "bands": BANDS,
        "withoutRecords": WITHOUT_RECORDS,
        "leftOut": list(left_out),
    }


def _by_time(columns: Sequence[Sequence[int]]) -> list[list[int]]:
    """Returns the columns, times and ids first, in the order of time; these two as differences to the row before."""
    times, ids = columns[:2]
    order = sorted(range(len(times)), key=list(zip(times, ids, strict=True)).__getitem__)
    ordered = [list(map(column.__getitem__, order)) for column in columns]
    for number in (0, 1):
        column = ordered[number]
        ordered[number] = [value - before for value, before in zip(column, [0, *column], strict=False)]
    return ordered
