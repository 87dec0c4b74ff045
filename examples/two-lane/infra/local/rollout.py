"""What is done with a release: roll it out, or run one command in it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import processes
from environments import Environment, free_port, last_lines, observed_version
from problems import EngineError
from releases import Release

_PROBE = {"api": "/health/live", "web": "/"}
# What the front had connected just before the switch has been accepted by then.
_SETTLE = 0.1


def roll_out(
    environment: Environment, release: Release, given: Mapping[str, str], *, timeout: float
) -> dict[str, str]:
    """Start the release beside the old one; when it answers with its version, switch; stop the old.

    Raises EngineError with the last lines of its log if it ends, or does not answer within
    `timeout` seconds: then it is stopped, and the old one was never touched.
    """
    service = release.service
    purpose = f"rolling out {service} {release.sha[:12]}"
    variables = environment.variables(release, given)
    with environment.lock(purpose):
        current = environment.current(service)
        environment.stop_others(service, keep=current["process"] if current else None)
        environment.ensure_front()
        port = free_port()
        identifier = processes.new_id(service)
        log = environment.logs / f"{identifier}.log"
        try:
            popen = _start(environment, release, identifier, variables, port)
            problem = _await_version(release, popen, port, timeout)
            if problem is not None:
                raise EngineError(
                    f"{service} {release.sha} {problem}; what ran before was left alone. "
                    f"Its last words:\n{_quote(log)}"
                )
            environment.switch(release, port=port, process=identifier)
        except BaseException:
            # Also when a signal ends this program: nothing half-done stays.
            environment.stop_others(service, keep=current["process"] if current else None)
            raise
        time.sleep(_SETTLE)
        environment.stop_others(service, keep=identifier)
    return {"service": service, "image": release.image, "url": environment.urls()[service]}


def run_job(
    environment: Environment, release: Release, argv: Sequence[str], given: Mapping[str, str]
) -> int:
    """Run a command in the release, with the environment's variables; returns its exit code."""
    environment.folder.mkdir(parents=True, exist_ok=True)
    identifier = processes.new_id("job")
    try:
        code = processes.start(
            environment.processes,
            identifier,
            argv,
            environment=environment.variables(release, given),
            cwd=release.folder,
            output=None,
        ).wait()
    finally:
        # What it has left running, or all of it when a signal ends this program.
        processes.stop(environment.processes, ids=identifier)
    return code if code >= 0 else 128 - code


def _start(
    environment: Environment,
    release: Release,
    identifier: str,
    variables: dict[str, str],
    port: int,
) -> subprocess.Popen[bytes]:
    argv = {
        "api": ["python", "-m", "two_lane_api"],
        "web": [sys.executable, "-I", "web_server.py"],
    }[release.service]
    environment.logs.mkdir(parents=True, exist_ok=True)
    with (environment.logs / f"{identifier}.log").open("wb") as output:
        return processes.start(
            environment.processes,
            identifier,
            argv,
            environment={**variables, "HOST": "127.0.0.1", "PORT": str(port)},
            cwd=release.folder,
            output=output,
        )


def _await_version(
    release: Release, popen: subprocess.Popen[bytes], port: int, timeout: float
) -> str | None:
    """Wait until the release answers as itself; returns what is wrong if it does not."""
    path = _PROBE[release.service]
    deadline = time.monotonic() + timeout
    # Its own version, because another program may have taken the port in between.
    while observed_version(port, path) != release.sha:
        code = popen.poll()
        if code is not None:
            return f"ended with {code} before it answered"
        if time.monotonic() > deadline:
            return f"did not answer {path} within {timeout:g} s"
        time.sleep(0.05)
    return None


def _quote(log: Path) -> str:
    return "\n".join(f"  {line}" for line in last_lines(log, 20)) or "  (nothing)"
