"""A Docker Engine on another machine, by DOCKER_HOST: tcp with TLS to one that checks its clients, ssh through a real sshd."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from cicd_actions.engines.docker_engine import DockerEngine
from cicd_actions.engines.protocol import EngineUnreachable, Image, Job
from cicd_actions.engines.swarm import Swarm
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.toolkit.runtime import Runtime
from tests.harness.action import run
from tests.harness.authority import Authority
from tests.harness.engine import NotHere
from tests.harness.ports import free_port
from tests.harness.ssh import SshServer
from tests.harness.stack import Built, Images

pytestmark = pytest.mark.docker

Make = Callable[..., Runtime]


def rolls_out_and_runs_a_job(
    client: docker.DockerClient, old: Built, new: Built, runtime: Runtime, variables: dict[str, str]
) -> None:
    """The action as a step under these variables; then a job whose lines have to come through whole."""
    service = f"t{secrets.token_hex(4)}-api"
    client.containers.run(old.pinned, name=service, detach=True, network_mode="none")
    try:
        inputs = {"engine": "docker", "services": f"{service}={new.tagged}", "monitor": "500ms", "timeout": "60s"}
        ended = run("roll-out", inputs, None, **variables)
        assert (ended.code, ended.outputs["verdict"]) == (0, "pass"), ended.log
        assert client.containers.get(service).attrs["Config"]["Image"] == new.pinned
        lines: list[str] = []
        engine = DockerEngine(runtime)
        source = "for n in range(2000): print(n, 'x' * 100)"
        job = Job(f"{service}-job", Image(new.repository, new.digest), ("python3", "-c", source), networks=("none",))
        end = engine.job(job, Deadline(60), lambda _stream, text: lines.append(text))
        engine.close()
        assert (end.exit_code, end.cleaned) == (0, True)
        assert lines == [f"{number} {'x' * 100}" for number in range(2000)]
    finally:
        for each in client.containers.list(all=True, filters={"name": service}):
            each.remove(force=True, v=True)


@pytest.fixture(scope="module")
def silent() -> Iterator[int]:
    """A port at which somebody listens and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def listens(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


class Tls:
    """What stands before an engine's socket: TLS, and only clients whose certificate its authority signed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority(folder)
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, program: str) -> None:
        """Start it and wait until it listens."""
        config = self.folder / "haproxy.cfg"
        config.write_text(
            "defaults\n    mode tcp\n    timeout connect 5s\n    timeout client 1m\n    timeout server 1m\n"
            f"frontend engine\n    bind 127.0.0.1:{self.port} ssl crt {self.authority.issue('127.0.0.1')}"
            f" ca-file {self.authority.file} verify required\n    default_backend engine\n"
            "backend engine\n    server engine unix@/var/run/docker.sock\n"
        )
        with (self.folder / "haproxy.log").open("wb") as log:
            self._process = subprocess.Popen([program, "-db", "-f", str(config)], stdout=log, stderr=log)
        end = time.monotonic() + 20
        while not listens(self.port):
            assert time.monotonic() < end, (self.folder / "haproxy.log").read_text()
            time.sleep(0.05)

    def stop(self) -> None:
        """End it."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(20)

    def client(self, folder: Path, trusted: Authority | None = None, signed: Authority | None = None) -> dict[str, str]:
        """Variables with certificates as Docker's own guide lays them out."""
        own = (signed or self.authority).issue("client").read_bytes()
        (folder / "ca.pem").write_bytes((trusted or self.authority).file.read_bytes())
        for name in ("cert.pem", "key.pem"):
            (folder / name).write_bytes(own)
        return {"DOCKER_HOST": f"tcp://127.0.0.1:{self.port}", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(folder)}


@pytest.fixture(scope="module")
def tls(docker_client: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tls]:
    program = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")
    if not program:
        pytest.skip("haproxy is not installed")
    made = Tls(tmp_path_factory.mktemp("tls"))
    made.start(program)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def releases(images: Images) -> tuple[Built, Built]:
    """What runs before a roll-out, and what is rolled out."""
    return images.app(), images.app()


def test_over_tls(
    tls: Tls,
    docker_client: docker.DockerClient,
    releases: tuple[Built, Built],
    make_runtime: Make,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    # A company's authority for everything else must not stand in for the engine's.
    other = Authority(tmp_path_factory.mktemp("company"))
    variables = {**tls.client(tmp_path), "REQUESTS_CA_BUNDLE": str(other.file)}
    rolls_out_and_runs_a_job(docker_client, *releases, make_runtime(**variables), variables)


@pytest.mark.parametrize(
    ("ours", "theirs", "more", "said"),
    [
        (False, True, {}, "CERTIFICATE_VERIFY_FAILED"),
        (True, False, {}, "alert"),
        (True, True, {"DOCKER_TLS_VERIFY": ""}, "Cannot check which engine answers"),
        (True, True, {"DOCKER_CERT_PATH": "/nowhere"}, "certificate and key files must be provided"),
    ],
)
def test_who_is_not_trusted_is_told_at_once(
    tls: Tls,
    make_runtime: Make,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    ours: bool,
    theirs: bool,
    more: dict[str, str],
    said: str,
) -> None:
    other = Authority(tmp_path_factory.mktemp("other"))
    variables = tls.client(tmp_path, None if ours else other, None if theirs else other)
    engine = Swarm(make_runtime(**{**variables, **more}))
    # An hour: asking again until the deadline would be noticed.
    with pytest.raises(UnusableInput, match=said) as refused:
        engine.running(["api"], Deadline(3600))
    assert refused.value.fix
    engine.close()


@pytest.mark.parametrize("scheme", ["tcp", "ssh"])
def test_an_engine_that_says_nothing_is_left_at_the_deadline(scheme: str, silent: int, make_runtime: Make) -> None:
    engine = DockerEngine(make_runtime(DOCKER_HOST=f"{scheme}://127.0.0.1:{silent}"))
    with pytest.raises(EngineUnreachable, match=r"timeout=1(\.|\))"):
        engine.running(["api"], Deadline(0.5))
    engine.close()


@pytest.fixture(scope="module")
def ssh(docker_client: docker.DockerClient) -> Iterator[SshServer]:
    with tempfile.TemporaryDirectory(prefix="sshd-") as folder:
        made = SshServer(Path(folder))
        try:
            made.start()
        except NotHere as error:
            pytest.skip(f"no ssh server: {error}")
        yield made
        made.stop()


def test_over_ssh(
    ssh: SshServer, docker_client: docker.DockerClient, releases: tuple[Built, Built], make_runtime: Make
) -> None:
    variables = ssh.client()
    rolls_out_and_runs_a_job(docker_client, *releases, make_runtime(**variables), variables)


@pytest.mark.parametrize(
    ("key", "known", "said"), [("ours", False, "Host key verification failed"), ("unknown", True, "Permission denied")]
)
def test_ssh_that_does_not_let_in_is_told_at_once(ssh: SshServer, make_runtime: Make, key: str, known: bool, said: str) -> None:
    engine = DockerEngine(make_runtime(**ssh.client(key, known=known)))
    with pytest.raises(UnusableInput, match=said) as refused:
        engine.running(["api"], Deadline(3600))
    assert "known_hosts" in refused.value.fix
    assert "Nothing is asked on the terminal" in refused.value.fix
    engine.close()


def test_ssh_whose_other_side_has_no_docker(ssh: SshServer, make_runtime: Make) -> None:
    engine = DockerEngine(make_runtime(**ssh.client("elsewhere")))
    # A busy machine takes more than a second to log in.
    with pytest.raises(EngineUnreachable, match=r"ssh said: .*no-such-docker"):
        engine.running(["api"], Deadline(6))
    engine.close()


def test_ssh_to_nobody(make_runtime: Make) -> None:
    engine = DockerEngine(make_runtime(DOCKER_HOST=f"ssh://127.0.0.1:{free_port()}"))
    with pytest.raises(EngineUnreachable, match="Connection refused"):
        engine.running(["api"], Deadline(1))
    engine.close()


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"PATH": "/nowhere"}, "no program `ssh`"),
        ({"DOCKER_HOST": "ssh://deploy:hunter2-hunter2@127.0.0.1"}, "Cannot use the password in DOCKER_HOST"),
        ({"DOCKER_HOST": "ssh://127.0.0.1/var/run/docker.sock"}, "has to be ssh://"),
        ({"DOCKER_HOST": "ssh://"}, "has to be ssh://"),
        ({"DOCKER_HOST": "ssh://127.0.0.1:port"}, "Cannot read DOCKER_HOST"),
    ],
)
def test_what_cannot_be_a_way_by_ssh(make_runtime: Make, variables: dict[str, str], said: str) -> None:
    engine = DockerEngine(make_runtime(**{"DOCKER_HOST": "ssh://127.0.0.1", **variables}))
    with pytest.raises(UnusableInput, match=said) as refused:
        engine.running(["api"], Deadline(3600))
    assert "hunter2" not in str(refused.value)
    engine.close()


def test_no_ssh_is_left(ssh: SshServer, make_runtime: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []
    begin = subprocess.Popen

    def popen(*words: Any, **settings: Any) -> Any:
        started.append(begin(*words, **settings))
        return started[-1]

    monkeypatch.setattr("cicd_actions.engines.docker_ssh.subprocess.Popen", popen)
    engine = DockerEngine(make_runtime(**ssh.client()))
    assert engine.running(["no-such-service"], Deadline(20)) == {}
    engine.close()
    assert started
    assert all(process.poll() is not None for process in started)
