"""The store: one file of JSON lines for a repository, replaced as a whole.

The first line names the schema and the columns. Runs, of which there are many, come as lines `["runs", [names, columns]]`, in
which a name is its number among `names`; each other line is `[kind, [values…]]`. What the next collection continues from is
part of the same file, so a reader never sees half of an update, and two writers lose at most the other's news, which
the next collection gets again.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

from cicd_actions.pipeline_metrics.facts import Changes, Facts, Job, Pull, Release, Run, Step
from cicd_actions.toolkit.errors import UnusableInput

SCHEMA = 2

_TEXTS = range(2, 9)
"""The columns of a run that hold names."""

_RUNS = 20_000
"""Runs in one line."""

_KINDS: dict[str, Any] = {"run": Run, "job": Job, "release": Release, "pull": Pull, "changes": Changes}
_SAFE = re.compile(r"[A-Za-z0-9._-]+")


class Store:
    """The files below `folder`. Without a folder nothing is kept."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def read(self, repository: str) -> Facts:
        """Returns what is kept of a repository. Raises `UnusableInput` for a file of another schema, or a damaged one."""
        path = self._path(repository)
        if path is None or not path.exists():
            return Facts(repository)
        try:
            with path.open(encoding="utf-8") as file:
                return _read(repository, file)
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
                    file.writelines(line + "\n" for line in _lines(facts))
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


def _lines(facts: Facts) -> Iterator[str]:
    dump: Callable[[object], str] = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), check_circular=False).encode
    yield dump({"schema": SCHEMA, "repository": facts.repository, "columns": _columns()})
    yield dump(["state", {"since": facts.since, "until": facts.until, "gaps": facts.gaps, "marks": facts.marks}])
    runs = iter(facts.runs.values())
    while part := list(islice(runs, _RUNS)):
        columns: list[Any] = list(zip(*part, strict=True))
        names = {name: number for number, name in enumerate(dict.fromkeys(chain.from_iterable(columns[at] for at in _TEXTS)))}
        for at in _TEXTS:
            columns[at] = list(map(names.__getitem__, columns[at]))
        yield dump(["runs", [list(names), columns]])
    for kind, rows in (
        ("job", (job for jobs in facts.jobs.values() for job in jobs)),
        ("release", facts.releases.values()),
        ("pull", facts.pulls.values()),
        ("changes", facts.changes.values()),
    ):
        for row in rows:
            yield dump([kind, row])


def _rows(file: Iterator[str]) -> Iterator[Any]:
    """Yields the lines. Many are read at once, which takes half the time of one after the other."""
    while part := list(islice(file, 4096)):
        yield from json.loads(f"[{','.join(part)}]")


def _read(repository: str, file: Iterator[str]) -> Facts:
    head = json.loads(next(file, "{}"))
    if not isinstance(head, dict) or head.get("schema") != SCHEMA:
        raise ValueError(f"its schema is {head.get('schema') if isinstance(head, dict) else head!r}, not {SCHEMA}")
    if head["columns"] != _columns():
        raise ValueError("its columns are not those of this version")
    facts = Facts(repository)
    # The names of branches and workflows repeat a thousand times: each is kept once.
    once: Callable[[str], str] = sys.intern
    for kind, row in _rows(file):
        if kind == "runs":
            names, columns = row
            names = list(map(once, names))
            for at in _TEXTS:
                columns[at] = map(names.__getitem__, columns[at])
            facts.runs.update(zip(columns[0], map(Run._make, zip(*columns, strict=True)), strict=True))
        elif kind == "job":
            row[3:5] = map(once, row[3:5])
            row[9] = tuple(Step(once(name), once(conclusion), took) for name, conclusion, took in row[9])
            job = Job(*row)
            facts.jobs.setdefault(job.run, []).append(job)
        elif kind == "release":
            release = Release(*row)
            facts.releases[release.id] = release
        elif kind == "pull":
            pull = Pull(*row)
            facts.pulls[pull.number] = pull
        elif kind == "changes":
            changes = Changes(row[0], row[1], row[2], tuple(row[3]))
            facts.changes[changes.base, changes.head] = changes
        else:
            facts.since, facts.until, facts.marks = row["since"], row["until"], row["marks"]
            facts.gaps = [(low, high) for low, high in row["gaps"]]
    return facts
