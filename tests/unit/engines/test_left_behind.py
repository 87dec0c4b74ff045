from __future__ import annotations

import subprocess
import time

import pytest

from cicd_actions.engines import left_behind
from cicd_actions.engines.left_behind import OWNER, RUN, UNTIL, abandoned, labels

GITHUB = {"GITHUB_REPOSITORY": "org/app", "GITHUB_RUN_ID": "7", "GITHUB_JOB": "deploy", "GITHUB_RUN_ATTEMPT": "2"}


def test_labels_of_this_process_are_not_abandoned() -> None:
    assert not abandoned(labels(GITHUB, 60), GITHUB)


def test_labels_whose_time_is_up_are_abandoned() -> None:
    assert abandoned({UNTIL: str(int(time.time()) - 3600)}, {})
    assert not abandoned({UNTIL: str(int(time.time()))}, {}), "the clocks of two machines differ"


def test_labels_of_a_process_that_is_gone_are_abandoned() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        owner = left_behind._owner(process.pid)
        assert not abandoned({OWNER: owner}, {})
        process.kill()
    assert abandoned({OWNER: owner}, {})


@pytest.mark.parametrize("part", [0, 1])
def test_labels_of_another_machine_or_container_are_not_abandoned(part: int) -> None:
    parts = labels({}, 60)[OWNER].split("/")
    parts[part], parts[2] = "another", "1"
    assert not abandoned({OWNER: "/".join(parts)}, {})


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        ("org/app/7/deploy/1", True),
        ("org/app/7/deploy/2", False),
        ("org/app/7/deploy/3", False),
        ("org/app/6/deploy/1", False),
        ("org/other/7/deploy/1", False),
        ("org/app/7/deploy/", False),
        ("", False),
    ],
)
def test_labels_of_an_earlier_attempt_are_abandoned(run: str, expected: bool) -> None:
    assert abandoned({RUN: run}, GITHUB) is expected


@pytest.mark.parametrize("hostile", [{}, {UNTIL: "x"}, {UNTIL: "9" * 400}, {OWNER: "///"}, {OWNER: "a/b"}, {RUN: "/"}])
def test_labels_that_are_not_ours_are_not_abandoned(hostile: dict[str, str]) -> None:
    assert not abandoned(hostile, {})
