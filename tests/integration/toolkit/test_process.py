from __future__ import annotations

import gc
import json
import os
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd_actions.toolkit import process
from cicd_actions.toolkit.background import Background
from cicd_actions.toolkit.errors import Cancelled, UnusableInput

PYTHON = sys.executable
SOURCE = str(Path(process.__file__).parents[2])
SLEEPER = "import time; time.sleep(600)"
ESCAPE = f"""import subprocess, sys
child = [sys.executable, "-c", {SLEEPER!r}]
print(subprocess.Popen(child, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).pid)"""
LEAVE_ONE = f"import subprocess, sys, time; print(subprocess.Popen([sys.executable, '-c', {SLEEPER!r}]).pid, flush=True)"


def script(text: str) -> list[str]:
    return [PYTHON, "-c", text]


def ends(pid: int) -> bool:
    """Whether the process ends: a killed one needs a moment to go."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], 20)[0])
    finally:
        os.close(handle)


def test_a_program_gets_its_words_as_they_are() -> None:
    words = ["$HOME", "a b", "`id`", "; rm -rf /", "*", "é"]
    done = process.run([*script("import sys, json; print(json.dumps(sys.argv[1:]))"), *words], timeout=20)
    assert done.stdout.strip() == json.dumps(words)
    assert (done.exit_code, done.timed_out, done.cut) == (0, False, False)


def test_lines_come_as_they_are_written_and_streams_stay_apart() -> None:
    seen: list[tuple[str, str]] = []
    done = process.run(
        script("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"),
        timeout=20,
        on_line=lambda stream, line: seen.append((stream, line)),
    )
    assert done.exit_code == 3
    assert sorted(seen) == [("stderr", "err"), ("stdout", "out")]
    assert (done.stdout, done.stderr) == ("out\n", "err\n")


def test_the_time_limit_ends_the_children_too() -> None:
    done = process.run(["sh", "-c", "sleep 600 & echo $!; wait"], timeout=2)
    assert done.timed_out
    assert done.exit_code < 0
    assert ends(int(done.stdout))


def test_a_child_left_in_the_background_does_not_hold_the_action_up() -> None:
    done = process.run(script(LEAVE_ONE), timeout=60)
    assert (done.exit_code, done.timed_out) == (0, False)
    assert ends(int(done.stdout))


def test_a_program_that_ignores_sigterm_is_killed() -> None:
    done = process.run(["sh", "-c", "trap '' TERM; sleep 600"], timeout=2)
    assert done.timed_out
    assert done.exit_code == -9


def test_a_cancellation_ends_the_program() -> None:
    pids: list[int] = []

    def cancel(_stream: str, line: str) -> None:
        pids.append(int(line))
        os.kill(os.getpid(), signal.SIGUSR1)

    def raise_cancelled(signum: int, _frame: object) -> None:
        raise Cancelled(signal.SIGTERM)

    before = signal.signal(signal.SIGUSR1, raise_cancelled)
    try:
        with pytest.raises(Cancelled):
            process.run(script("import os, time; print(os.getpid(), flush=True); time.sleep(600)"), timeout=60, on_line=cancel)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert ends(pids[0])


def test_a_cancellation_before_all_is_read_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pipes without a reader are closed: one that is left open is a warning, and here a warning is an error."""
    start = threading.Thread.start
    started: list[threading.Thread] = []

    def cancelled_at_the_second(thread: threading.Thread) -> None:
        if started:
            raise Cancelled(signal.SIGTERM)
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", cancelled_at_the_second)
    with pytest.raises(Cancelled):
        process.run(script(SLEEPER), timeout=60)
    gc.collect()


def test_promise_every_wait_body_and_log_is_bounded() -> None:
    done = process.run(script("import sys\nfor _ in range(3000): sys.stdout.write('x' * 1000)"), timeout=60, limit=10_000)
    assert done.exit_code == 0
    assert done.cut
    assert done.stdout == "x" * 10_000 + "…"


def test_bytes_that_are_no_text_do_not_break_it() -> None:
    done = process.run(script("import sys; sys.stdout.buffer.write(b'\\xff\\xfe ok')"), timeout=20)
    assert done.stdout == "\ufffd\ufffd ok"


def test_a_program_may_read_its_input_or_leave_it() -> None:
    assert process.run(script("import sys; print(sys.stdin.read())"), timeout=20, stdin="hello").stdout == "hello\n"
    assert process.run(script("pass"), timeout=20, stdin="x" * 1_000_000).exit_code == 0


def test_a_child_in_another_session_that_holds_the_input_does_not_hold_the_action_up() -> None:
    done = Background(lambda: process.run(script(ESCAPE), timeout=60, stdin="x" * 1_000_000)).result(30)
    try:
        assert (done.exit_code, done.timed_out) == (0, False)
    finally:
        os.kill(int(done.stdout), signal.SIGKILL)


def test_a_program_that_a_thread_runs_does_not_outlive_the_action() -> None:
    code = """import threading
from cicd_actions.toolkit import background, process
started = threading.Event()
def line(_stream, pid):
    print(pid, flush=True)
    started.set()
words = ["sh", "-c", "echo $$; exec sleep 600"]
background.Background(lambda: process.run(words, timeout=500, on_line=line))
assert started.wait(60)
"""
    action = subprocess.run(script(code), env={"PYTHONPATH": SOURCE}, capture_output=True, text=True, timeout=60, check=True)
    assert ends(int(action.stdout))


def test_a_program_that_is_not_there_is_said() -> None:
    with pytest.raises(UnusableInput, match="Could not start the program `no-such-program-here`"):
        process.run(["no-such-program-here"], timeout=5)


@given(st.dictionaries(st.sampled_from(["service", "image", "sha"]), st.text()), st.lists(st.text()))
def test_a_placeholder_is_filled_within_its_word(values: dict[str, str], words: list[str]) -> None:
    filled = process.filled(["--image={image}", "{service}{sha}", *words], values)
    assert len(filled) == len(words) + 2
    assert filled[0] == "--image=" + values.get("image", "{image}")
    assert filled[1] == values.get("service", "{service}") + values.get("sha", "{sha}")
