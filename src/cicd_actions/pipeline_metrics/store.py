"""The store: one file of JSON lines for a repository, replaced as a whole.

The first line names the schema and the columns. Runs, of which there are many, come as lines `["runs", [names, columns]]`, in
which a name is its number among `names`; each other line is `[kind, [row, row…]]`. What the next collection continues from is
part of the same file, so a reader never sees half of an update, and two writers lose at most the other's news, which
the next collection gets again.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from cicd_actions.pipeline_metrics.facts import Changes, Facts, Job, Pull, Release, Run, Step
from cicd_actions.toolkit.errors import UnusableInput

SCHEMA = 3

_TEXTS = range(2, 9)
"""The columns of a run that hold names."""

_ROWS = 5000
"""Rows in one line."""

_KINDS: dict[str, Any] = {"run": Run, "job": Job, "release": Release, "pull": Pull, "changes": Changes}
_SAFE = re.compile(r"[A-Za-z0-9._-]+")


class Store:
    """The files below `folder`. Without a folder nothing is kept."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._lines: dict[str, list[tuple[list[Run], str]]] = {}
        """The lines of runs that were read, by repository: one whose runs are still the same is written again as it was."""

    def read(self, repository: str) -> Facts:
        """Returns what is kept of a repository. Raises `UnusableInput` for a file of another schema, or a damaged one."""
        path = self._path(repository)
        if path is None or not path.exists():
            return Facts(repository)
        try:
            with path.open(encoding="utf-8") as file:
                return _read(repository, file, self._lines.setdefault(repository, []))
        except (ValueError, TypeError, KeyError, IndexError, RecursionError, OSError) as error:
            raise UnusableInput(
                f"Cannot read the store {path}: {str(error)[:200]}.",
                cause="Another version of the action wrote it, or something else changed it.",
                fix=f"Remove it; the next run collects everything again:\n\n    rm {path}",
            ) from None

    def write(self, facts: Facts) -> None:
        """Replaces the file of a repository. Raises `UnusableInput` when it cannot be written."""
        path = self._path(facts.repository)
        if path is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            try:
                with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
                    file.writelines(line + "\n" for line in _lines(facts, self._lines.get(facts.repository, [])))
                Path(name).replace(path)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise UnusableInput(
                f"Cannot write the store {path}: {error.strerror or error}.",
                fix="    with:\n      store: ${{ runner.temp }}/metrics",
            ) from None

    def _path(self, repository: str) -> Path | None:
        if self._folder is None:
            return None
        owner, _, name = repository.partition("/")
        for part in (owner, name):
            if not _SAFE.fullmatch(part) or part in {".", ".."}:
                raise UnusableInput(f"`{repository[:200]}` is not a repository.", fix="It is written owner/name.")
        return self._folder / owner / f"{name}.jsonl"


def _columns() -> dict[str, list[str]]:
    return {kind: list(form._fields) for kind, form in _KINDS.items()}


def _lines(facts: Facts, before: Sequence[tuple[list[Run], str]]) -> Iterator[str]:
    dump: Callable[[object], str] = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), check_circular=False).encode
    yield dump({"schema": SCHEMA, "repository": facts.repository, "columns": _columns()})
    state = {"since": facts.since, "until": facts.until, "gaps": facts.gaps, "marks": facts.marks}
    yield dump(["state", state])
    yield from _runs(list(facts.runs.values()), before, dump)
    for kind, rows in (
        ("job", [job for jobs in facts.jobs.values() for job in jobs]),
        ("release", list(facts.releases.values())),
        ("pull", list(facts.pulls.values())),
        ("changes", list(facts.changes.values())),
    ):
        for at in range(0, len(rows), _ROWS):
            yield dump([kind, rows[at : at + _ROWS]])


def _runs(runs: Sequence[Run], before: Sequence[tuple[list[Run], str]], dump: Callable[[object], str]) -> Iterator[str]:
    index = {run.id: at for at, run in enumerate(runs)}
    kept: dict[int, tuple[int, str]] = {}
    for part, line in before:
        at = index.get(part[0].id, 0) if part else 0
        # The same objects are told by their identity, so this takes no time. Short lines grow together.
        if len(part) >= _ROWS // 2 and runs[at : at + len(part)] == part:
            kept[at] = (at + len(part), line)
    at = 0
    for start in [*sorted(kept), len(runs)]:
        for first in range(at, start, _ROWS):
            yield dump(["runs", _packed(runs[first : min(first + _ROWS, start)])])
        if start in kept:
            at, line = kept[start]
            yield line


def _packed(runs: Sequence[Run]) -> list[Any]:
    """Returns the names in the runs, and their columns, with numbers for the names."""
    columns: list[Any] = list(zip(*runs, strict=True))
    names = {name: number for number, name in enumerate(dict.fromkeys(chain.from_iterable(columns[at] for at in _TEXTS)))}
    for at in _TEXTS:
        columns[at] = list(map(names.__getitem__, columns[at]))
    return [list(names), columns]


def _read(repository: str, file: Iterator[str], lines: list[tuple[list[Run], str]]) -> Facts:
    """Reads a file; `lines` gets its lines of runs."""
    head = json.loads(next(file, "{}"))
    if not isinstance(head, dict) or head.get("schema") != SCHEMA:
        raise ValueError(f"its schema is {head.get('schema') if isinstance(head, dict) else head!r}, not {SCHEMA}")
    if head["columns"] != _columns():
        raise ValueError("its columns are not those of this version")
    facts = Facts(repository)
    # The names of branches and workflows repeat a thousand times: each is kept once.
    once: Callable[[str], str] = sys.intern
    for line in file:
        kind, rows = json.loads(line)
        if kind == "runs":
            names, columns = rows
            names = list(map(once, names))
            for at in _TEXTS:
                columns[at] = map(names.__getitem__, columns[at])
            part = list(map(Run._make, zip(*columns, strict=True)))
            facts.runs.update((run.id, run) for run in part)
            lines.append((part, line.rstrip("\n")))
        elif kind == "job":
            for row in rows:
                row[3:5] = map(once, row[3:5])
                row[9] = tuple(Step(once(name), once(conclusion), took) for name, conclusion, took in row[9])
                job = Job(*row)
                facts.jobs.setdefault(job.run, []).append(job)
        elif kind == "release":
            facts.releases.update((row[0], Release(*row)) for row in rows)
        elif kind == "pull":
            facts.pulls.update((row[0], Pull(*row)) for row in rows)
        elif kind == "changes":
            for row in rows:
                changes = Changes(row[0], row[1], row[2], tuple(row[3]))
                facts.changes[changes.base, changes.head] = changes
        else:
            facts.since, facts.until, facts.marks = rows["since"], rows["until"], rows["marks"]
            facts.gaps = [(low, high) for low, high in rows["gaps"]]
    return facts
