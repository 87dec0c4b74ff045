"""The rules of this repository are requests that GitHub takes, and they hold what SECURITY.md builds on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.fakes.github.openapi import fetch, read

FILES = sorted((Path(__file__).resolve().parents[2] / ".github" / "rulesets").glob("*.json"))


@pytest.mark.network
@pytest.mark.node
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_ruleset_is_a_request_that_github_takes(path: Path) -> None:
    body = json.loads(path.read_text("utf-8"))
    assert read(fetch()).check_request("POST", "/repos/{owner}/{repo}/rulesets", {}, body) == []
    assert (body["enforcement"], body["bypass_actors"]) == ("active", [])


def test_tags_never_move_and_no_branch_is_rewritten() -> None:
    rules = {path.stem: {rule["type"] for rule in json.loads(path.read_text("utf-8"))["rules"]} for path in FILES}
    assert {"update", "deletion", "required_signatures"} <= rules["release-tags"]
    assert all({"deletion", "non_fast_forward"} <= found for found in rules.values())
