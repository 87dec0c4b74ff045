"""The program for the image, as far as it can be looked at without one."""

from __future__ import annotations

import ast
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd_actions.run_migrations_oneshot import explanations, job, program, progress
from cicd_actions.run_migrations_oneshot.command_line import MigrationCommand
from cicd_actions.run_migrations_oneshot.in_image import guard, interpreter, output, problems, redaction, session
from cicd_actions.run_migrations_oneshot.in_image.channel import LONGEST, Channel, chunks

FOLDER = Path(program.__file__).parent / "in_image"
SOURCE = FOLDER.parents[2]
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3000),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=8), inner, max_size=6),
    max_leaves=12,
)


def test_every_module_is_handed_over_and_is_python_3_8() -> None:
    names = {path.stem for path in FOLDER.glob("*.py")} - {"__init__", "boot"}
    assert {name for modules in program.MODULES.values() for name in modules} == names
    for path in FOLDER.glob("*.py"):
        ast.parse(path.read_text(), feature_version=(3, 8))
    for tool in program.MODULES:
        ast.parse(program.text(tool), feature_version=(3, 8))


def test_imports_nothing_of_ours_but_itself() -> None:
    for path in FOLDER.glob("*.py"):
        found = re.findall(r"^\s*(?:from|import) (cicd_actions\S*)", path.read_text(), re.MULTILINE)
        assert all(name.startswith("cicd_actions.run_migrations_oneshot.in_image") for name in found), (path, found)


def test_fits_into_an_argument() -> None:
    # MAX_ARG_STRLEN on Linux: 32 pages of 4096 bytes, the one that ends the text included.
    assert max(len(program.text(tool).encode()) for tool in program.MODULES) < 32 * 4096


def test_every_rule_that_the_program_may_say_is_explained() -> None:
    said: set[str] = set()
    for path in FOLDER.glob("*.py"):
        said |= set(re.findall(r'(?:Stop\(\s*|"rule": )"([a-z-]+)"', path.read_text()))
    said |= set(re.findall(r'return "([a-z-]+)"', (FOLDER / "problems.py").read_text()))
    said |= {"database-unreachable", "database-refused", "migration", "environment", "timeout", "replica"}
    # `cancelled` has a separate report.
    assert said == set(explanations._RULES)


def test_the_last_word_comes_before_the_job_is_killed() -> None:
    # Five seconds is the promise, removing the job included.
    assert guard.ENDING < job.GRACE < 5


@given(st.text(max_size=10), st.dictionaries(st.text(min_size=1, max_size=10), _json, max_size=5))
def test_a_line_is_never_longer_than_a_pipe_keeps_whole(event: str, fields: dict[str, Any]) -> None:
    reading, writing = os.pipe()
    real = output.Output.__new__(output.Output)
    real.real = writing
    channel = Channel("0123456789abcdef", redaction.Redaction(), real)
    fields.pop("event", None)
    channel.say(event, **fields)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        line = pipe.read()
    assert len(line) <= LONGEST
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    ordinary, found = progress.event_in(line.decode().rstrip("\n"), "cicd-actions:0123456789abcdef ")
    assert ordinary == ""
    assert found is not None
    assert found["event"] == event


@given(st.text())
def test_pieces_make_the_text_again(text: str) -> None:
    assert "".join(chunks(text)) == text


DRAINED = """
import fcntl, os, select
from cicd_actions.run_migrations_oneshot.in_image.output import Output
from cicd_actions.run_migrations_oneshot.in_image.redaction import Redaction

said = os.dup(1)
reading, writing = os.pipe()
os.dup2(writing, 1)
output = Output("0123456789abcdef", Redaction())
fcntl.fcntl(output._drained, 1031, 4096)  # F_SETPIPE_SZ: the least
missing = 0
for _ in range(5000):
    os.write(1, b"printed\\n")
    output.drain(20)
    missing += not select.select([reading], [], [], 0)[0] or os.read(reading, 100) != b"printed\\n"
os.write(said, b"%d" % missing)
"""


def test_each_drain_waits_for_what_was_printed_before_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", DRAINED], env={"PYTHONPATH": str(SOURCE)}, capture_output=True, timeout=120, check=False
    )
    assert (done.stdout, done.stderr) == (b"0", b"")


ENDED = """
import logging, os, signal, sys, threading
from cicd_actions.run_migrations_oneshot.in_image import channel, output, redaction, run

hides = redaction.Redaction()
said = channel.Channel("0123456789abcdef", hides, output.Output("0123456789abcdef", hides))


def cancelled(_record=None):
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait()


class Ends(run.Run):
    def work(self):
        sys.stdin.read()
        if sys.argv[1] == "log server":
            logging.getLogger().addHandler(handler := logging.Handler())
            handler.emit = cancelled
            logging.error("the handler has its lock")
        if sys.argv[1] == "cancelled":
            cancelled()
        threading.Thread(target=threading.Event().wait).start()
        return "applied"

    def pids(self):
        return []

    def read_now(self, fields, seconds):
        pass


options = {"application_name": "x", "lock_timeout": 0, "statement_timeout": 0, "mode": "apply"}
Ends(options, [], said).main()
"""


@pytest.mark.parametrize(
    ("how", "reader", "code"),
    [("log server", True, 128 + signal.SIGTERM), ("cancelled", False, 128 + signal.SIGTERM), ("applied", False, 1)],
)
def test_run_ends_whatever_its_log_handlers_do_and_without_a_reader(how: str, reader: bool, code: int) -> None:
    words = [sys.executable, "-c", ENDED, how]
    with subprocess.Popen(
        words, env={"PYTHONPATH": str(SOURCE)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        if not reader:
            process.stdout.close()
        process.stdin.close()
        try:
            assert process.wait(30) == code
            assert not reader or b'"state": "cancelled"' in process.stdout.read()
        finally:
            process.kill()


def test_the_settings_cannot_be_broken_out_of() -> None:
    settings = session.Settings("a'; DROP TABLE x; --\\", 5000, 0)
    assert settings.statements(150000)[0] == "SET application_name = 'a''; DROP TABLE x; --'"
    assert "SET lock_timeout = 5000" in settings.statements(90000)
    assert len(settings.statements(90000)) == 3
    assert "SET transaction_timeout = 0" in settings.statements(170000)
    assert "SET idle_in_transaction_session_timeout = 0" in settings.statements(150000)


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        (f"#!{sys.executable}\nimport re\n", sys.executable),
        (f"#!/bin/sh\n'''exec' \"{sys.executable}\" \"$0\" \"$@\"\n' '''\n", sys.executable),
        (f"#!/bin/sh\n'''exec' {sys.executable} \"$0\" \"$@\"\n' '''\n", sys.executable),
        ("#!/bin/sh\nexec something else\n", None),
        ("#!/no/such/python\n", None),
        ("not a script", None),
    ],
)
def test_the_interpreter_of_a_script(first: str, expected: str | None, tmp_path: Path) -> None:
    script = tmp_path / "alembic"
    script.write_text(first)
    script.chmod(0o755)
    assert interpreter.python_of(str(script)) == expected


def test_says_that_there_is_no_alembic() -> None:
    options = program.Options("0123456789abcdef", "apply", "x", 1, 1, 0, 1, 1, 0, False, True, False, script="/no/alembic")
    words = program.words(MigrationCommand((), sys.executable, ("upgrade", "head")), options)
    # `-I -S`: whatever the tests' own environment has.
    done = subprocess.run([words[0], "-I", "-S", *words[1:]], capture_output=True, text=True, check=False)
    assert done.returncode == 127
    ordinary, event = progress.event_in(done.stdout.rstrip("\n"), "cicd-actions:0123456789abcdef ")
    assert ordinary == ""
    assert event is not None
    assert (event["rule"], event["executable"]) == ("no-alembic", sys.executable)
    assert json.dumps(event)


class ValidationError(Exception):
    """An error of a library whose `errors` are not pydantic's."""

    def __init__(self, found: object) -> None:
        super().__init__("invalid")
        self._found = found

    def errors(self) -> object:
        return self._found


@pytest.mark.parametrize(
    "found", [None, 5, ["missing"], [{"type": "missing", "loc": 3}], [{"type": "missing", "loc": (0, "name")}]]
)
def test_validation_error_of_another_library_names_no_variable(found: object) -> None:
    assert problems.missing_variables(ValidationError(found)) == []
    assert problems.missing_variables(ValidationError([{"type": "missing", "loc": ("url",)}])) == ["URL"]


def test_error_whose_text_cannot_be_read_is_described() -> None:
    class Silent(Exception):
        def __str__(self) -> str:
            return str(self.args[0])

    assert problems.described(Silent(), [])["text"] == "Silent (its text could not be read: IndexError)"
    assert problems.rule_before_the_first(UnicodeError("label too long")) == "environment"
