"""Dumps the database's schema before and after the migrations by the user's program, and compares."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path

from cicd_actions.engines.protocol import Image
from cicd_actions.run_migrations_oneshot.inputs import Inputs
from cicd_actions.run_migrations_oneshot.journal import Journal
from cicd_actions.run_migrations_oneshot.programs import last_lines, run_program, why
from cicd_actions.toolkit.runtime import Runtime

MOST_LINES = 300
"""Lines of the difference that the report shows; the file has all of them."""

# pg_dump writes a random key at each run since 17.6: https://www.postgresql.org/docs/current/app-psql.html
_NOISE = re.compile(r"^(\\(un)?restrict |-- Dumped (from|by) )")


@dataclass(frozen=True)
class SchemaDiff:
    """What changed. `path` is the unified difference as a file; `problem` says why there is none."""

    lines: tuple[str, ...] = ()
    path: Path | None = None
    problem: str = ""


class SchemaDumps:
    """The two dumps of one run."""

    def __init__(self, words: tuple[str, ...], inputs: Inputs, runtime: Runtime, image: Image, journal: Journal) -> None:
        self._words = words
        self._inputs = inputs
        self._runtime = runtime
        self._image = image
        self._journal = journal
        self._before = self._dump("before")

    def compared(self) -> SchemaDiff:
        """Dumps again, and returns the difference. A dump that fails does not change the verdict."""
        after = self._dump("after")
        if isinstance(self._before, str) or isinstance(after, str):
            return SchemaDiff(problem=next(each for each in (self._before, after) if isinstance(each, str)))
        lines = tuple(
            line.rstrip("\n") for line in difflib.unified_diff(self._before, after, "before", "after", n=2, lineterm="")
        )
        return SchemaDiff(lines, self._journal.keep(".schema.diff", "\n".join(lines) + "\n" if lines else ""))

    def _dump(self, when: str) -> list[str] | str:
        self._journal.line(f"Schema {when}: {self._words[0]}", own=True)
        done = run_program(self._words, self._inputs, self._runtime, self._image, None)
        if done.exit_code != 0 or done.timed_out:
            problem = f"`schema-command` {why(done)}: {last_lines(done)}"
            self._journal.line(problem, own=True)
            return problem
        text = self._runtime.redactor(done.stdout)
        self._journal.keep(f".schema-{when}.sql", text)
        return [line for line in text.splitlines() if not _NOISE.match(line)]
