"""Keeps the page of records that a job read last, so that its rollback does not need GitHub to answer a second time."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from cicd_actions.github.client import GitHub
from cicd_actions.toolkit.errors import Inconclusive

ATTEMPTS = 4
"""Calls to GitHub before the records that this job read earlier will do: a few seconds, when each of them fails at once."""


class KeptPages:
    """The pages that earlier steps of this job read, in the runner's temporary folder, by environment.

    Nothing is kept outside of a job on GitHub: a page is only as new as the job. `folder` is `None` there.
    """

    def __init__(self, github: GitHub) -> None:
        names = ("GITHUB_REPOSITORY", "GITHUB_RUN_ID", "GITHUB_RUN_ATTEMPT", "GITHUB_JOB")
        runtime = github.runtime
        self._github = github
        self._job = [github.url, *(runtime.variables.get(name, "") for name in names)]
        self._folder = runtime.scratch if all(self._job) else None

    def newest(
        self, path: str, environment: str, ask: Callable[[GitHub], list[Any]], *, or_kept: bool
    ) -> tuple[list[Any], bool]:
        """Returns the page that `ask` gets from GitHub, with `or_kept` else the one that was kept; and whether GitHub gave it.

        Raises `Inconclusive` where GitHub does not answer and no page is taken instead.
        """
        before = self._read(path, environment) if or_kept else None
        try:
            page = ask(self._github if before is None else replace(self._github, attempts=ATTEMPTS))
        except Inconclusive as error:
            if before is None:
                raise
            self._github.runtime.log(f"{error.what} Using the records that an earlier step of this job read.")
            return before, False
        self._keep(path, environment, page)
        return page, True

    def _keep(self, path: str, environment: str, page: list[Any]) -> None:
        """A folder that cannot be written to keeps nothing."""
        place = self._place(path, environment)
        if place is None:
            return
        new = place.with_suffix(f".{os.getpid()}")
        try:
            new.write_text(json.dumps(page), "utf-8")
            new.replace(place)
        except (OSError, RecursionError):  # a payload that could just be read may be nested too deeply to be written
            new.unlink(missing_ok=True)

    def _read(self, path: str, environment: str) -> list[Any] | None:
        """Returns the page that was kept; `None` where there is none."""
        place = self._place(path, environment)
        try:
            page = json.loads(place.read_text("utf-8")) if place else None
        except (OSError, ValueError):
            return None
        return page if isinstance(page, list) else None

    def _place(self, path: str, environment: str) -> Path | None:
        asked = json.dumps([*self._job, path, environment])
        name = f"cicd-actions-records-{hashlib.sha256(asked.encode()).hexdigest()[:32]}.json"
        return self._folder / name if self._folder else None
