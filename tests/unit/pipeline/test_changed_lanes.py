from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd_actions.pipeline import changed_lanes
from cicd_actions.pipeline.changed_lanes import RefusedEventError, decide
from cicd_actions.pipeline.changes import changed_files, commits, left, pattern

DOCUMENTATION = ["**/*.md", "docs/**", "LICENSE", ".github/ISSUE_TEMPLATE/**"]
SHA = "1" * 40
OTHER = "2" * 40


def lanes(event_name: str, files: list[str] | None) -> tuple[bool, bool]:
    found = decide(event_name, files, "apps/api", "apps/web/", DOCUMENTATION)
    return found.api, found.web


@pytest.mark.parametrize(
    ("glob", "path", "matches"),
    [
        ("**/*.md", "README.md", True),
        ("**/*.md", "apps/api/deep/NOTES.md", True),
        ("**/*.md", "apps/api/notes.mdx", False),
        ("*.md", "docs/README.md", False),
        ("docs/**", "docs/a/b.png", True),
        ("docs/**", "docs2/a", False),
        ("docs/", "docs/a/b.png", True),
        ("LICENSE", "LICENSE", True),
        ("LICENSE", "apps/LICENSE", False),
        ("a?c", "abc", True),
        ("a?c", "a/c", False),
        ("a.c", "abc", False),
        ("**", "any/thing\nwith a newline", True),
        ("[x]", "[x]", True),
    ],
)
def test_pattern(glob: str, path: str, matches: bool) -> None:
    assert bool(pattern(glob).fullmatch(path)) is matches


@given(st.text(alphabet="abc/.[](){}+^$\\-", max_size=12))
def test_a_pattern_without_wildcards_means_itself(path: str) -> None:
    if path.endswith("/"):
        path += "x"
    assert pattern(path).fullmatch(path)
    assert not pattern(path).fullmatch(path + "y")


@pytest.mark.parametrize("event_name", ["pull_request", "merge_group"])
@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["README.md"], (False, False)),
        (["docs/x.png", "apps/web/README.md"], (False, False)),
        (["apps/web/src/main.ts"], (False, True)),
        (["apps/web/src/main.ts", "README.md"], (False, True)),
        (["apps/api/src/app.py"], (True, True)),
        (["apps/api/src/app.py", "apps/web/src/main.ts"], (True, True)),
        (["infra/compose.yml"], (True, True)),
        (["apps/web/x.ts", ".github/workflows/pipeline.yml"], (True, True)),
        (["apps/website/x.ts"], (True, True)),
        ([], (False, False)),
        (None, (True, True)),
    ],
)
def test_a_candidate_runs_the_lanes_it_touches(event_name: str, files: list[str] | None, expected: tuple[bool, bool]) -> None:
    assert lanes(event_name, files) == expected


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["README.md"], (False, False)),
        (["apps/web/x.ts"], (True, True)),
        (["apps/api/x.py"], (True, True)),
        (None, (True, True)),
    ],
)
def test_a_push_is_tested_whole_or_is_documentation(files: list[str] | None, expected: tuple[bool, bool]) -> None:
    assert lanes("push", files) == expected


@pytest.mark.parametrize("event_name", ["workflow_dispatch", "schedule", "release", "something_new"])
def test_any_other_event_runs_both(event_name: str) -> None:
    assert lanes(event_name, ["README.md"]) == (True, True)


@pytest.mark.parametrize("event_name", ["pull_request_target", "workflow_run"])
def test_events_with_secrets_at_hand_are_refused(event_name: str) -> None:
    with pytest.raises(RefusedEventError, match=f"must not happen on {event_name}"):
        lanes(event_name, ["README.md"])


@pytest.mark.parametrize(
    ("event_name", "event", "expected"),
    [
        ("pull_request", {"pull_request": {"base": {"sha": SHA}, "head": {"sha": OTHER}}}, (SHA, OTHER)),
        ("merge_group", {"merge_group": {"base_sha": SHA, "head_sha": OTHER}}, (SHA, OTHER)),
        ("push", {"before": SHA, "after": OTHER}, (SHA, OTHER)),
        ("push", {"before": "0" * 40, "after": OTHER}, None),
        ("push", {"before": SHA}, None),
        ("push", {"before": "--output=x", "after": OTHER}, None),
        ("push", {"before": SHA, "after": OTHER + "\n"}, None),
        ("pull_request", {}, None),
        ("schedule", {"before": SHA, "after": OTHER}, None),
    ],
)
def test_commits(event_name: str, event: dict[str, Any], expected: tuple[str, str] | None) -> None:
    assert commits(event_name, event) == expected


class Repository:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *words: str) -> str:
        identity = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
        return subprocess.run(
            ["git", *identity, *words], cwd=self.folder, check=True, capture_output=True, text=True
        ).stdout.strip()

    def commit(self, **files: str) -> str:
        for name, text in files.items():
            (self.folder / name).write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "x")
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    monkeypatch.chdir(tmp_path)
    return Repository(tmp_path)


def test_changes_are_counted_from_where_the_branch_began(repository: Repository) -> None:
    begun = repository.commit(a="1", **{"strange\nname": "1"})
    repository.git("checkout", "--quiet", "-b", "topic")
    topic = repository.commit(b="1")
    repository.git("checkout", "--quiet", "main")
    moved_on = repository.commit(c="1")
    assert changed_files(moved_on, topic) == ["b"]
    assert changed_files(begun, moved_on) == ["c"]
    assert changed_files(begun, begun) == []
    assert left(moved_on, topic) == left(begun, moved_on) == begun


def test_a_rename_counts_at_both_ends(repository: Repository) -> None:
    before = repository.commit(old="the same text, long enough to be taken for a rename\n" * 5)
    (repository.folder / "old").rename(repository.folder / "new")
    assert changed_files(before, repository.commit()) == ["new", "old"]


def test_commits_that_are_not_there_are_told_apart_from_no_change(repository: Repository) -> None:
    head = repository.commit(a="1")
    assert changed_files("f" * 40, head) is None
    assert left("f" * 40, head) == ""


def test_main_writes_outputs_and_a_summary(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    before = repository.commit(a="1")
    after = repository.commit(**{"README.md": "x"})
    written = {name: repository.folder.parent / name for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "GITHUB_EVENT_PATH")}
    written["GITHUB_EVENT_PATH"].write_text(json.dumps({"before": before, "after": after}))
    for name, path in written.items():
        monkeypatch.setenv(name, str(path))
    monkeypatch.setenv("GITHUB_EVENT_NAME", "push")
    inputs = {"api-directory": "apps/api", "web-directory": "apps/web", "documentation": "**/*.md\n"}
    monkeypatch.setenv("INPUTS", json.dumps(inputs))
    changed_lanes.main()
    assert written["GITHUB_OUTPUT"].read_text() == f"api=false\nweb=false\nbase={before}\n"
    assert "nothing but documentation changed (1 changed)" in written["GITHUB_STEP_SUMMARY"].read_text()
    assert "INPUTS" not in os.environ
