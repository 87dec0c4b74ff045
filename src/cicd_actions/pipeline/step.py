"""What a program of the workflows reads and writes of its step: inputs, log, outputs, summary."""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def inputs() -> dict[str, str]:
    """The step's inputs. They are taken out of the environment: what runs next has no business with them."""
    found: dict[str, str] = json.loads(os.environ.pop("INPUTS"))
    return found


def event() -> dict[str, Any]:
    """The event that started the run, as GitHub tells it."""
    found: dict[str, Any] = json.loads(Path(os.environ["GITHUB_EVENT_PATH"]).read_text(encoding="utf-8"))
    return found


def log(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def command(name: str, message: str, **properties: str) -> None:
    """A workflow command (`error`, `warning`, `add-mask`), escaped so that *message* stays its message."""
    escaped = message.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    given = ",".join(f"{key}={value}" for key, value in properties.items())
    log(f"::{name} {given}::{escaped}" if given else f"::{name}::{escaped}")


def output(name: str, value: str | bool) -> None:
    """Write one output. Raises ValueError for more than one line: the second could be another output."""
    text = str(value).lower() if isinstance(value, bool) else value
    if "\n" in text or "\r" in text:
        raise ValueError(f"the output {name} would have more than one line")
    with Path(os.environ["GITHUB_OUTPUT"]).open("a", encoding="utf-8") as file:
        file.write(f"{name}={text}\n")


def lines(name: str, values: Sequence[str]) -> None:
    """Write one output of several lines. Its delimiter is random, so no line can end it."""
    delimiter = f"end-{secrets.token_hex(16)}"
    with Path(os.environ["GITHUB_OUTPUT"]).open("a", encoding="utf-8") as file:
        file.write("\n".join([f"{name}<<{delimiter}", *values, delimiter]) + "\n")


def summary(markdown: str) -> None:
    with Path(os.environ["GITHUB_STEP_SUMMARY"]).open("a", encoding="utf-8") as file:
        file.write(f"{markdown}\n")
