"""Keeps the page of records that a job read last, so that its rollback does not need GitHub to answer a second time."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from cicd_actions.toolkit.runtime import Runtime


class KeptPages:
    """The pages that earlier steps of this job read, in the runner's temporary folder, by environment.

    Nothing is kept outside of a job on GitHub: a page is only as new as the job. `folder` is `None` there.
    """

    def __init__(self, runtime: Runtime, url: str) -> None:
        names = ("GITHUB_REPOSITORY", "GITHUB_RUN_ID", "GITHUB_RUN_ATTEMPT", "GITHUB_JOB")
        self._job = [url, *(runtime.variables.get(name, "") for name in names)]
        self._folder = runtime.scratch if all(self._job) else None

    def keep(self, path: str, environment: str, page: Any) -> None:
        """Keeps a page. A folder that cannot be written to keeps nothing."""
        place = self._place(path, environment)
        if place is None:
            return
        new = place.with_suffix(f".{os.getpid()}")
        try:
            new.write_text(json.dumps(page), "utf-8")
            new.replace(place)
        except OSError:
            new.unlink(missing_ok=True)

    def read(self, path: str, environment: str) -> Any:
        """Returns the page that was kept; `None` where there is none."""
        place = self._place(path, environment)
        try:
            return json.loads(place.read_text("utf-8")) if place else None
        except (OSError, ValueError):
            return None

    def _place(self, path: str, environment: str) -> Path | None:
        asked = json.dumps([*self._job, path, environment])
        name = f"cicd-actions-records-{hashlib.sha256(asked.encode()).hexdigest()[:32]}.json"
        return self._folder / name if self._folder else None
