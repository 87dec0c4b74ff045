"""The engine `command` with real programs: what they get, what they may answer, and what stays unknown."""

from __future__ import annotations

import io
import json
import os
import shlex
import signal
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from cicd_actions.engines.command import Command
from cicd_actions.engines.inputs import EngineInputs, connected
from cicd_actions.engines.programs import Programs
from cicd_actions.engines.protocol import (
    ChangedMeanwhile,
    EngineUnreachable,
    Image,
    ImageMissing,
    Job,
    RollOutFailed,
    Running,
    Target,
)
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import Cancelled, UnusableInput
from cicd_actions.toolkit.inputs import load
from cicd_actions.toolkit.runtime import Runtime

DIGEST = "sha256:" + "b" * 64


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str, str], str]:
    def write(name: str, text: str) -> str:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return str(path)

    return write


def test_each_value_is_one_argument(
    program: Callable[[str, str], str], make_runtime: Callable[..., Runtime], log: io.StringIO
) -> None:
    show = program("show", 'for word in "$@"; do echo "[$word]"; done; echo "INPUTS=${INPUTS:-none}"')
    engine = Command(
        make_runtime(INPUTS='{"github-token": "t"}'),
        Programs(roll_out=(show, "{service}", "to={image}", "{sha}", "{environment}", "{unknown}")),
        environment="pro duction; $(id)",
    )
    hostile = Image("a b; touch x `id` {sha}", opaque=True)
    arrived = engine.roll_out(Target("api", hostile, "1" * 40), Running("api"), Deadline(10))
    assert arrived.notes == ()
    assert log.getvalue().splitlines() == [
        "[api]",
        "[to=a b; touch x `id` {sha}]",
        f"[{'1' * 40}]",
        "[pro duction; $(id)]",
        "[{unknown}]",
        "INPUTS=none",
    ]


def test_what_runs_and_what_is_there(program: Callable[[str, str], str], make_runtime: Callable[..., Runtime]) -> None:
    state = {"api": {"image": "local/api", "digest": DIGEST, "sha": "1" * 40}, "web": {"image": "w"}, "other": {}}
    running = program("running", f"cat <<'END'\n{json.dumps(state)}\nEND")
    exists = program(
        "exists", f'case $1 in good) echo {DIGEST};; old) ;; none) exit 1;; *) echo "login first" >&2; exit 4;; esac'
    )
    engine = Command(make_runtime(), Programs(running=(running,), image=(exists, "{image}")))
    now = engine.running(["api", "web", "worker"], Deadline(10))
    assert now == {"api": Running("api", "local/api", DIGEST, "1" * 40), "web": Running("web", "w")}
    assert engine.resolve("good", Deadline(10)) == Image("good", DIGEST, opaque=True)
    assert engine.resolve("old", Deadline(10)) == Image("old", opaque=True)
    with pytest.raises(ImageMissing):
        engine.resolve("none", Deadline(10))
    with pytest.raises(EngineUnreachable, match="login first"):
        engine.resolve("what", Deadline(10))


def test_what_no_program_tells_is_unknown(make_runtime: Callable[..., Runtime]) -> None:
    engine = Command(make_runtime(), Programs(roll_out=("true",)))
    assert engine.running(["api"], Deadline(10)) == {"api": Running("api")}
    assert engine.resolve("x", Deadline(10)) == Image("x", exists=None, opaque=True)
    assert "not known" in engine.logs("api", Deadline(10)).reason
    with pytest.raises(RollOutFailed, match="what ran before is not known"):
        engine.revert(Target("api", Image("new", opaque=True)), Running("api"), Deadline(10))
    with pytest.raises(UnusableInput, match="job-command"):
        engine.job(Job("migrate", Image("x", opaque=True)), Deadline(10), lambda *_: None)
    with pytest.raises(UnusableInput, match="could not be started"):
        Command(make_runtime(), Programs(roll_out=("/no/such",))).roll_out(
            Target("api", Image("x", opaque=True)), Running("api"), Deadline(10)
        )


@pytest.mark.parametrize(
    "text", ["", "[]", "no JSON", '{"api": 1}', '{"api": {"image": 1}}', '{"api": {"digest": "sha256:1"}}', '{"api": {']
)
def test_an_answer_that_is_none(text: str, program: Callable[[str, str], str], make_runtime: Callable[..., Runtime]) -> None:
    running = program("running", f"cat <<'END'\n{text}\nEND")
    with pytest.raises(EngineUnreachable, match="running-command"):
        Command(make_runtime(), Programs(running=(running,))).running(["api"], Deadline(10))


def test_a_failing_program(program: Callable[[str, str], str], make_runtime: Callable[..., Runtime], tmp_path: Path) -> None:
    (tmp_path / "state").write_text('{"api": {"image": "old"}}')
    running = program("running", f"cat {tmp_path}/state")
    fails = program(
        "fails",
        f'echo "::error::no space" >&2; [ "$1" = half ] && echo \'{{"api": {{"image": "half"}}}}\' > {tmp_path}/state; exit 9',
    )
    engine = Command(make_runtime(), Programs(roll_out=(fails, "{image}"), running=(running,)))
    before = engine.running(["api"], Deadline(10))["api"]
    with pytest.raises(RollOutFailed, match="exited with code 9") as failed:
        engine.roll_out(Target("api", Image("new", opaque=True)), before, Deadline(10))
    assert failed.value.reverted is False, "what is reported may be written only at the end of a roll-out"
    assert failed.value.evidence.log == "::error::no space"
    with pytest.raises(RollOutFailed) as failed:
        engine.roll_out(Target("api", Image("half", opaque=True)), before, Deadline(10))
    assert failed.value.reverted is False
    slow = program("slow", "exec sleep 60")
    engine = Command(make_runtime(), Programs(roll_out=(slow,)))
    with pytest.raises(RollOutFailed, match="at the deadline") as failed:
        engine.roll_out(Target("api", Image("new", opaque=True)), before, Deadline(0.5))


def test_revert_not_waited_for_keeps_a_masked_log(
    program: Callable[[str, str], str], make_runtime: Callable[..., Runtime], tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "gate")
    back = program(
        "back",
        f'echo "to $1, hunter2-$2"; cat {tmp_path}/gate; echo "$1" > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/done',
    )
    runtime = make_runtime(RUNNER_TEMP=str(tmp_path), RUNNER_TRACKING_ID="github_1")
    runtime.redactor.add("hunter2-secret")
    engine = Command(runtime, Programs(roll_out=(back, "{image}", "secret")))
    engine.revert(Target("api", Image("new", opaque=True)), Running("api", "old"), Deadline(5), wait=False)
    assert not (tmp_path / "done").exists(), "it waits at the gate, and the call came back"
    (tmp_path / "gate").write_text("go")
    log, process = engine._left_running
    assert process.wait(20) == 0
    assert log.wait(20) == 0
    assert (tmp_path / "done").read_text() == "old\n"
    (written,) = tmp_path.glob("take-back-api-*.log")
    assert written.read_text() == "to old, ***\ngo\n"
    assert written.stat().st_mode & 0o777 == 0o600


def test_revert_without_the_runners_folder_leaves_no_log(
    program: Callable[[str, str], str], make_runtime: Callable[..., Runtime], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    monkeypatch.chdir(workspace)
    engine = Command(make_runtime(), Programs(roll_out=(program("back", "echo said"), "{image}")))
    engine.revert(Target("api", Image("new", opaque=True)), Running("api", "old"), Deadline(5), wait=False)
    (process,) = engine._left_running
    assert process.wait(20) == 0
    assert list(workspace.iterdir()) == []


def test_a_job(program: Callable[[str, str], str], make_runtime: Callable[..., Runtime]) -> None:
    show = program("show", 'for word in "$@"; do echo "[$word]"; done; echo "$JOB_VARIABLES: $TOKEN"; echo late >&2; exit 5')
    job = Job(
        "migrate", Image("img", opaque=True), ("alembic", "upgrade", "a b"), {"TOKEN": "s3cret"}, service="api", sha="2" * 40
    )
    for words in [(show, "{service}", "{image}", "--", "{command}"), (show, "{service}", "{image}", "--")]:
        lines: list[tuple[str, str]] = []

        def keep(stream: str, text: str, lines: list[tuple[str, str]] = lines) -> None:
            lines.append((stream, text))

        end = Command(make_runtime(), Programs(job=words)).job(job, Deadline(10), keep)
        assert (end.exit_code, end.timed_out) == (5, False)
        assert sorted(lines) == sorted(
            [("stdout", text) for text in ("[api]", "[img]", "[--]", "[alembic]", "[upgrade]", "[a b]", "TOKEN: s3cret")]
            + [("stderr", "late")]
        )


def test_a_cancelled_job_is_ended(
    program: Callable[[str, str], str], make_runtime: Callable[..., Runtime], tmp_path: Path
) -> None:
    work = program("work", f"trap 'echo ended > {tmp_path}/ended; exit 3' TERM\necho ready\nsleep 60 & wait")

    def cancel(signum: int, _frame: object) -> None:
        raise Cancelled(signum)

    def on_line(_stream: str, _text: str) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, cancel)
    try:
        with pytest.raises(Cancelled):
            Command(make_runtime(), Programs(job=(work,))).job(Job("m", Image("x", opaque=True)), Deadline(30), on_line)
    finally:
        signal.signal(signal.SIGINT, before)
    assert (tmp_path / "ended").read_text() == "ended\n"


def test_a_job_has_its_own_time_to_end(program: Callable[[str, str], str], make_runtime: Callable[..., Runtime]) -> None:
    """More than other programs have: it reads where a database stands."""
    lines: list[str] = []
    work = program(
        "work", "trap 'sleep 2.5; echo said; exit 3' TERM\necho ready\nexec 2>/dev/null\nwhile :; do sleep 0.05; done"
    )

    def job(grace: float) -> int | None:
        named = Job("m", Image("x", opaque=True), grace=grace)
        engine = Command(make_runtime(), Programs(job=(work,)))
        return engine.job(named, Deadline(1), lambda _stream, text: lines.append(text)).exit_code

    assert (job(60), lines) == (3, ["ready", "said"])
    lines.clear()
    assert (job(0.1), lines) == (-signal.SIGKILL, ["ready"])


def test_programs_that_act_get_the_release_variables_masked(
    program: Callable[[str, str], str], make_runtime: Callable[..., Runtime], log: io.StringIO, tmp_path: Path
) -> None:
    show = f'echo "$1: ${{TOKEN:-none}} ${{RELEASE_ENV:+whole}} ${{PLAIN:-none}}" >> {tmp_path}/seen; echo "${{TOKEN:-none}}"'
    words = {
        name: (program(name, f"{show} >&2; {more}"), name)
        for name, more in (
            ("roll-out", ""),
            ("running", """echo '{"api": {"image": "new"}}'"""),
            ("image", ""),
            ("job", ""),
            ("logs", ""),
        )
    }
    given = {f"{name}-command": shlex.join(each) for name, each in words.items()}
    runtime = make_runtime(RELEASE_ENV='TOKEN="s3cret-of-the-release"\n', PLAIN="plain")
    new = Image("new", opaque=True)
    inputs = load(EngineInputs, {"engine": "command", "env-file-variable": "RELEASE_ENV", **given}, runtime.redactor)
    with connected(inputs, runtime) as engine:
        engine.resolve("new", Deadline(10))
        engine.roll_out(Target("api", new), Running("api", "old"), Deadline(10))
        engine.job(Job("migrate", new), Deadline(10), lambda *_: None)
        engine.logs("api", Deadline(10))
    secret, none = "s3cret-of-the-release whole plain", "none  plain"
    assert (tmp_path / "seen").read_text().splitlines() == [
        f"image: {none}",
        f"roll-out: {secret}",
        "running: s3cret-of-the-release  plain",
        f"job: {secret}",
        f"logs: {none}",
    ]
    assert "s3cret" not in log.getvalue()


@pytest.mark.parametrize(("now", "left"), [("hotfix", True), ("new-as-it-is-called", False), ("old", False), ("", False)])
def test_a_revert_leaves_what_somebody_else_rolled_out(
    program: Callable[[str, str], str], make_runtime: Callable[..., Runtime], tmp_path: Path, now: str, left: bool
) -> None:
    state = tmp_path / "state"
    state.write_text('{"api": {"image": "old"}}')
    moved = json.dumps({"api": {"image": "new-as-it-is-called", "sha": "2" * 40}})
    moves = program("moves", f"echo \"$1\" >> {tmp_path}/calls; echo '{moved}' > {state}")
    engine = Command(make_runtime(), Programs(roll_out=(moves, "{image}"), running=(program("running", f"cat {state}"),)))
    target, before = Target("api", Image("new", opaque=True), "2" * 40), engine.running(["api"], Deadline(10))["api"]
    engine.roll_out(target, before, Deadline(10))
    state.write_text(json.dumps({"api": {"image": now}}))
    if left:
        with pytest.raises(ChangedMeanwhile, match="it runs hotfix now"):
            engine.revert(target, before, Deadline(10))
    else:
        engine.revert(target, before, Deadline(10))
    assert (tmp_path / "calls").read_text().split() == ["new", *([] if left else ["old"])]


OTHER = "sha256:" + "c" * 64


@pytest.mark.parametrize(
    ("now", "exit_code", "ends"),
    [
        ({"image": "new"}, 0, ""),
        ({"image": "other-name", "digest": DIGEST}, 0, ""),
        ({"image": "other-name", "sha": "2" * 40}, 0, ""),
        # Another run moved the service meanwhile: by the digest, the commit, or the id alone.
        ({"image": "hotfix", "digest": OTHER}, 0, "changed"),
        ({"image": "new", "digest": OTHER, "sha": "2" * 40}, 0, "changed"),
        ({"image": "hotfix", "sha": "3" * 40}, 0, "changed"),
        ({"image": "hotfix"}, 0, "changed"),
        ({"image": "hotfix", "digest": OTHER}, 1, "changed"),
        # Nothing changed, or another run took it back: the exit code alone proves nothing then.
        ({"image": "old"}, 0, "unproven"),
        ({}, 0, "unproven"),
        # A program that failed may stand half-way, under a name that only it knows.
        ({"image": "half-way"}, 1, "failed"),
        ({"image": "old"}, 1, "failed"),
    ],
)
def test_roll_out_is_held_to_what_runs_after_it(
    program: Callable[[str, str], str], make_runtime: Callable[..., Runtime], now: dict[str, str], exit_code: int, ends: str
) -> None:
    running = program("running", f"echo '{json.dumps({'api': now})}'")
    engine = Command(make_runtime(), Programs(roll_out=(program("moves", f"exit {exit_code}"),), running=(running,)))
    target, before = Target("api", Image("new", DIGEST, opaque=True), "2" * 40), Running("api", "old")
    if ends == "changed":
        with pytest.raises(ChangedMeanwhile, match="api was changed by something else") as caught:
            engine.roll_out(target, before, Deadline(10))
        assert ("full commit SHA" in caught.value.fix) == (now == {"image": "hotfix"})
    elif ends == "failed":
        with pytest.raises(RollOutFailed):
            engine.roll_out(target, before, Deadline(10))
    else:
        assert bool(engine.roll_out(target, before, Deadline(10)).unproven) == (ends == "unproven")


@pytest.mark.parametrize("word", ["{servic}", "--image={img}x{imge}", "{SHA}", "{env}", "{Service}"])
def test_placeholder_that_is_misspelt_is_refused(word: str) -> None:
    with pytest.raises(UnusableInput, match="is not a placeholder"):
        Programs(roll_out=("x", word)).refuse_misspelt()


@pytest.mark.parametrize(
    "word", ["{service}{image}{sha}", "${SERVICE}", "{{.Image}}", "{{image}}s", "{print}", "{}", "{a,b}", '{"image": 1}']
)
def test_braces_of_the_programs_own_pass(word: str) -> None:
    Programs(roll_out=("x", word), job=("{command}",)).refuse_misspelt()
