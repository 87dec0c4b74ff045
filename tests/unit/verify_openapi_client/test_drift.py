"""Drift in a real repository, of a client that a function writes: what differs, what is unstable, and what `fix` writes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from cicd_actions.toolkit import git
from cicd_actions.verify_openapi_client import repository, shadow
from cicd_actions.verify_openapi_client.drift import ChangedFile, Drift, find, first_difference, write
from cicd_actions.verify_openapi_client.generation import Generator

Client = dict[str, str]
"""Contents by path."""


@dataclass
class Made:
    """A repository with a client below `src/client`, and a folder beside it."""

    root: Path
    seen: list[list[str]] = field(default_factory=list)

    def git(self, *words: str) -> str:
        identity = ("-c", "user.name=a", "-c", "user.email=a@example.com")
        done = subprocess.run(
            git.command(*identity, *words), check=True, env=git.variables(os.environ), cwd=self.root, capture_output=True
        )
        return done.stdout.decode()

    def files(self, client: Client) -> None:
        for name, text in client.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def commit(self, client: Client) -> None:
        self.files(client)
        self.git("add", "--force", ".")
        self.git("commit", "-q", "-m", "a")

    def drift(self, generate: Callable[[Path, int], None], *, fix: bool = False) -> tuple[Drift, list[str]]:
        """Returns what `generate(tree, time)` changes, and what `fix` wrote."""
        found = repository.find(self.root, os.environ)
        made = self

        class Function:
            client = ("src/client",)

            def run(self, copy: shadow.Shadow) -> None:
                made.seen.append(sorted(path.name for path in (copy.tree / "src/client").rglob("*") if path.is_file()))
                generate(copy.tree, len(made.seen))

        with shadow.shadow(found, None) as copy:
            drift = find(copy, found, cast("Generator", Function()))
            return drift, write(copy, found, drift) if fix else []


@pytest.fixture
def made(tmp_path: Path) -> Made:
    root = tmp_path / "work"
    root.mkdir()
    made = Made(root)
    made.git("init", "-q")
    made.commit({"src/client/a.ts": "one\ntwo\n", "src/client/old.ts": "a\nb\nc\nd\ne\nf\n", "README.md": "x"})
    return made


def writing(client: Client, *gone: str) -> Callable[[Path, int], None]:
    def generate(tree: Path, _time: int) -> None:
        for name in gone:
            (tree / name).unlink()
        for name, text in client.items():
            path = tree / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return generate


def test_drift_without_a_difference_generates_once(made: Made) -> None:
    found, _ = made.drift(writing({"src/client/a.ts": "one\ntwo\n"}))
    assert (found, bool(found)) == (Drift(), False)
    assert made.seen == [["a.ts", "old.ts"]]


def test_drift_names_each_kind_of_change_and_shows_it_in_the_patch(made: Made) -> None:
    made.commit({"src/client/gone.ts": "x\n"})
    found, _ = made.drift(
        writing(
            {"src/client/a.ts": "one\nTWO\n", "src/client/new/b.ts": "b\n", "src/client/moved.ts": "a\nb\nc\nd\ne\nf\n"},
            "src/client/old.ts",
            "src/client/gone.ts",
        )
    )
    assert {(file.path, file.kind, file.was) for file in found.files} == {
        ("src/client/a.ts", "changed", ""),
        ("src/client/new/b.ts", "untracked", ""),
        ("src/client/moved.ts", "renamed", "src/client/old.ts"),
        ("src/client/gone.ts", "deleted", ""),
    }
    patch = found.patch.decode()
    assert "-two\n+TWO\n" in patch
    assert "rename from src/client/old.ts\nrename to src/client/moved.ts" in patch
    assert (found.unstable, found.first_lines, bool(found)) == ((), (), True)
    # The second generation starts from the work tree's client, as the first did.
    assert made.seen == [["a.ts", "gone.ts", "old.ts"]] * 2
    assert made.git("status", "--porcelain") == ""


def test_drift_of_a_file_that_git_does_not_know_yet_is_found(made: Made) -> None:
    made.files({"src/client/late.ts": "late\n"})
    found, _ = made.drift(writing({}))
    assert found.files == (ChangedFile("src/client/late.ts", "untracked"),)


def test_drift_leaves_out_what_was_ignored_before_and_finds_what_is_ignored_now(made: Made) -> None:
    made.commit({".gitignore": "*.map\n"})
    made.files({"src/client/there.map": "m"})
    found, _ = made.drift(writing({"src/client/there.map": "m2"}))
    assert found.files == ()
    found, _ = made.drift(writing({"src/client/new.map": "m"}))
    assert found.files == (ChangedFile("src/client/new.map", "ignored"),)


def test_drift_between_two_generations_is_unstable_with_its_first_line(made: Made) -> None:
    def dated(tree: Path, time: int) -> None:
        (tree / "src/client/a.ts").write_text(f"one\nmade at {time}\n")
        (tree / "src/client" / f"only{time}.ts").write_text("x\n")

    found, written = made.drift(dated, fix=True)
    assert found.unstable == ("src/client/a.ts", "src/client/only1.ts", "src/client/only2.ts")
    assert found.first_lines == (("src/client/a.ts", 2), ("src/client/only1.ts", 1), ("src/client/only2.ts", 1))
    # What `fix` writes is the first generation, which the patch shows.
    assert b"made at 1" in found.patch
    assert sorted(written) == ["src/client/a.ts", "src/client/only1.ts"]
    assert (made.root / "src/client/a.ts").read_text() == "one\nmade at 1\n"


def test_drift_is_written_whole_with_modes_and_without_what_is_gone(made: Made) -> None:
    made.commit({"src/client/gone.ts": "x\n"})

    def generate(tree: Path, _time: int) -> None:
        (tree / "src/client/gone.ts").unlink()
        (tree / "src/client/old.ts").rename(tree / "src/client/moved.ts")
        (tree / "src/client/run.sh").write_text("#!/bin/sh\n")
        (tree / "src/client/run.sh").chmod(0o755)

    _, written = made.drift(generate, fix=True)
    assert sorted(written) == ["src/client/gone.ts", "src/client/moved.ts", "src/client/run.sh"]
    assert sorted(path.name for path in (made.root / "src/client").iterdir()) == ["a.ts", "moved.ts", "run.sh"]
    assert os.access(made.root / "src/client/run.sh", os.X_OK)


@pytest.mark.parametrize(
    ("one", "other", "line"), [(b"a\nb\n", b"a\nc\n", 2), (b"a\n", b"a\nb\n", 2), (b"", b"a\n", 1), (b"x", b"y", 1)]
)
def test_first_difference_is_the_line_from_one(one: bytes, other: bytes, line: int) -> None:
    assert first_difference(one, other) == line
