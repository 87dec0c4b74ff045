"""The summaries of notify, as a person reads them: tests/golden/notify/."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer

from tests.fakes.github import FakeGitHub
from tests.harness.golden import Golden
from tests.harness.pipelines import Pipelines
from tests.harness.releases import step

SHA, BEFORE = "a" * 40, "b" * 40
GATE = "api answers 503 at https://api.example.com/health/ready, and the deadline passed."


@pytest.fixture
def pipelines() -> Iterator[Pipelines]:
    with FakeGitHub() as github:
        made = Pipelines(github)
        made.repository()
        yield made


@pytest.mark.parametrize(("case", "status"), [("failed", 200), ("rolled-back", 200), ("not-sent", 500), ("off", 0)])
def test_summary_of_notify_is_the_kept_one(
    case: str, status: int, pipelines: Pipelines, tmp_path: Path, httpserver: HTTPServer, golden: Golden
) -> None:
    httpserver.expect_request("/hook").respond_with_data("x", status=status or 200)
    given = {"event": "rolled-back" if case == "rolled-back" else "failed", "reason": GATE, "previous-sha": BEFORE}
    given |= {"urls": "NOTIFY_URLS"} if status else {}
    url = f"json://127.0.0.1:{httpserver.port}/hook"
    ended = step(tmp_path, pipelines.github, pipelines.token, "notify", given, NOTIFY_URLS=url, GITHUB_SHA=SHA)
    golden.hold(f"notify/{case}", ended.summary)
