from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from cicd_actions.secrets_doc_check.inputs import Inputs
from cicd_actions.secrets_doc_check.run import run
from cicd_actions.toolkit.inputs import load
from cicd_actions.toolkit.report import Report
from cicd_actions.toolkit.runtime import Runtime
from tests.fakes.github import FakeGitHub
from tests.fakes.github.openapi import document

Check = Callable[..., Report]


@pytest.fixture
def github() -> Iterator[FakeGitHub]:
    """GitHub's API, with nothing in it."""
    with FakeGitHub(document=document()) as fake:
        yield fake


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty repository, which is the folder the action is started in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def fill(root: Path, files: Mapping[str, str]) -> None:
    """Write the files into the repository."""
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")


@pytest.fixture
def check(repository: Path) -> Check:
    """Runs the action in the repository: `check({"fail-on": "unset"}, GITHUB_REPOSITORY="org/app")`."""

    def start(inputs: Mapping[str, str] | None = None, **variables: str) -> Report:
        runtime = Runtime(variables, io.StringIO(), sleep=lambda _: None)
        return run(load(Inputs, dict(inputs or {}), runtime.redactor), runtime)

    return start


def names(report: Report, output: str) -> list[str]:
    """An output that is a list of names."""
    found = json.loads(json.dumps(report.outputs[output]))
    assert isinstance(found, list)
    return found
