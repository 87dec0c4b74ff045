"""Starts what the engine tests need on a bare Debian machine, as root: dockerd, the base image, and a registry.

    python -m tests.harness.engine start FOLDER     prints shell lines to `eval`
    python -m tests.harness.engine stop FOLDER

Debian packages: docker.io docker-registry debootstrap. No image is pulled: the base is made from Debian's own packages,
once, and kept in `~/.cache/cicd-actions`. An engine that answers already is used, and not stopped. One that is started here
has its data in FOLDER: in memory, containers and images take two thirds of the time.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import docker
from docker import errors

BASE = "cicd-actions-test-base:bookworm"
_PACKAGES = "python3,ca-certificates,curl,haproxy"
# Not needed in a container of the tests, and half of its size.
_DROPPED = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "var/cache/apt", "var/lib/apt/lists")


class NotHere(RuntimeError):
    """The machine cannot do it; the text says what is missing."""


def answering(host: str | None = None) -> bool:
    """Whether a Docker Engine answers (at `host`, else where the environment says)."""
    settings = {"base_url": host} if host else docker.utils.kwargs_from_env()
    if not _listening(settings.get("base_url", "unix:///var/run/docker.sock")):
        return False
    # With a version named, it asks nothing yet: a client that fails while it is made leaves its connections open.
    client = docker.APIClient(version="1.41", timeout=5, **settings)
    try:
        return bool(client.ping())
    except (errors.DockerException, OSError):
        return False
    finally:
        client.close()


def _listening(host: str) -> bool:
    """Whether somebody listens at a socket file: the library leaves a socket open where no process listens."""
    if not host.startswith("unix://"):
        return True
    with socket.socket(socket.AF_UNIX) as tried:
        try:
            tried.connect(host.removeprefix("unix://"))
        except OSError:
            return False
    return True


class Daemon:
    """A separate Docker Engine. `alone`: with a separate socket and separate data, so that it may be a second one.

    It runs in a separate network then, so that it may also be a second Swarm on this machine; unless `here`, for a process
    that is in such a network itself. One that is not alone may have its data in the folder too (`own_data`).
    """

    def __init__(self, folder: Path, *, alone: bool = False, here: bool = False, own_data: bool = False) -> None:
        self.folder = folder
        self.alone = alone
        self._own_data = own_data or alone
        self._here = here
        self.socket = f"unix://{folder}/docker.sock" if alone else "unix:///var/run/docker.sock"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers. Raises `NotHere`."""
        if os.geteuid() != 0 or not shutil.which("dockerd"):
            raise NotHere("dockerd is started by root only, and needs Debian's docker.io")
        self.folder.mkdir(parents=True, exist_ok=True)
        words = ["dockerd"]
        if self.alone:
            words += ["--host", self.socket, "--pidfile", f"{self.folder}/pid"]
            words += ["--exec-root", f"{self.folder}/exec"]
        if self._own_data:
            words += ["--data-root", f"{self.folder}/data"]
        if self.alone and not self._here:
            words = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *words]
        with (self.folder / "dockerd.log").open("ab") as log:
            self._process = subprocess.Popen(words, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        end = time.monotonic() + 60
        while not answering(self.socket):
            if self._process.poll() is not None or time.monotonic() > end:
                raise NotHere(f"dockerd does not start:\n{(self.folder / 'dockerd.log').read_text()[-2000:]}")
            time.sleep(0.1)
        (self.folder / "dockerd.pid").write_text(str(self._process.pid))

    def stop(self) -> None:
        """End it as an administrator would (SIGTERM), its containers with it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60)
            self._process = None

    def remove(self) -> None:
        """Stop it, and remove all that it kept in its folder, its mounts first."""
        self.stop()
        mounted = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for path in sorted((path for path in mounted if path.startswith(f"{self.folder}/")), reverse=True):
            subprocess.run(["umount", "--lazy", path], check=True)
        shutil.rmtree(self.folder)


class Registry:
    """Debian's docker-registry on a port of the kernel's choice; an engine needs no certificate for the loopback.

    It may be stopped and started again, at the same address and with what it had.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = "127.0.0.1:0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and read its address from its log. Raises `NotHere`."""
        if not shutil.which("docker-registry"):
            raise NotHere("Debian's docker-registry is not installed")
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "config.yml"
        config.write_text(
            f"version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {self.folder}/data\n  delete:\n    enabled: true\n"
            f"http:\n  addr: {self.address}\nlog:\n  accesslog:\n    disabled: true\n"
        )
        path = self.folder / "registry.log"
        with path.open("wb") as log:
            self._process = subprocess.Popen(
                ["docker-registry", "serve", str(config)],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        end = time.monotonic() + 20
        while not (found := re.search(r"listening on ([0-9.]+:[0-9]+)", path.read_text())):
            if self._process.poll() is not None or time.monotonic() > end:
                raise NotHere(f"docker-registry does not start:\n{path.read_text()[-2000:]}")
            time.sleep(0.05)
        self.address = found[1]
        (self.folder / "registry.pid").write_text(str(self._process.pid))

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)
            self._process = None


def make_base(client: docker.DockerClient) -> None:
    """Have the base image: imported where the engine has none of that name. Raises `NotHere`."""
    with contextlib.suppress(errors.ImageNotFound):
        client.images.get(BASE)
        return
    repository, _, tag = BASE.partition(":")
    client.api.import_image(src=str(packed_base()), repository=repository, tag=tag)


def packed_base() -> Path:
    """The base image's files as a tar archive: made by debootstrap, once (a minute). Raises `NotHere`."""
    kept = Path.home() / ".cache/cicd-actions/base-bookworm.tar"
    if kept.exists():
        return kept
    if os.geteuid() != 0 or not shutil.which("debootstrap"):
        raise NotHere(f"the image {BASE} is not there, and making it needs root and Debian's debootstrap")
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name, "root")
        words = ["debootstrap", "--variant=minbase", f"--include={_PACKAGES}", "bookworm", str(root)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise NotHere(f"debootstrap failed:\n{(done.stdout + done.stderr)[-2000:]}")
        for folder in _DROPPED:
            shutil.rmtree(root / folder, ignore_errors=True)
            (root / folder).mkdir(parents=True)
        made = kept.with_suffix(f".{os.getpid()}")
        subprocess.run(["tar", "-C", str(root), "-cf", str(made), "."], check=True)
        made.rename(kept)
    return kept


def _start(folder: Path) -> None:
    if not answering():
        Daemon(folder, own_data=True).start()
    client = docker.from_env()
    make_base(client)
    client.close()
    registry = Registry(folder / "registry")
    registry.start()
    sys.stdout.write(f"export CICD_ACTIONS_TEST_REGISTRY={registry.address}\n")


def _stop(folder: Path) -> None:
    # The registry first: a stopping engine waits for nothing of it.
    for path in (folder / "registry" / "registry.pid", folder / "dockerd.pid"):
        if not path.exists():
            continue
        number = int(path.read_text())
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGTERM)
        end = time.monotonic() + 60
        while Path(f"/proc/{number}").exists() and time.monotonic() < end:
            time.sleep(0.1)
        path.unlink()


def main() -> None:
    """The command line; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["start", "stop"])
    parser.add_argument("folder", type=Path)
    chosen = parser.parse_args()
    try:
        (_start if chosen.what == "start" else _stop)(chosen.folder)
    except NotHere as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
