"""Runs the gate as the command line does, short of the process around it."""

from __future__ import annotations

import io
import os
import socket
from collections.abc import Callable, Iterator

import pytest

from cicd_actions.health_gate.action import ACTION
from cicd_actions.health_gate.inputs import Inputs
from cicd_actions.toolkit.inputs import load
from cicd_actions.toolkit.report import Report
from cicd_actions.toolkit.runtime import Runtime


@pytest.fixture
def variables() -> dict[str, str]:
    """The environment of the step: the machine's own without any proxy."""
    return {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}


@pytest.fixture
def log() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def gate(variables: dict[str, str], log: io.StringIO) -> Callable[..., Report]:
    """A run of the action with inputs as keywords (`expect_status="200"`)."""

    def run(**inputs: str) -> Report:
        runtime = Runtime(variables, log)
        values = {name.replace("_", "-"): text for name, text in inputs.items()}
        return ACTION.run(load(Inputs, values, runtime.redactor), runtime)

    return run


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of the loopback interface on which nothing listens: bound, and never listened on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]
