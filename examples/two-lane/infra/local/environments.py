"""An environment: its addresses, its variables, what is current in it, and its processes."""

from __future__ import annotations

import http.client
import json
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import processes
from dotenv import parse_dotenv
from problems import EngineError
from releases import Release
from state import SERVICES, State, checked_name, checked_service, locked, read_json, write_json

_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR")


class Environment:
    def __init__(self, state: State, name: str) -> None:
        self.name = checked_name("environment", name)
        self.folder = state.environments / self.name
        self.processes = self.folder / "processes"
        self.logs = self.folder / "logs"
        self._services = self.folder / "services"

    def lock(self, purpose: str) -> AbstractContextManager[None]:
        return locked(self.folder / "lock", purpose, wait=60)

    def current(self, service: str) -> dict[str, Any] | None:
        found: dict[str, Any] | None = read_json(self._services / f"{service}.json")
        return found

    def switch(self, release: Release, *, port: int, process: str) -> None:
        """From now on, new connections go to this release. One step: it happened, or it did not."""
        write_json(
            self._services / f"{release.service}.json",
            {
                "image": release.image,
                "digest": release.digest,
                "sha": release.sha,
                "port": port,
                "process": process,
            },
        )

    def running(self) -> dict[str, dict[str, str]]:
        """Per service image, digest and sha of what is current, if it is alive."""
        found = {}
        for service in SERVICES:
            current = self.current(service)
            if current is None:
                continue
            process = processes.find(self.processes, current["process"])
            if process is None or not process.alive():
                print(f"{service} is not running any more in {self.name}", file=sys.stderr)
                continue
            found[service] = {key: current[key] for key in ("image", "digest", "sha")}
        return found

    def ports(self) -> dict[str, int]:
        """The front ports. Chosen once; then they stay."""
        found: dict[str, int] | None = read_json(self.folder / "ports.json")
        if found is not None:
            return found
        with locked(self.folder / "ports.lock", "choosing ports", wait=10):
            return read_json(self.folder / "ports.json") or self._choose_ports()

    def urls(self) -> dict[str, str]:
        return {service: f"http://127.0.0.1:{port}" for service, port in self.ports().items()}

    def variables(self, release: Release, given: Mapping[str, str]) -> dict[str, str]:
        """What a process of this release gets to see: little of ours, defaults, RELEASE_ENV.

        Raises UnusableInput if RELEASE_ENV is not a dotenv.
        """
        urls = self.urls()
        variables = {name: given[name] for name in _PASSED_ON if name in given}
        if release.service == "api":
            database = self.folder / "two-lane.db"
            variables["DATABASE_URL"] = f"sqlite+aiosqlite:///{database}"
            variables["CORS_ORIGINS"] = urls["web"]
        else:
            variables["API_URL"] = urls["api"]
        variables.update(parse_dotenv(given.get("RELEASE_ENV", ""), source="RELEASE_ENV"))
        variables["ENVIRONMENT"] = self.name
        variables["RELEASE_SHA"] = release.sha
        if release.runtime is not None:
            variables["PATH"] = f"{release.runtime / 'bin'}:{variables.get('PATH', '')}"
            variables["VIRTUAL_ENV"] = str(release.runtime)
            variables["PYTHONPATH"] = str(release.folder / "src")
            # A release is never written to, not even with byte code. Its dependencies have theirs.
            variables["PYTHONDONTWRITEBYTECODE"] = "1"
        return variables

    def log(self, service: str, lines: int) -> list[str]:
        """The last lines of what is current, else of the release that was started last."""
        checked_service(service)
        current = self.current(service)
        if current is not None:
            return last_lines(self.logs / f"{current['process']}.log", lines)
        files = sorted(self.logs.glob(f"{service}-*.log"), key=lambda path: path.stat().st_mtime)
        return last_lines(files[-1], lines) if files else []

    def ensure_front(self) -> None:
        """Have the process that holds the front ports. Raises EngineError if it will not start."""
        if any(front.alive() for front in processes.recorded(self.processes, "front-*")):
            return
        for _ in range(3):
            if self._start_front():
                return
            print("a front port is taken by another program; choosing new ones", file=sys.stderr)
            self._choose_ports()
        raise EngineError(f"the front of {self.name} does not start; see {self.logs}/front.log")

    def stop_others(self, service: str, *, keep: str | None) -> None:
        """Stop a service's processes but one: older releases, remains of a killed roll-out."""
        processes.stop(self.processes, ids=f"{service}-*", keep=keep)

    def stop(self) -> None:
        """End every process of this environment. Data, logs and addresses stay."""
        if not self.folder.is_dir():
            return
        with self.lock(f"stopping {self.name}"):
            for service in SERVICES:
                (self._services / f"{service}.json").unlink(missing_ok=True)
            processes.stop(self.processes)

    def _choose_ports(self) -> dict[str, int]:
        # Both sockets are open at once, so that the two ports differ.
        sockets = {service: socket.create_server(("127.0.0.1", 0)) for service in SERVICES}
        ports = {service: int(one.getsockname()[1]) for service, one in sockets.items()}
        for one in sockets.values():
            one.close()
        write_json(self.folder / "ports.json", ports)
        return ports

    def _start_front(self) -> bool:
        ports = self.ports()
        self.logs.mkdir(parents=True, exist_ok=True)
        program = Path(__file__).with_name("front.py")
        argv = [sys.executable, "-I", str(program), str(self._services), json.dumps(ports)]
        with (self.logs / "front.log").open("ab") as log:
            popen = processes.start(
                self.processes,
                processes.new_id("front"),
                argv,
                environment={},
                cwd=self.folder,
                output=log,
            )
        deadline = time.monotonic() + 15
        while popen.poll() is None and time.monotonic() < deadline:
            if all(_answers(port) for port in ports.values()):
                return popen.poll() is None
            time.sleep(0.02)
        self.stop_others("front", keep=None)
        return False


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


def last_lines(path: Path, lines: int) -> list[str]:
    if not path.is_file() or lines <= 0:
        return []
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 1_000_000))
        return file.read().decode(errors="replace").splitlines()[-lines:]


def observed_version(port: int, path: str) -> str | None:
    """The X-Version of a 200 answer on 127.0.0.1; None for every other answer, or none."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        response.read(65536)
        return response.getheader("X-Version") if response.status == 200 else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
