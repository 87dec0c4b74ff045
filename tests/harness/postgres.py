"""A real PostgreSQL server of the tests' own: its data in a temporary folder, its port given by the kernel, no fsync."""

from __future__ import annotations

import copy
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.harness.ports import free_port

PASSWORD = "pg-s3cret-of-tests"


def programs() -> Path | None:
    """The folder of the newest server's programs, or `None` where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


class Postgres:
    """One server. `start` and `stop` may be called again and again; the port stays."""

    def __init__(self, folder: Path, *, listen: str = "127.0.0.1") -> None:
        bin_folder = programs()
        assert bin_folder is not None
        self._bin = bin_folder
        self._folder = folder
        self._listen = listen
        self.port = free_port()
        folder.chmod(0o755)
        if os.geteuid() == 0:  # the server refuses to run as root
            owner = pwd.getpwnam("postgres")
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        secret = folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        self._run(
            "initdb", "-D", folder / "data", "-U", "postgres", "-A", "scram-sha-256", "--pwfile", secret, "-N", "-E", "UTF8"
        )
        with (folder / "data/pg_hba.conf").open("a") as file:
            file.write("host all all all scram-sha-256\n")

    def start(self, *, wait: bool = True) -> None:
        options = {
            "listen_addresses": self._listen,
            "port": self.port,
            "unix_socket_directories": self._folder,
            "fsync": "off",
            "max_connections": 200,
            "shared_buffers": "32MB",
        }
        words = " ".join(f"-c {name}='{value}'" for name, value in options.items())
        self._run(
            "pg_ctl", "start", "-D", self._folder / "data", "-l", self._folder / "log", "-o", words, "-w" if wait else "-W"
        )

    def configured(self, **settings: object) -> None:
        """Restarts the server with these settings."""
        for name, value in settings.items():
            self.sql(f"ALTER SYSTEM SET {name} = '{value}'")
        self.stop()
        self.start()

    def replica(self, folder: Path) -> Postgres:
        """Returns a running replica that follows this server. Its data go to the folder."""
        folder.chmod(0o777)
        with (self._folder / "data/pg_hba.conf").open("a") as file:
            file.write("host replication all all scram-sha-256\n")
        self.sql("SELECT pg_reload_conf()")
        made = copy.copy(self)
        made._folder = folder
        made.port = free_port()
        address = f"host=127.0.0.1 port={self.port} user=postgres password={PASSWORD}"
        made._run("pg_basebackup", "-D", folder / "data", "-d", address, "-R", "-c", "fast")
        made.start()
        return made

    def stop(self) -> None:
        self._run("pg_ctl", "stop", "-D", self._folder / "data", "-m", "immediate", "-w", check=False)

    @contextmanager
    def deaf(self) -> Iterator[None]:
        """No new session is let in or answered; the sessions that are there go on."""
        pid = int((self._folder / "data/postmaster.pid").read_text().splitlines()[0])
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def url(self, database: str, driver: str = "", *, host: str = "127.0.0.1", port: int | None = None) -> str:
        scheme = f"postgresql+{driver}" if driver else "postgresql"
        return f"{scheme}://postgres:{PASSWORD}@{host}:{port or self.port}/{database}"

    def sql(self, statement: str, database: str = "postgres") -> list[tuple[str, ...]]:
        """The rows of a statement, as text. Raises `TimeoutExpired` for one that waits for a lock."""
        words = self._psql(database, statement)
        done = subprocess.run(words, capture_output=True, text=True, check=True, env=self._env(), timeout=120)
        return [tuple(line.split("\t")) for line in done.stdout.splitlines() if line]

    def session(self, *statements: str, database: str) -> subprocess.Popen[str]:
        """A session of somebody else that stays in its last statement; end it with `kill`."""
        words = self._psql(database, *statements)
        return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=self._env())

    def until(self, condition: str, database: str, seconds: float = 60.0) -> None:
        """Waits until a query gives `t`. One session asks again and again: a start of psql for each costs ten times as much."""
        words = [*self._psql(database), "-f", "-"]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=self._env()) as asking:
            late = threading.Timer(seconds, asking.kill)
            late.start()
            try:
                assert asking.stdin is not None
                assert asking.stdout is not None
                asking.stdin.write(f"SELECT ({condition}) \\watch 0.02\n")
                asking.stdin.close()
                assert "t\n" in asking.stdout, f"never true: {condition}"
            finally:
                late.cancel()
                asking.kill()

    def _psql(self, database: str, *statements: str) -> list[str]:
        words = [str(self._bin / "psql"), "-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1"]
        words += ["-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-d", database]
        for statement in statements:
            words += ["-c", statement]
        return words

    def _env(self) -> dict[str, str]:
        return {**os.environ, "PGPASSWORD": PASSWORD, "PGAPPNAME": "somebody-else"}

    def _run(self, program: str, *words: object, check: bool = True) -> None:
        argv: Sequence[str] = [str(self._bin / program), *map(str, words)]
        if os.geteuid() == 0:
            argv = ["runuser", "-u", "postgres", "--", *argv]
        # To a file, because the server inherits a pipe and would keep it open.
        with (self._folder / "setup.log").open("ab") as log:
            done = subprocess.run(argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL, check=False, cwd=self._folder)
        if check and done.returncode != 0:
            raise AssertionError((self._folder / "setup.log").read_text() + _tail(self._folder / "log"))


@contextmanager
def running(listen: str = "127.0.0.1") -> Iterator[Postgres]:
    """Yields a server that has started, and is gone with the block. Skips the test where its programs are missing."""
    if programs() is None:
        pytest.skip("PostgreSQL's server programs (initdb) are not installed")
    # Not below pytest's folder: every other pytest of this user closes that to other users, and the server is one.
    with tempfile.TemporaryDirectory(prefix="cicd-actions-postgres-") as folder:
        server = Postgres(Path(folder), listen=listen)
        try:
            server.start()
            yield server
        finally:
            server.stop()


def _tail(path: Path) -> str:
    return path.read_text()[-2000:] if path.exists() else ""
