"""Which programs coverage measures beside the tests: the actions. The others, which are many, start 0.1 s faster without it."""

from __future__ import annotations

import os
import sys
import warnings

import pytest

_SETTINGS = "COVERAGE_PROCESS_CONFIG"

MEASURED: dict[str, str] = {}
"""The variable that an action's environment needs, so that it is measured; empty where nothing is."""


def pytest_configure(config: pytest.Config) -> None:
    """Takes coverage's settings out of the environment of a process that runs tests: it is measured by now."""
    if hasattr(config, "workerinput") or not config.getoption("numprocesses", None):
        settings = os.environ.pop(_SETTINGS, "")
        if settings:
            MEASURED[_SETTINGS] = settings


def pytest_sessionfinish() -> None:
    """Saves what this process measured: xdist kills a worker that does not exit within 10 seconds."""
    if MEASURED:
        with warnings.catch_warnings():
            # Of a part of the tests, which imported nothing.
            warnings.simplefilter("ignore")
            sys.modules["coverage"].Coverage.current().save()
