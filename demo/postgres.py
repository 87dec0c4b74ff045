"""A PostgreSQL for the lanes of a demo whose story needs one: a server of this machine's programs, gone with the demo."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from demo.tools import SetupError

STARTING = 30.0
"""Seconds for the server to answer; it takes less than one."""


@contextmanager
def server() -> Iterator[str]:
    """Yields `host:port` of a server that trusts everybody on this machine. Raises SetupError."""
    programs = _programs()
    # The server refuses to run as root.
    owner = "postgres" if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="cicd-demo-postgres-", ignore_cleanup_errors=True) as folder:
        if owner:
            found = pwd.getpwnam(owner)
            os.chown(folder, found.pw_uid, found.pw_gid)
        data = Path(folder, "data")
        initdb = [f"{programs}/initdb", "--pgdata", str(data), "--username", "postgres", "--auth", "trust", "--no-sync"]
        done = subprocess.run(initdb, user=owner, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SetupError(f"Could not make a PostgreSQL for the lane: {done.stderr.strip()[-1000:]}")
        port = _free_port()
        settings = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": folder, "fsync": "off"}
        words = [f"{programs}/postgres", "-D", str(data), *(f"--{name}={value}" for name, value in settings.items())]
        # A separate session: what ends the demo must not end the server before the jobs.
        process = subprocess.Popen(
            words, user=owner, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            _answering(programs, port, process)
            yield f"127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGINT)  # without waiting for its clients
            process.wait()


def _programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    here = found[-1] if found else shutil.which("initdb")
    if not here:
        raise SetupError("This story needs PostgreSQL's programs (initdb), for the lane's database: apt-get install postgresql")
    return Path(here).resolve().parent


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _answering(programs: Path, port: int, process: subprocess.Popen[bytes]) -> None:
    ends = time.monotonic() + STARTING
    ask = [f"{programs}/pg_isready", "--quiet", "--host=127.0.0.1", f"--port={port}"]
    while subprocess.run(ask, check=False).returncode:
        if process.poll() is not None or time.monotonic() > ends:
            raise SetupError("The PostgreSQL for the lane did not start.")
        time.sleep(0.05)
