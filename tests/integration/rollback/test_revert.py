"""`revert: pull-request`: one pull request whose merge takes exactly the commits back that were rolled back."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.fakes.github import deployments, pulls
from tests.harness.releases import REPOSITORY, Ended, World, digest


class Repository:
    """A git repository with the commits of releases, and their files."""

    def __init__(self, folder: Path, world: World) -> None:
        self.folder, self.world = folder, world
        folder.mkdir()
        self.git("init", "--quiet", "--initial-branch", "main")
        kept = deployments.kept(world.github, REPOSITORY)
        kept.git = folder
        kept.commits.clear()

    def git(self, *words: str) -> str:
        who = ["-c", "user.name=A", "-c", "user.email=a@example.com"]
        done = subprocess.run(["git", "-C", str(self.folder), *who, *words], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def commit(self, name: str) -> str:
        (self.folder / name).write_text(name)
        self.git("add", "-A")
        self.git("commit", "--quiet", "-m", f"Add {name}")
        return self.git("rev-parse", "HEAD")

    def release(self, commit: str, number: int, verdict: str) -> None:
        """A whole deploy of a commit, with the images of that number."""
        self.world.build(number)
        given = {"sha": commit, "services": self.world.digests(number)}
        assert self.world.start(number, **given).code == 0
        images = {name: {"image": self.world.image(name, number), "digest": digest(number)} for name in self.world.services}
        self.world.write("state", {name: {**each, "sha": commit} for name, each in images.items()})
        assert self.world.finish(number, verdict, **given).code == 0

    def roll_back(self, **inputs: str) -> Ended:
        return self.world.roll_back(revert="pull-request", **inputs)


@pytest.fixture
def repository(world: World, tmp_path: Path) -> Repository:
    world.token = world.github.token(deployments="write", contents="write", pull_requests="write")
    return Repository(tmp_path / "repository", world)


@pytest.fixture
def failed(repository: Repository) -> Repository:
    """The second release has two commits, and failed."""
    repository.release(repository.commit("one"), 1, "pass")
    repository.commit("two")
    repository.release(repository.commit("three"), 2, "fail")
    return repository


def test_merging_the_pull_request_takes_the_commits_back_and_keeps_later_ones(failed: Repository) -> None:
    later = failed.commit("later")
    ended = failed.roll_back()
    assert (ended.code, ended.outputs["pull-request"]) == (0, "https://github.com/org/app/pull/1"), ended.log
    (pull,) = pulls.pulls(failed.world.github, REPOSITORY)
    assert (pull["base"]["ref"], pull["base"]["sha"]) == ("main", later)
    for said in ("gated 2", "Add three", "/actions/runs/900"):
        assert said in pull["body"]
    assert "The pull request that reverts them" in ended.summary
    failed.git("merge", "--quiet", "--no-edit", pull["head"]["ref"])
    assert {path.name for path in failed.folder.iterdir()} == {".git", "one", "later"}


def test_a_second_run_opens_no_second_pull_request(failed: Repository) -> None:
    first = failed.roll_back()
    pulls.pulls(failed.world.github, REPOSITORY)[0]["state"] = "closed"
    again = failed.roll_back()
    assert again.outputs["pull-request"] == first.outputs["pull-request"]
    assert len(pulls.pulls(failed.world.github, REPOSITORY)) == 1


def test_a_branch_that_an_earlier_run_left_is_used(failed: Repository) -> None:
    failed.world.github.fail("POST", "/pulls$", status=403, message="GitHub Actions is not permitted to create pull requests")
    assert failed.roll_back().outputs["pull-request"] == ""
    assert failed.roll_back().outputs["pull-request"].endswith("/pull/1")


def test_two_runs_at_once_open_one_pull_request(failed: Repository) -> None:
    # The first request of the other run took effect, and its answer came here only as a refusal.
    failed.world.github.fail("POST", "/pulls$", status=422, message="A pull request already exists", after=True)
    ended = failed.roll_back()
    assert ended.outputs["pull-request"].endswith("/pull/1"), ended.log
    assert len(pulls.pulls(failed.world.github, REPOSITORY)) == 1


@pytest.mark.parametrize("path", ["/git/commits$", "/git/refs$", "/pulls$"])
def test_answer_that_is_lost_after_it_took_effect_is_asked_for_again(failed: Repository, path: str) -> None:
    failed.world.github.fail("POST", path, drop=True, after=True)
    ended = failed.roll_back()
    assert ended.outputs["pull-request"].endswith("/pull/1"), ended.log
    assert len(pulls.pulls(failed.world.github, REPOSITORY)) == 1


@pytest.mark.parametrize(
    ("path", "status", "message", "fix"),
    [
        ("/pulls$", 403, "GitHub Actions is not permitted to create or approve pull requests.", "Settings → Actions → General"),
        (
            "/git/refs$",
            422,
            "Repository rule violations found\n\nCannot create ref due to creations being restricted.",
            "Rules",
        ),
    ],
)
def test_refusal_of_github_says_what_to_allow(failed: Repository, path: str, status: int, message: str, fix: str) -> None:
    failed.world.github.fail("POST", path, status=status, message=message, times=9)
    ended = failed.roll_back()
    assert (ended.code, ended.outputs["pull-request"]) == (0, "")
    (finding,) = ended.findings
    assert fix in finding["fix"]
    assert "permissions:" not in finding["fix"], "the permission is there"
    assert finding["fix"].endswith("Or revert them by hand: the summary has the commands.")
    assert "git revert --no-edit" in ended.summary


@pytest.mark.parametrize(("merged", "said"), [("2026-01-01T00:00:00Z", "is merged"), (None, "was closed without a merge")])
def test_pull_request_that_is_closed_is_not_said_to_be_open(failed: Repository, merged: str | None, said: str) -> None:
    failed.roll_back()
    pulls.pulls(failed.world.github, REPOSITORY)[0] |= {"state": "closed", "merged_at": merged}
    ended = failed.roll_back()
    assert said in ended.summary
    assert ("git revert" in ended.summary) == (merged is None)
    assert len(pulls.pulls(failed.world.github, REPOSITORY)) == 1


def test_without_the_permission_the_rollback_still_passes_and_says_so(failed: Repository) -> None:
    token = failed.world.github.token(deployments="write", contents="read", pull_requests="read")
    ended = failed.roll_back(github_token=token)
    assert (ended.code, ended.outputs["rolled-back"], ended.outputs["pull-request"]) == (0, "true", "")
    assert "rollback-to-previous-sha/revert" in [found["rule"] for found in ended.findings]
    assert "contents: write" in ended.log


def test_the_commands_of_the_summary_revert_the_same_commits(failed: Repository) -> None:
    failed.git("checkout", "--quiet", "-b", "topic", "HEAD~2")
    failed.commit("four")
    failed.git("checkout", "--quiet", "main")
    failed.git("merge", "--quiet", "--no-ff", "--no-edit", "topic")
    failed.release(failed.git("rev-parse", "HEAD"), 3, "fail")
    summary = failed.world.roll_back().summary
    commands = summary.split("```shell\n")[-1].split("```")[0].splitlines()
    assert len(commands) == 2
    for command in commands:
        failed.git(*command.split()[1:])
    assert {path.name for path in failed.folder.iterdir()} == {".git", "one"}
