from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from cicd_actions.pipeline.changes import changed_files, commits, left

SHA = "1" * 40
OTHER = "2" * 40


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
