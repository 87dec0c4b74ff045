"""Drift in a real repository, of a client that a function writes: what differs, what is unstable, and what `fix` writes."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from cicd_actions.toolkit import git
from cicd_actions.verify_openapi_client import drift, repository, shadow
from cicd_actions.verify_openapi_client.drift import ChangedFile, Drift, find, first_difference, write
from cicd_actions.verify_openapi_client.generation import Generator

Client = dict[str, str]
"""Contents by path."""


@dataclass
class Made:
    """A repository with a client below `src/client`, and a folder beside it."""

    root: Path
    client: tuple[str, ...] = ("src/client",)
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
            client = made.client

            def run(self, copy: shadow.Shadow) -> None:
                made.seen.append(sorted(path.name for path in (copy.tree / made.client[0]).rglob("*") if path.is_file()))
                generate(copy.tree, len(made.seen))

        with shadow.shadow(found, None) as copy:
            drift = find(copy, found, cast("Generator", Function()))
            # A run that was killed while it wrote is run again: what is written or gone already stays so.
            return drift, [write(copy, found, drift) for _ in range(2)][1] if fix else []


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
    made.commit({".gitignore": "*.map*\nout/\n"})
    made.files({"src/client/there.map": "m", "src/client/out/x.js": "x", "src/client/new.map.bak": "b"})
    before = {"src/client/there.map": "m2", "src/client/out/y.js": "y"}
    assert made.drift(writing(before))[0].files == ()
    found, _ = made.drift(writing(before | {"src/client/new.map": "m", "src/client/z.map": "m"}))
    assert found.files == tuple(ChangedFile(f"src/client/{name}.map", "ignored") for name in ("new", "z"))
    found, _ = made.drift(writing({"src/client/there.map": "m2", "src/client/new.ts": "n"}))
    assert found.files == (ChangedFile("src/client/new.ts", "untracked"),)


def test_drift_by_a_letter_that_is_not_known_is_a_change() -> None:
    assert drift._parsed(b"UU src/a.ts\0", set()) == [ChangedFile("src/a.ts", "changed")]


def test_drift_is_of_the_client_alone_and_of_each_new_file_whatever_its_name(made: Made) -> None:
    made.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},src/client/sub")
    made.git("commit", "-q", "-m", "a submodule that is not checked out")
    outside = {"README.md": "y", "new.md": "n"}
    for elsewhere in (outside, {"README.md": "y"}):
        assert made.drift(writing(elsewhere))[0] == Drift()
    found, _ = made.drift(writing(outside | {"src/client/one\n.ts": "1\n", 'src/client/t"wo.ts': "2\n"}))
    assert [file.path for file in found.files] == ["src/client/one\n.ts", 'src/client/t"wo.ts']
    assert b"md" not in found.patch


def test_drift_in_a_repository_with_other_git_settings_is_the_same(made: Made) -> None:
    made.client = ("-gen",)
    made.commit({"-gen/a.ts": "one\ntwo\n", "-gen/old.ts": "a\nb\nc\nd\ne\nf\n", "-gen/x.bin": "a\0b"})
    made.files({".gitattributes": "*.ts diff=upper\n"})
    made.git("add", ".gitattributes")
    made.git("commit", "-q", "-m", "attributes")
    for setting in ("diff.external=/bin/echo", "diff.upper.textconv=cat -n", "color.ui=always", "diff.renames=false"):
        made.git("config", *setting.split("=", 1))
    made.git("config", "status.renames", "false")
    change = {"-gen/a.ts": "one\nTWO\n", "-gen/moved.ts": "a\nb\nc\nd\ne\nf\n", "-gen/x.bin": "a\0c"}
    found, _ = made.drift(writing(change, "-gen/old.ts"))
    assert ChangedFile("-gen/moved.ts", "renamed", "-gen/old.ts") in found.files
    assert b"\n one\n-two\n+TWO\n" in found.patch
    assert b"\nrename from -gen/old.ts\n" in found.patch
    assert b"\nGIT binary patch\n" in found.patch
    assert b"\x1b" not in found.patch


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
        (tree / "src/client/deep/er").mkdir(parents=True, exist_ok=True)
        (tree / "src/client/deep/er/x.ts").write_text("deep\n")

    _, written = made.drift(generate, fix=True)
    assert sorted(written) == ["src/client/deep/er/x.ts", "src/client/gone.ts", "src/client/moved.ts", "src/client/run.sh"]
    assert sorted(path.name for path in (made.root / "src/client").rglob("*.*")) == ["a.ts", "moved.ts", "run.sh", "x.ts"]
    assert os.access(made.root / "src/client/run.sh", os.X_OK)


@pytest.mark.parametrize("removes", [True, False])
def test_drift_of_a_file_beside_a_folder_restores_the_first_generation_of_both(made: Made, removes: bool) -> None:
    made.commit({"gen/deep/api.ts": "0\n"})
    made.client = ("src/client", "gen/deep/api.ts")

    def generate(tree: Path, time: int) -> None:
        if removes and time == 2:
            shutil.rmtree(tree / "gen")
        else:
            (tree / "gen/deep/api.ts").write_text(f"{time}\n")

    found, written = made.drift(generate, fix=True)
    assert found.unstable == ("gen/deep/api.ts",)
    assert written == ["gen/deep/api.ts"]
    assert (made.root / "gen/deep/api.ts").read_text() == "1\n"


@pytest.mark.parametrize(
    ("one", "other", "line"), [(b"a\nb\n", b"a\nc\n", 2), (b"a\n", b"a\nb\n", 2), (b"", b"a\n", 1), (b"x", b"y", 1)]
)
def test_first_difference_is_the_line_from_one(one: bytes, other: bytes, line: int) -> None:
    assert first_difference(one, other) == line
