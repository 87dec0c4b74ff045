"""Runs a program that fetches packages. An index that stalls must not hold the tests: it is asked again."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

SECONDS = 120.0
"""For one attempt; the longest takes 25 on two busy cores, with nothing kept from before."""

ATTEMPTS = 3


def uv() -> str:
    """Returns uv's path: the machine's, else that of the environment which runs the tests."""
    return shutil.which("uv") or str(Path(sys.executable).with_name("uv"))


def fetched(*words: str | Path, cwd: Path | None = None, environment: Mapping[str, str] | None = None) -> None:
    """Runs it to its end. Raises `CalledProcessError` when it fails, `TimeoutExpired` when each attempt takes too long."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            subprocess.run(
                words,
                cwd=cwd,
                env=None if environment is None else dict(environment),
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                timeout=SECONDS,
            )
        except subprocess.TimeoutExpired:
            if attempt == ATTEMPTS:
                raise
        else:
            return
