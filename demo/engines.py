"""Where the demo's releases run: as local processes here, on Docker Swarm in `demo.swarm`."""

from __future__ import annotations

import json
import sys
from typing import Protocol

from demo.described import change
from demo.workspace import Workspace

ENVIRONMENTS = ("staging", "production")


class Engine(Protocol):
    """What the story needs of it. Made before anything else; making one raises SetupError where it cannot run."""

    name: str
    """The engine's name in the actions' input `engine`."""

    def set_up(self, workspace: Workspace) -> None:
        """Start what has to be there before the first release, and change the copy's pipeline file so that it deploys here.

        Called once, before the first commit. Raises SetupError.
        """
        ...

    def urls(self, environment: str) -> dict[str, str]:
        """Where each service answers, without a path."""
        ...

    def running(self, environment: str) -> dict[str, dict[str, str]]:
        """`image`, `digest` and `sha` of the release that each service runs; nothing of a service that runs none."""
        ...

    def stop(self) -> None:
        """End and remove all that was started. Safe to call at any time, and twice."""
        ...


class Local:
    """The example's own engine: processes of this user, and SQLite."""

    name = "command"

    def __init__(self) -> None:
        self._workspace: Workspace | None = None

    def set_up(self, workspace: Workspace) -> None:
        self._workspace = workspace
        urls = {environment: self.urls(environment) for environment in ENVIRONMENTS}
        change(workspace.app, urls, postgres=workspace.postgres)

    def urls(self, environment: str) -> dict[str, str]:
        found: dict[str, str] = json.loads(self._ask("urls", environment))
        return found

    def running(self, environment: str) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = json.loads(self._ask("running", environment))
        return found

    def stop(self) -> None:
        if self._workspace is not None:
            self._ask("stop")

    def _ask(self, *words: str) -> str:
        assert self._workspace is not None  # noqa: S101 - the story sets it up first
        return self._workspace.run(sys.executable, "infra/local/engine.py", *words, cwd=self._workspace.app)
