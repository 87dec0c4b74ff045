"""Prepares the dependencies of a source checkout once, in a folder of the checkout. A release does not have this file."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

# Settings of the caller's pip that would put the files elsewhere. Where packages come from stays the caller's choice.
_ELSEWHERE = (
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_ROOT",
    "PIP_USER",
    "PIP_REQUIRE_VIRTUALENV",
    "PIP_DRY_RUN",
    "PIP_NO_DEPS",
)


def environment(root: str) -> str:
    """The folder with the locked dependencies for this Python; made first if it is not there."""
    lock = Path(root, "requirements", "runtime.txt")
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
    name = f"{sys.implementation.cache_tag}-{sys.platform}-{digest}"
    ready = Path(root, ".cache", "dependencies", name)
    if not ready.is_dir():
        try:
            _prepare(ready, lock)
        except OSError as error:
            _stop(f"the folder {ready.parent} cannot be written: {error.strerror}.")
    return str(ready)


def _prepare(ready: Path, lock: Path) -> None:
    ready.parent.mkdir(parents=True, exist_ok=True)
    with _alone(ready.with_suffix(".lock")):
        if ready.is_dir():  # another start made it while this one waited
            return
        building = Path(tempfile.mkdtemp(prefix=f"{ready.name}.", dir=ready.parent))
        try:
            _install(building, lock)
            building.rename(ready)
        finally:
            shutil.rmtree(building, ignore_errors=True)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process at a time. The lock goes with the process, so a killed one never blocks the next."""
    with path.open("w") as file:
        try:
            import fcntl  # Windows has none
        except ImportError:
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)  # type: ignore[attr-defined,unused-ignore]
        else:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _install(folder: Path, lock: Path) -> None:
    options = [
        "--quiet",
        "--require-hashes",
        "--no-deps",
        "--only-binary",
        ":all:",
        "--target",
        str(folder),
        "-r",
        str(lock),
    ]
    variables = {name: value for name, value in os.environ.items() if name not in _ELSEWHERE}
    tried: list[str] = []
    for installer in _installers():
        done = subprocess.run([*installer, *options], env=variables, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return
        tried.append(f"$ {' '.join(installer)} …\n{(done.stderr or done.stdout).strip()[-2000:]}")
    _stop("its dependencies could not be installed.\n" + "\n".join(tried))


def _installers() -> Iterator[list[str]]:
    # The flags are --isolated's without its loss of the index settings: no PYTHON* variable reaches pip.
    pip = [sys.executable, "-I", "-m", "pip"]
    if subprocess.run([*pip, "--version"], capture_output=True, check=False).returncode == 0:
        yield [
            *pip,
            "install",
            "--disable-pip-version-check",
            "--no-input",
            "--no-compile",
            "--no-warn-script-location",
        ]
        return
    uv = shutil.which("uv")
    if uv:
        yield [uv, "pip", "install", "--python", sys.executable]
        return
    # Debian's python3 comes without pip; its venv module brings one along when python3-venv is installed.
    with tempfile.TemporaryDirectory() as home:
        made = subprocess.run([sys.executable, "-I", "-m", "venv", home], capture_output=True, check=False)
        if made.returncode == 0:
            yield [str(Path(home, "bin", "python")), "-I", "-m", "pip", "install", "--disable-pip-version-check"]
            return
    _stop("it needs pip for that, once: apt-get install python3-pip (or python3-venv, or uv).")


def _stop(why: str) -> None:
    sys.stderr.write(f"cicd-actions runs from a source checkout and has to prepare itself, but {why}\n")
    sys.exit(2)
