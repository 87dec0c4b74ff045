"""The state folder: who may change what, and how files in it change."""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from problems import EngineError, UnusableInput

SERVICES = ("api", "web")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class State:
    """The folder that `TWO_LANE_STATE` names; made when it is not there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.releases = root / "releases"
        self.runtimes = root / "runtimes"
        self.environments = root / "environments"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> State:
        """Raises UnusableInput without `TWO_LANE_STATE`."""
        folder = environment.get("TWO_LANE_STATE")
        if not folder:
            raise UnusableInput(
                "TWO_LANE_STATE is not set; it names the folder for releases, databases and logs, "
                "e.g. TWO_LANE_STATE=$HOME/.two-lane"
            )
        return cls(Path(folder).resolve())

    def environment_names(self) -> list[str]:
        if not self.environments.is_dir():
            return []
        return sorted(one.name for one in self.environments.iterdir() if one.is_dir())


def checked_name(kind: str, value: str) -> str:
    """The value, if it can be part of a path. Raises UnusableInput."""
    if not _NAME.fullmatch(value):
        raise UnusableInput(
            f"{value!r} is no {kind}: letters, digits, '.', '_' and '-', at most 64, "
            "a letter or a digit first"
        )
    return value


def checked_service(value: str) -> str:
    if value not in SERVICES:
        raise UnusableInput(f"the service {value!r} does not exist, only {' and '.join(SERVICES)}")
    return value


def read_json(path: Path) -> Any:
    """The file's value; None if there is no such file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def write_json(path: Path, value: object) -> None:
    """All or nothing: a reader, or the next run after a kill, sees the old or the new file."""
    write_text(path, json.dumps(value, sort_keys=True) + "\n")


def write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


@contextmanager
def locked(path: Path, purpose: str, *, wait: float) -> Iterator[None]:
    """Hold a lock that ends with this process, even when it is killed.

    Raises EngineError if another process still holds it after `wait` seconds.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        deadline = time.monotonic() + wait
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    file.seek(0)
                    holder = file.read().strip() or "another process"
                    raise EngineError(f"waited {wait:g} s for {holder} to end") from None
                time.sleep(0.05)
        file.seek(0)
        file.truncate()
        file.write(f"{purpose} (process {os.getpid()})")
        file.flush()
        yield
