"""Releases: immutable folders that are named by what is in them."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from problems import EngineError, UnusableInput
from state import State, checked_name, checked_service, locked, read_json, write_json, write_text

_IMAGE = re.compile(
    r"local/(?P<service>[a-z]+)(?:@sha256:(?P<digest>[0-9a-f]{64})|:(?P<tag>[A-Za-z0-9._-]+))"
)
_MANIFEST = "release.json"


@dataclass(frozen=True)
class Release:
    """A service at one commit. `runtime` holds what it needs besides itself: its dependencies."""

    service: str
    sha: str
    digest: str
    folder: Path
    runtime: Path | None

    @property
    def image(self) -> str:
        return f"local/{self.service}@{self.digest}"


class Releases:
    def __init__(self, state: State) -> None:
        self._state = state

    def build(self, service: str, sha: str, source: Path) -> Release:
        """Make a release of a service from the work tree. The same content is the same release.

        Raises EngineError if a tool is missing or fails.
        """
        checked_service(service)
        checked_name("commit", sha)
        staging = self._state.releases / service / f".staging-{secrets.token_hex(6)}"
        staging.mkdir(parents=True)
        try:
            fill = {"api": self._fill_api, "web": self._fill_web}[service]
            runtime = fill(source, staging)
            write_json(staging / _MANIFEST, {"service": service, "sha": sha, "runtime": runtime})
            _freeze(staging)
            digest = _digest(staging)
            folder = staging.with_name(digest)
            if not folder.exists():
                staging.rename(folder)
            write_text(self._tag(service, sha), digest)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        return self._release(service, digest)

    def find(self, image: str) -> Release | None:
        """The release that `local/SERVICE@sha256:…` or `local/SERVICE:SHA` names, if it is there.

        Raises UnusableInput if it is not such a name, EngineError if the folder was changed.
        """
        match = _IMAGE.fullmatch(image)
        if match is None:
            raise UnusableInput(
                f"{image!r} is not an image of this engine: local/api@sha256:… or local/api:COMMIT"
            )
        service = checked_service(match["service"])
        digest: str | None = match["digest"]
        if digest is None:
            tag = self._tag(service, match["tag"])
            digest = tag.read_text(encoding="utf-8") if tag.is_file() else None
        if digest is None or not (self._state.releases / service / digest).is_dir():
            return None
        return self._release(service, digest)

    def of(self, image: str, *, service: str, sha: str) -> Release:
        """Like find(), for a release that must be there, of that service and built from `sha`."""
        release = self.find(image)
        if release is None:
            raise EngineError(f"image {image} does not exist; build it first: engine.py build …")
        if release.service != checked_service(service):
            raise UnusableInput(f"{image} is not of {service}")
        if release.sha != sha:
            raise UnusableInput(f"{image} was built from {release.sha}, not from {sha}")
        return release

    def _release(self, service: str, digest: str) -> Release:
        folder = self._state.releases / service / digest
        if _digest(folder) != digest:
            raise EngineError(f"{folder} was changed after it was built; build it again elsewhere")
        manifest = read_json(folder / _MANIFEST)
        runtime = manifest["runtime"]
        return Release(
            service,
            manifest["sha"],
            f"sha256:{digest}",
            folder,
            None if runtime is None else self._state.runtimes / runtime,
        )

    def _tag(self, service: str, sha: str) -> Path:
        return self._state.releases / service / "tags" / checked_name("commit", sha)

    def _fill_api(self, source: Path, staging: Path) -> str:
        project = source / "apps" / "api"
        if not (project / "uv.lock").is_file():
            raise EngineError(
                "apps/api/uv.lock is not there; make it with `uv lock`, and commit it"
            )
        for path in _tracked(project):
            if path.parts[0] in ("src", "alembic.ini", "pyproject.toml", "uv.lock"):
                _copy(project / path, staging / path)
        key = _key([project / "uv.lock", project / "pyproject.toml"], sys.version, sys.executable)
        name = f"python-{key}"
        runtime = self._state.runtimes / name
        with locked(runtime.with_suffix(".lock"), "building the api's environment", wait=300):
            if not (runtime / ".complete").is_file():
                _say("installing the api's dependencies")
                command = ["uv", "sync", "--frozen", "--no-dev", "--no-install-project"]
                _run(
                    [*command, "--compile-bytecode", "--python", sys.executable],
                    cwd=project,
                    UV_PROJECT_ENVIRONMENT=str(runtime),
                )
                (runtime / ".complete").touch()
        return name

    def _fill_web(self, source: Path, staging: Path) -> None:
        project = source / "apps" / "web"
        described = ["package.json", "pnpm-lock.yaml", "pnpm-workspace.yaml"]
        node = _run(["node", "--version"], cwd=project)
        key = _key([project / name for name in described], node)
        runtime = self._state.runtimes / f"node-{key}"
        with locked(runtime.with_suffix(".lock"), "installing the web's packages", wait=300):
            if not (runtime / ".complete").is_file():
                _say("installing the web's packages")
                for name in described:
                    _copy(project / name, runtime / name)
                _run([*_pnpm(project), "install", "--frozen-lockfile"], cwd=runtime, CI="true")
                (runtime / ".complete").touch()
        work = staging.with_name(f"{staging.name}-work")
        try:
            for path in _tracked(project):
                _copy(project / path, work / path)
            (work / "node_modules").symlink_to(runtime / "node_modules")
            _run(["node_modules/.bin/vite", "build"], cwd=work)
            # Built beside the sources and moved: source maps hold the way from one to the other.
            (work / "dist").rename(staging / "dist")
        finally:
            shutil.rmtree(work, ignore_errors=True)
        _copy(Path(__file__).with_name("web_server.py"), staging / "web_server.py")


def _tracked(project: Path) -> list[Path]:
    """The project's files as git has them, with what is new and not ignored."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = _run(command, cwd=project).split("\0")
    return [Path(name) for name in sorted(set(names)) if name and (project / name).is_file()]


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    shutil.copymode(source, target)


def _freeze(folder: Path) -> None:
    for path in _files(folder):
        executable = path.stat().st_mode & stat.S_IXUSR
        path.chmod(0o555 if executable else 0o444)


def _files(folder: Path) -> Iterable[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _digest(folder: Path) -> str:
    lines = [
        f"{path.stat().st_mode & 0o777:o} {path.relative_to(folder).as_posix()} "
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}\n"
        for path in _files(folder)
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _key(files: Iterable[Path], *more: str) -> str:
    parts = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    return hashlib.sha256(json.dumps([*parts, *more]).encode()).hexdigest()[:16]


def _pnpm(project: Path) -> list[str]:
    if shutil.which("pnpm"):
        return ["pnpm"]
    package: str = json.loads((project / "package.json").read_text(encoding="utf-8"))[
        "packageManager"
    ]
    return ["npx", "--yes", package]


def _run(command: Sequence[str], *, cwd: Path, **environment: str) -> str:
    """Run a tool to its end; returns its stdout. Raises EngineError with what it said."""
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        raise EngineError(f"{command[0]} is not installed, or not on the PATH") from None
    if done.returncode != 0:
        said = (done.stdout + done.stderr).strip()[-4000:]
        raise EngineError(f"{' '.join(command)} ended with {done.returncode}:\n{said}")
    return done.stdout


def _say(text: str) -> None:
    print(text, file=sys.stderr)
