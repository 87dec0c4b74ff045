"""A service on a Swarm with its records on the stand-in for GitHub: what a deploy job and a person do with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fakes.github import FakeGitHub, deployments
from tests.harness.releases import REPOSITORY, Ended, step
from tests.harness.stack import Built, Images, Stack, await_text


@dataclass
class Site:
    """A stack with its records."""

    folder: Path
    stack: Stack
    images: Images
    github: FakeGitHub
    token: str
    url: str = ""
    repository: str = ""
    monitor: str = "1s"
    line: list[str] = field(default_factory=list)

    def serve(self, built: Built, **more: Any) -> None:
        """The service `api` exists and answers."""
        self.stack.service("api", built.pinned, labels={"org.opencontainers.image.revision": built.sha}, **more)
        self.url = self.stack.entrance("api")
        await_text(self.url, built.sha)

    def commit(self, built: Built) -> None:
        """The release's commit follows those before it."""
        deployments.commits(self.github, REPOSITORY, [built.sha], after=self.line[-1] if self.line else "")
        self.line.append(built.sha)

    @property
    def engine(self) -> dict[str, str]:
        return {"engine": "swarm", "stack": self.stack.name, "monitor": self.monitor}

    def record(self, built: Built, verdict: str, **more: str) -> None:
        """A deploy from its start to its record."""
        self.commit(built)
        given = {
            "sha": built.sha,
            "services": f"api={built.digest}",
            **{key.replace("_", "-"): text for key, text in more.items()},
        }
        begun = self.act("deployment-record", {**given, "phase": "start"})
        assert begun.code == 0, begun.log
        ended = self.act("deployment-record", {**given, "phase": "finish", "verdict": verdict})
        assert ended.code == 0, ended.log

    def roll_out(self, built: Built) -> None:
        given = {**self.engine, "services": f"api={built.pinned}", "sha": built.sha}
        done = self.act("roll-out", given)
        assert done.code == 0, done.log
        await_text(self.url, built.sha)

    def roll_back(self, variables: dict[str, str] | None = None, **inputs: str) -> Ended:
        given = {
            **self.engine,
            "services": f"api={self.repository}",
            "url": self.url,
            "version-from": "header:X-Version",
            "stable-for": "1s",
            "gate-timeout": "20s",
            **{key.replace("_", "-"): text for key, text in inputs.items()},
        }
        return self.act("rollback-to-previous-sha", given, **variables or {})

    def act(self, name: str, inputs: dict[str, str], **variables: str) -> Ended:
        return step(self.folder, self.github, self.token, name, inputs, **variables)
