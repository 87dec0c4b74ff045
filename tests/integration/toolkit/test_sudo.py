"""A program with another user's rights takes no signal from the action: it must not hold the deadline up."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

OTHER = 65534
SOURCES = str(Path(__file__).parents[3] / "src")

# What is needed is loaded first: the other user may not read the folders of this one.
ENDED = """
import io, json, os, sys
from cicd_actions import __main__ as program
from cicd_actions.toolkit import process

def gate(words):
    targets = json.dumps([{"command": words, "request-timeout": "300ms"}])
    return program.run(["health-gate", "--targets", targets, "--timeout", "600ms"], {"PATH": os.defpath}, *streams)

words, user = json.loads(sys.argv[1]), int(sys.argv[2])
streams = io.StringIO(), io.StringIO()
gate(["false"])
if user:
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
done = process.run(words, timeout=0.3, grace=0.1)
print(json.dumps([done.timed_out, done.exit_code, gate(words)]))
"""


@pytest.fixture
def sudo() -> Iterator[tuple[list[str], int]]:
    """The words before a program that gives it root's rights, and the user who has to start it; 0 for this one."""
    if os.geteuid():
        if not shutil.which("sudo") or subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode:
            pytest.skip("sudo asks for a password, or is not installed")
        yield ["sudo", "-n"], 0
        return
    folder = Path(tempfile.mkdtemp(prefix="cicd-actions-"))
    try:
        # Root's rights are for the test's user alone, as long as they are there.
        os.chown(folder, 0, OTHER)
        folder.chmod(0o710)
        program = shutil.copy(shutil.which("setpriv") or "setpriv", folder / "sudo")
        os.chown(program, 0, OTHER)
        Path(program).chmod(0o4750)
        yield [str(program), "--reuid=0", "--regid=0", "--clear-groups"], OTHER
    finally:
        shutil.rmtree(folder)


def test_program_under_sudo_is_left_alone_at_the_deadline(sudo: tuple[list[str], int]) -> None:
    before, user = sudo
    words = json.dumps([*before, "sleep", "20"])
    # Were its end awaited, its own exit code would be told, or none at all for the gate.
    done = subprocess.run(
        [sys.executable, "-c", ENDED, words, str(user)],
        env={"PYTHONPATH": SOURCES},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stderr, json.loads(done.stdout or "0")) == ("", [True, -15, 1])
