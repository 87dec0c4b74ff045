"""The demo has no GitHub, so a small stand-in of its Deployments API keeps the records: the one that the tests use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from demo.engines import ENVIRONMENTS
from tests.fakes.github import FakeGitHub, deployments, settings

REPOSITORY = "org/two-lane"

KEY = "the key that signs the records of the demo"


@dataclass(frozen=True)
class Records:
    """Where the stand-in answers, and the token that it takes: with what a deploy job asks for, and no more."""

    github: FakeGitHub
    url: str
    token: str

    def lines(self) -> list[tuple[str, str, str]]:
        """What is recorded, oldest first: environment, task without its prefix, commit."""
        return [
            (each["environment"], each["task"].removeprefix("cicd-actions:"), each["sha"])
            for each in deployments.kept(self.github, REPOSITORY).deployments
        ]


@contextmanager
def records(repository: Path) -> Iterator[Records]:
    """Answers on a port of this machine until the end of the block. Commits are those of the git repository given."""
    with FakeGitHub() as github:
        for environment in ENVIRONMENTS:
            settings.environment(github, REPOSITORY, environment)
        deployments.kept(github, REPOSITORY).git = repository
        yield Records(github, github.url, github.token(deployments="write", contents="read", actions="read"))
