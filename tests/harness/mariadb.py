"""A real MariaDB server of the tests' own: its data in a temporary folder, its port given by the kernel."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.harness.ports import free_port

PASSWORD = "my-s3cret-of-tests"
_PATH = f"{os.environ['PATH']}:/usr/sbin"
_FLAGS = ("--no-defaults", "--innodb-buffer-pool-size=16M", "--innodb-log-file-size=4M", "--innodb-flush-log-at-trx-commit=0")


@contextmanager
def running() -> Iterator[int]:
    """Yields the port of a server whose `root` has `PASSWORD`. Skips the test where its programs are missing."""
    server_program, install_program = (shutil.which(name, path=_PATH) for name in ("mariadbd", "mariadb-install-db"))
    if server_program is None or install_program is None:
        pytest.skip("MariaDB's server programs (mariadbd) are not installed")
    with tempfile.TemporaryDirectory(prefix="cicd-actions-mariadb-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        user = []
        if os.geteuid() == 0:  # the server refuses to run as root
            owner = pwd.getpwnam("mysql")
            os.chown(folder, owner.pw_uid, owner.pw_gid)
            user = ["--user=mysql"]
        data = f"--datadir={folder / 'data'}"
        install = [install_program, *_FLAGS, *user, data, "--auth-root-authentication-method=normal", "--skip-test-db"]
        subprocess.run(install, capture_output=True, check=True)
        secret = folder / "secret.sql"
        secret.write_text(f"alter user root@localhost identified by '{PASSWORD}';")
        secret.chmod(0o644)
        port = free_port()
        words = [server_program, *_FLAGS, *user, data, f"--port={port}", "--bind-address=127.0.0.1", f"--init-file={secret}"]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen([*words, f"--socket={folder / 'socket'}"], stdout=log, stderr=log)
        try:
            _wait(server, port, folder / "log")
            yield port
        finally:
            server.kill()
            server.wait()


def _wait(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end = time.monotonic() + 30
    while True:
        assert server.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
