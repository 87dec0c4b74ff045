from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd_actions.toolkit.background import Background
from demo import act as act_module
from demo.act import (
    ATTEMPTS,
    Act,
    Annotated,
    JobEnded,
    JobStarted,
    Logged,
    OutputSet,
    StartedAgain,
    StepEnded,
    StepStarted,
    SummaryAdded,
    descendants,
    events,
    job_name,
)
from demo.picture import Picture

JOB = {"job": "verify/Two lanes/api    ", "jobID": "api"}
STEP = {**JOB, "stage": "Main", "step": "Lint", "stepID": ["lint"]}
INNER = {**STEP, "stepID": ["lint", "run"]}


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("verify/Two lanes/api    ", "verify / api"),
        ("Pipeline/release gate", "release gate"),
        ("pipeline/Pipeline/result", "pipeline / result"),
        ("alone", "alone"),
        ("", ""),
    ],
)
def test_job_name(path: str, name: str) -> None:
    assert job_name(path) == name


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({**JOB, "msg": "⭐ Run Set up job", "step": "Set up job"}, [JobStarted("verify / api")]),
        ({**JOB, "msg": "Success", "step": "Set up job", "stepResult": "success"}, []),
        ({**JOB, "jobResult": "failure", "msg": "🏁  Job failed"}, [JobEnded("verify / api", "failure")]),
        ({**JOB, "jobResult": "something new", "msg": ""}, [JobEnded("verify / api", "failure")]),
        ({**STEP, "msg": "⭐ Run Main Lint"}, [StepStarted("verify / api", "Lint")]),
        ({**STEP, "msg": "✅", "stepResult": "success"}, [StepEnded("verify / api", "Lint", "success")]),
        ({**STEP, "msg": "✅", "stepResult": "success", "stage": "Post"}, []),
        ({**INNER, "msg": "⭐ Run Main exec"}, []),
        ({**INNER, "msg": "✅", "stepResult": "failure"}, []),
        ({**INNER, "msg": "a line\n", "raw_output": True}, [Logged("verify / api", "Lint", "a line", printed=True)]),
        ({**STEP, "msg": "exit status 1", "level": "error"}, [Logged("verify / api", "Lint", "exit status 1", printed=False)]),
        ({**STEP, "msg": "noise", "level": "info"}, []),
        (
            {**STEP, "command": "set-output", "name": "x", "arg": "y", "msg": "⚙"},
            [OutputSet("verify / api", "lint", "x", "y")],
        ),
        ({**INNER, "command": "set-output", "name": "x", "arg": "y", "msg": "⚙"}, []),
        ({**INNER, "command": "summary", "content": "# Hello", "msg": "⚙"}, [SummaryAdded("verify / api", "# Hello")]),
        (
            {**INNER, "command": "error", "arg": "wrong", "kvPairs": {"title": "T", "line": "3"}, "msg": "❗"},
            [Annotated("verify / api", "error", "wrong", {"title": "T", "line": "3"})],
        ),
        (
            {**INNER, "command": "warning", "arg": "w", "kvPairs": None, "msg": "❗"},
            [Annotated("verify / api", "warning", "w", {})],
        ),
        ({**INNER, "command": "add-mask", "arg": "***", "msg": "***", "level": "info"}, []),
        ({"msg": "Using docker host", "level": "info"}, []),
    ],
)
def test_events(entry: dict[str, Any], expected: list[object]) -> None:
    assert events(json.dumps(entry)) == expected


@given(st.one_of(st.text(), st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=5).map(json.dumps)))
def test_a_line_that_is_no_event_of_act_is_kept_as_it_is(line: str) -> None:
    found = events(line)
    assert found == [Logged("", "", line.rstrip("\n"), printed=False)]


def stand_in(folder: Path, body: str) -> Act:
    """A program that is called as act is, and says what *body* prints."""
    program = folder / "act"
    program.write_text(f"#!{sys.executable}\nimport json, os, signal, subprocess, sys, time\n{body}\n")
    program.chmod(0o755)
    return Act(program, folder / "cache", {"owner/name@sha": folder / "there"})


def lines(*entries: dict[str, Any]) -> str:
    return "".join(f"print({json.dumps(json.dumps(entry))}, flush=True)\n" for entry in entries)


def test_a_run_is_written_down_whole_and_becomes_a_picture(tmp_path: Path) -> None:
    summary = {"command": "summary", "content": "S", "msg": ""}
    body = lines(
        {**JOB, "msg": "⭐ Run Set up job", "step": "Set up job"},
        {**STEP, "msg": "⭐ Run Main Lint"},
        {**INNER, "msg": "said\n", "raw_output": True},
        {**INNER, **summary},
        {**STEP, **summary},
        {**STEP, "msg": "", "stepResult": "success"},
        {**JOB, "jobResult": "success", "msg": ""},
    )
    act = stand_in(tmp_path, body + "print('no json', flush=True)\nsys.exit(3)")
    log = tmp_path / "logs" / "run.json"
    picture = Picture()
    with act.start(tmp_path, "w.yml", "push", {"after": "x"}, log=log) as run:
        for event in run:
            picture.apply(event)
        assert run.exit_code == 3
    assert picture.results() == {"verify / api": "success"}
    assert picture.steps("verify / api") == {"Lint": "success"}
    assert picture.log("verify / api") == "said"
    assert [found.text for found in picture.summaries] == ["S"], "a composite's summary is told twice"
    assert len(log.read_text().splitlines()) == 8
    assert json.loads(log.with_suffix(".event.json").read_text()) == {"after": "x"}


@pytest.mark.parametrize("times", [1, 2, 3])
def test_act_s_own_race_starts_the_run_again_and_nothing_of_before_is_left(tmp_path: Path, times: int) -> None:
    """As Go prints it: a line outside of the JSON, then the threads; a step that prints the same is within it."""
    before = {**STEP, "msg": "⭐ Run Main Lint"}
    quoted = {**INNER, "msg": "fatal error: concurrent map\n", "raw_output": True}
    body = f"""
tries = open({str(tmp_path / "tries")!r}, "a+")
tries.write(".")
tries.flush()
tries.seek(0)
if len(tries.read()) <= {times}:
    {lines(before).strip()}
    print("fatal error: concurrent map iteration and map write\\n\\ngoroutine 7 [running]:", flush=True)
    sys.exit(2)
{lines(quoted, {**JOB, "jobResult": "failure", "msg": ""})}
sys.exit(2)
"""
    picture = Picture()
    with stand_in(tmp_path, body).start(tmp_path, "w.yml", "push", {}, log=tmp_path / "run.json") as run:
        again = 0
        for event in run:
            picture.apply(event)
            again += isinstance(event, StartedAgain)
    assert again == min(times, ATTEMPTS - 1)
    assert run.exit_code == 2
    if times < ATTEMPTS:
        assert picture.results() == {"verify / api": "failure"}
        assert picture.steps("verify / api") == {}
    assert (tmp_path / "run.json").read_text().count("goroutine 7") == times


def test_steps_of_an_act_that_died_have_ended_when_it_starts_again(tmp_path: Path) -> None:
    child = "import os, time; os.setpgid(0, 0); print(1, flush=True); time.sleep(600)"
    body = f"""
step = subprocess.Popen([sys.executable, "-c", {child!r}], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
step.stdout.readline()
print(json.dumps({{"msg": str(step.pid), "level": "warning"}}), flush=True)
print("fatal error: concurrent map writes", flush=True)
os._exit(2)
"""
    steps: list[int] = []
    with stand_in(tmp_path, body).start(tmp_path, "w.yml", "push", {}, log=tmp_path / "run.json") as run:
        for event in run:
            if isinstance(event, Logged) and event.text.isdigit():
                steps.append(int(event.text))
            if isinstance(event, StartedAgain):
                assert not any(alive(pid) for pid in steps)
    assert len(steps) == ATTEMPTS
    assert not any(alive(pid) for pid in steps)


def test_what_act_is_told(tmp_path: Path) -> None:
    act = stand_in(tmp_path, "print(json.dumps(sys.argv[1:]))\nprint(os.environ['TOKEN'])")
    log = tmp_path / "run.json"
    told = {"variables": {"A": "1"}, "secrets": {"TOKEN": "hunter2"}, "step_environment": {"B": "2"}}
    with act.start(tmp_path, "w.yml", "push", {}, log=log, **told) as run:
        assert list(run)
    words = json.loads(log.read_text().splitlines()[0])
    assert words[:2] == ["push", "--json"]
    for pair in (["-W", "w.yml"], ["--var", "A=1"], ["--secret", "TOKEN"], ["--env", "B=2"]):
        assert pair[1] in words[words.index(pair[0]) :]
    assert f"owner/name@sha={tmp_path / 'there'}" in words
    assert not any("hunter2" in word for word in words), "a secret's value must not be in the list of processes"
    assert "hunter2" in log.read_text()


def test_one_that_hangs_each_time_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Go does where it is asked for its stacks."""
    monkeypatch.setattr(act_module, "SILENCE", 2.0)
    monkeypatch.setattr(act_module, "ATTEMPTS", 2)
    body = """
def stacks(*_):
    print("SIGQUIT: quit\\n\\ngoroutine 7 [select]:", flush=True)
    os._exit(2)
signal.signal(signal.SIGQUIT, stacks)
print(json.dumps({"msg": "ready", "level": "warning"}), flush=True)
time.sleep(600)
"""
    with stand_in(tmp_path, body).start(tmp_path, "w.yml", "push", {}, log=tmp_path / "run.json") as run:
        assert sum(isinstance(event, StartedAgain) for event in run) == 1
        assert run.exit_code == 2
    assert (tmp_path / "run.json").read_text().count("goroutine 7") == 2


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("signal.signal(signal.SIGQUIT, signal.SIG_IGN); print(os.getpid(), flush=True); time.sleep(600)", -signal.SIGKILL),
        ("print(subprocess.Popen(['sleep', '600'], start_new_session=True).pid, flush=True); sys.exit(1)", 1),
    ],
)
def test_one_whose_output_never_ends_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, code: int) -> None:
    monkeypatch.setattr(act_module, "SILENCE", 2.0)
    with stand_in(tmp_path, body).start(tmp_path, "w.yml", "push", {}, log=tmp_path / "run.json") as run:
        events = iter(run)
        first = next(events)
        assert isinstance(first, Logged)
        try:
            assert Background(lambda: list(events)).result(30) == []
            assert run.exit_code == code
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(first.text), signal.SIGKILL)


@pytest.mark.parametrize("stubborn", [False, True])
def test_stop_ends_the_steps_too_even_in_groups_of_their_own(tmp_path: Path, stubborn: bool) -> None:
    ignore = "signal.signal(signal.SIGINT, signal.SIG_IGN); " if stubborn else ""
    child = f"import os, signal, time; os.setpgid(0, 0); {ignore}print(1, flush=True); time.sleep(600)"
    body = f"""
step = subprocess.Popen([sys.executable, "-c", {child!r}], stdout=subprocess.PIPE)
step.stdout.readline()
print(json.dumps({{"msg": str(step.pid), "level": "warning"}}), flush=True)
signal.signal(signal.SIGINT, lambda *_: sys.exit(1))
time.sleep(600)
"""
    act = stand_in(tmp_path, body)
    with act.start(tmp_path, "w.yml", "push", {}, log=tmp_path / "run.json") as run:
        first = next(iter(run))
        assert isinstance(first, Logged)
        pid = int(first.text)
        assert pid in descendants(os.getpid())
        run.stop(grace=0.5 if stubborn else 10)
    assert not alive(pid)
    assert run.exit_code is not None


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # Its parent is gone: the process that adopted it has not waited for it yet.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def test_leaving_the_block_ends_a_run_that_nobody_read(tmp_path: Path) -> None:
    act = stand_in(tmp_path, "time.sleep(600)")
    with act.start(tmp_path, "w.yml", "push", {}, log=tmp_path / "run.json") as run:
        assert run.exit_code is None
    assert run.exit_code not in {None, 0}
