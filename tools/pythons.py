"""Prints the oldest and the newest available Python (3.10 or newer): on PATH, and in the folders of version managers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

MANAGERS = (".pyenv/versions/*/bin", ".local/share/uv/python/*/bin", ".local/share/mise/installs/python/*/bin")


def candidates() -> Iterator[Path]:
    """Every `python3.N` of PATH and of the version managers' folders, and the runner's tool cache."""
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    folders += [folder for pattern in MANAGERS for folder in Path.home().glob(pattern)]
    folders += Path(os.environ.get("RUNNER_TOOL_CACHE", "/opt/hostedtoolcache")).glob("Python/3.*/*/bin")
    for folder in folders:
        yield from sorted(folder.glob("python3.[0-9]*"))


def version(python: Path) -> tuple[int, int] | None:
    """Its version when it works and can make environments, else nothing."""
    program = "import ensurepip, sys; print(*sys.version_info[:2])"
    try:
        done = subprocess.run([python, "-I", "-c", program], capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return None
    major, minor = done.stdout.split()
    return int(major), int(minor)


def available() -> dict[tuple[int, int], Path]:
    """Returns a working Python of each version from 3.10 on. Its name tells the version: one of each is asked."""
    found: dict[tuple[int, int], Path] = {}
    for python in candidates():
        minor = python.name.removeprefix("python3.")
        if minor.isdigit() and int(minor) >= 10 and (3, int(minor)) not in found and version(python) == (3, int(minor)):
            found[3, int(minor)] = python
    return found


def main() -> None:
    found = available()
    if not found:
        sys.exit(
            "Cannot find a Python 3.10 or newer that makes environments. On Debian or Ubuntu: sudo apt-get install python3-venv"
        )
    for each in sorted({min(found), max(found)}):
        print(f"{each[0]}.{each[1]} {found[each]}")


if __name__ == "__main__":
    main()
