"""The tests' ssh server on the loopback, with its own keys; nothing of this machine's ssh is read or changed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

from tests.harness.engine import NotHere
from tests.harness.ports import free_port


class SshServer:
    """It takes the key `ours` for this user, runs a program that is not there for `elsewhere`, and takes no other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it greets. Raises `NotHere`."""
        program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
        if os.geteuid() != 0 or not program or not shutil.which("ssh"):
            raise NotHere("an ssh server is started by root only, and needs Debian's openssh-server and openssh-client")
        for name in ("host", "ours", "elsewhere", "unknown"):
            words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(self.folder / name)]
            subprocess.run(words, check=True)
        (self.folder / "authorized").write_text(f'{self._public("ours")}command="no-such-docker" {self._public("elsewhere")}')
        (self.folder / "sshd_config").write_text(
            f"ListenAddress 127.0.0.1\nHostKey {self.folder}/host\nAuthorizedKeysFile {self.folder}/authorized\n"
            "PermitRootLogin yes\nStrictModes no\nUsePAM no\nPasswordAuthentication yes\nPidFile none\n"
        )
        # What it changes into while no user is logged in; where the machine's own has never run, it is missing.
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        self.port = free_port()
        with (self.folder / "sshd.log").open("wb") as log:
            words = [program, "-D", "-e", "-f", str(self.folder / "sshd_config"), "-p", str(self.port)]
            self._process = subprocess.Popen(words, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        end = time.monotonic() + 20
        while not self._greets():
            if self._process.poll() is not None or time.monotonic() > end:
                raise NotHere(f"sshd does not start:\n{(self.folder / 'sshd.log').read_text()[-2000:]}")
            time.sleep(0.05)

    def client(self, key: str = "ours", *, known: bool = True) -> dict[str, str]:
        """Variables under which `ssh` has this key, and knows the host's or does not: what ~/.ssh holds for a user."""
        folder = self.folder / f"client-{key}-{known}"
        folder.mkdir(exist_ok=True)
        host = f"[127.0.0.1]:{self.port} {self._public('host')}" if known else ""
        (folder / "known_hosts").write_text(host)
        (folder / "config").write_text(
            f"IdentityFile {self.folder}/{key}\nIdentitiesOnly yes\n"
            f"UserKnownHostsFile {folder}/known_hosts\nGlobalKnownHostsFile none\n"
        )
        # ssh takes the home folder from the system's list of users, not from HOME.
        (folder / "ssh").write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {folder}/config "$@"\n')
        (folder / "ssh").chmod(0o755)
        return {"DOCKER_HOST": f"ssh://root@127.0.0.1:{self.port}", "PATH": f"{folder}:{os.environ['PATH']}"}

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)
            self._process = None

    def _public(self, name: str) -> str:
        return (self.folder / f"{name}.pub").read_text()

    def _greets(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as tried:
                return tried.recv(4) == b"SSH-"
        except OSError:
            return False
