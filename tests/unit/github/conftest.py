from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import pytest

from cicd_actions.github.client import GitHub
from cicd_actions.toolkit.runtime import Runtime
from tests.fakes.github import FakeGitHub
from tests.fakes.github.openapi import document


@pytest.fixture
def github() -> Iterator[FakeGitHub]:
    with FakeGitHub(document=document()) as fake:
        yield fake


@pytest.fixture
def waits() -> list[float]:
    """The pauses a client made, in seconds; none of them passes."""
    return []


@pytest.fixture
def client(github: FakeGitHub, waits: list[float]) -> Callable[..., GitHub]:
    """Makes a client for `org/app` on the fake: `client(token, seconds=30, repository=…)`."""

    def make(token: str, *, seconds: float = 30.0, repository: str = "org/app", attempts: int = 5) -> GitHub:
        runtime = Runtime({"GITHUB_API_URL": github.url}, io.StringIO(), sleep=waits.append)
        return GitHub(token, repository, runtime, runtime.deadline(seconds), attempts=attempts)

    return make
