"""A Docker Engine behind ssh, reached as Docker's own client reaches it: `ssh HOST docker system dial-stdio`.

The library's own ssh transport loads paramiko (compiled) even where it only starts the program. It waits for answers without a
limit, and lets ssh ask on the terminal.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from docker.transport import UnixHTTPAdapter

from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.toolkit.printable import shortened

CONNECT = 20
"""Seconds that ssh may take to reach the host. The answer behind it has the timeout of the call."""

GRACE = 2.0
"""Seconds between SIGTERM and SIGKILL for an ssh that does not end."""

_NOT_LET_IN = re.compile(r"Host key verification failed|Permission denied \(|Too many authentication failures")
"""The messages of ssh (which are English in every locale) after which a retry changes nothing."""


class NotLetIn(requests.ConnectionError):
    """The two sides do not trust each other: the host's key is unknown or different, or the host accepts none of our keys."""


def command(host: str, variables: Mapping[str, str]) -> tuple[str, ...]:
    """Returns the program and its arguments for `ssh://[user@]host[:port]`. Raises `UnusableInput`."""
    example = "    env:\n      DOCKER_HOST: ssh://deploy@manager.example.org"
    try:
        parts = urlsplit(host)
        port = parts.port
    except ValueError as error:
        raise UnusableInput(f"Cannot read DOCKER_HOST: {error}.", fix=example) from None
    if parts.password is not None:
        raise UnusableInput(
            "Cannot use the password in DOCKER_HOST: ssh accepts none from there.", fix=f"Use a key:\n\n{example}"
        )
    if not parts.hostname or parts.path.strip("/") or parts.query or parts.fragment:
        raise UnusableInput(
            f"Cannot use DOCKER_HOST `{shortened(host, 200)}`: it has to be ssh://[user@]host[:port].", fix=example
        )
    program = shutil.which("ssh", path=variables.get("PATH"))
    if program is None:
        raise UnusableInput(
            "Cannot reach the Docker Engine by ssh: this runner's PATH has no program `ssh`.",
            fix="Install it before this step (Debian, Ubuntu: the package openssh-client).",
        )
    words = [program, "-o", "BatchMode=yes", "-o", f"ConnectTimeout={CONNECT}"]
    words += ["-l", parts.username] if parts.username else []
    words += ["-p", str(port)] if port else []
    return (*words, "--", parts.hostname, "docker", "system", "dial-stdio")


class SshAdapter(UnixHTTPAdapter):  # type: ignore[misc]
    """Makes each connection one `ssh` whose standard input and output are the other end of a socket with our timeouts."""

    def __init__(self, words: tuple[str, ...], variables: Mapping[str, str], timeout: float) -> None:
        self._words = words
        self._variables = variables
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the adapter
        self._processes: list[subprocess.Popen[bytes]] = []
        super().__init__("http+unix://ssh", timeout)

    def get_connection(self, url: str, proxies: Any = None) -> Any:  # the library's signature
        """Returns one pool for all: the library has one for each address, and each would log in again."""
        with self.pools.lock:
            if self.pools.get(self._words) is None:
                self.pools[self._words] = _Pool(self)
            return self.pools[self._words]

    def send(self, request: requests.PreparedRequest, *more: Any, **settings: Any) -> requests.Response:
        """Sends a request as the library does. Raises `NotLetIn`, and `requests.ConnectionError` with what ssh said."""
        before = os.fstat(self._said.fileno()).st_size
        try:
            response: requests.Response = super().send(request, *more, **settings)
        except requests.RequestException as error:
            said = os.pread(self._said.fileno(), 2000, before).decode("utf-8", "replace").strip()
            if not said:
                raise
            kind = NotLetIn if _NOT_LET_IN.search(said) else requests.ConnectionError
            raise kind(f"ssh said: {said}") from error
        return response

    def open(self, timeout: float | None) -> socket.socket:
        """Starts an `ssh`; returns the socket that leads through it to the engine."""
        ours, theirs = socket.socketpair()
        ours.settimeout(timeout)
        try:
            with theirs:
                # A separate session has no terminal on which ssh could ask.
                process = subprocess.Popen(
                    self._words,
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    stderr=self._said,
                    env=dict(self._variables),
                    start_new_session=True,
                )
        except BaseException:
            ours.close()
            raise
        self._processes = [each for each in self._processes if each.poll() is None] + [process]
        return ours

    def close(self) -> None:
        super().close()
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE)
            process.kill()
            process.wait()
        self._processes = []
        self._said.close()


class _Pool(urllib3.connectionpool.HTTPConnectionPool):
    def __init__(self, adapter: SshAdapter) -> None:
        super().__init__("localhost", timeout=adapter.timeout, maxsize=adapter.max_pool_size)
        self._adapter = adapter

    def _new_conn(self) -> Any:
        return _Connection(self._adapter)


class _Connection(urllib3.connection.HTTPConnection):
    def __init__(self, adapter: SshAdapter) -> None:
        super().__init__("localhost", timeout=adapter.timeout)
        self._adapter = adapter

    def connect(self) -> None:
        self.sock = self._adapter.open(self.timeout)
