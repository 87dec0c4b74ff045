"""One-shot jobs on a real Docker Engine, plain and Swarm: the same promises on both."""

from __future__ import annotations

import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import docker
import pytest

from cicd_actions.engines import left_behind
from cicd_actions.engines.docker_engine import DockerEngine
from cicd_actions.engines.protocol import JOB_LABEL, Image, ImageMissing, Job, JobEnd, ServiceMissing
from cicd_actions.engines.swarm import Swarm
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import Cancelled, Failed
from cicd_actions.toolkit.runtime import Runtime
from tests.harness.stack import Built, Images, Stack

pytestmark = pytest.mark.swarm


@dataclass
class Place:
    """An engine, a service on it, and the image that jobs run."""

    engine: Any
    client: docker.DockerClient
    runtime: Runtime
    image: Image
    service: str
    network: str
    prefix: str

    def run(self, job: Job, seconds: float = 60) -> tuple[JobEnd, list[tuple[str, str]]]:
        lines: list[tuple[str, str]] = []
        return self.engine.job(job, Deadline(seconds), lambda stream, text: lines.append((stream, text))), lines

    def python(self, source: str, **more: Any) -> Job:
        return Job(self.job_name, self.image, ("python3", "-uc", source), **more)

    @property
    def job_name(self) -> str:
        return f"{self.prefix}job"

    def left(self) -> list[str]:
        mark = {"label": f"{JOB_LABEL}={self.job_name}"}
        services = [each.name for each in self.client.services.list(filters=mark)]
        return services + [each.name for each in self.client.containers.list(all=True, filters={"name": self.job_name})]

    def await_nothing_left(self) -> None:
        end = time.monotonic() + 20
        while left := self.left():
            assert time.monotonic() < end, left
            time.sleep(0.1)


@pytest.fixture(scope="module")
def release(images: Images) -> Built:
    return images.app()


@pytest.fixture(params=["docker", "swarm"])
def place(
    request: pytest.FixtureRequest, stack: Stack, release: Built, overlay: str, make_runtime: Callable[..., Runtime]
) -> Iterator[Place]:
    runtime = make_runtime()
    image = Image(release.repository, release.digest)
    settings = {"MODE": "production", "DATABASE_URL": "postgres://shop:correct-horse-battery@db/shop"}
    prefix = f"t{secrets.token_hex(3)}"
    container = None
    engine: Any
    if request.param == "swarm":
        secret = stack.client.secrets.create(name=f"{stack.name}-key", data=b"from the engine")
        mount = docker.types.SecretReference(secret.id, f"{stack.name}-key", filename="key")
        stack.service("api", release.pinned, replicas=1, env=[f"{k}={v}" for k, v in settings.items()], secrets=[mount])
        engine, service = Swarm(runtime, stack=stack.name), "api"
    else:
        secret = None
        service = f"{prefix}-api"
        container = stack.client.containers.run(
            release.pinned, name=service, detach=True, network=overlay, environment=settings, tmpfs={"/run/secrets": ""}
        )
        engine = DockerEngine(runtime)
    yield Place(engine, stack.client, runtime, image, service, overlay, prefix)
    engine.close()
    if container:
        container.remove(force=True, v=True)
    stack.close()
    if secret:
        secret.remove()


def test_lines_streams_and_the_exit_code(place: Place) -> None:
    source = """import sys
for n in range(300):
    print(n)
print('::warning::late', file=sys.stderr)
print('x' * 40000, end='')
sys.exit(7)
"""
    end, lines = place.run(place.python(source))
    assert (end.exit_code, end.timed_out, end.cleaned) == (7, False, True)
    assert [text for stream, text in lines if stream == "stdout"] == [*map(str, range(300)), "x" * 40000]
    assert [text for stream, text in lines if stream == "stderr"] == ["::warning::late"]
    place.await_nothing_left()


def test_like_a_service(place: Place) -> None:
    source = """import os, socket
print(os.environ['MODE'], os.environ['OWN'], os.environ['DATABASE_URL'])
print(os.path.isdir('/run/secrets'))
print(len(socket.getaddrinfo(os.environ['PEER'], 8000)) > 0, os.getcwd())
"""
    peer = place.service if isinstance(place.engine, DockerEngine) else f"{place.engine._prefix}{place.service}"
    job = place.python(source, like=place.service, environment={"OWN": "mine", "PEER": peer}, working_directory="/srv")
    end, lines = place.run(job)
    assert end.exit_code == 0, lines
    assert [text for _, text in lines] == [
        "production mine postgres://shop:correct-horse-battery@db/shop",
        "True",
        "True /srv",
    ]
    shown = place.runtime.redactor(lines[0][1])
    assert "correct-horse" not in shown, "what is taken over from a service is masked too"
    assert "production" in shown
    with pytest.raises(ServiceMissing):
        place.run(place.python("pass", like="absent"))


def test_the_command_replaces_entrypoint_and_command(place: Place) -> None:
    end, lines = place.run(Job(place.job_name, place.image, ("echo", "$HOME", "a b", "*")))
    assert (end.exit_code, [text for _, text in lines]) == (0, ["$HOME a b *"])


WORKING = """
import signal, sys, time
def stop(*_):
    print('stopping', flush=True)
    time.sleep(0.5)
    print('revision 7', flush=True)
    sys.exit(3)
signal.signal(signal.SIGTERM, stop)
print('working', flush=True)
time.sleep(600)
"""


def test_the_deadline_ends_it(place: Place) -> None:
    end, lines = place.run(place.python(WORKING), seconds=6)
    assert (end.exit_code, end.timed_out, end.cleaned) == (3, True, True)
    assert [text for _, text in lines] == ["working", "stopping", "revision 7"]
    place.await_nothing_left()


def test_one_that_ignores_sigterm_is_killed(place: Place) -> None:
    job = replace(
        place.python("import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(600)"), grace=1.0
    )
    end, _ = place.run(job, seconds=4)
    assert (end.exit_code, end.timed_out) == (None, True)
    assert "killed" in end.detail
    place.await_nothing_left()


def test_a_cancelled_run_reads_its_last_words(place: Place) -> None:
    lines: list[str] = []

    def on_line(_stream: str, text: str) -> None:
        lines.append(text)
        if text == "working":
            raise Cancelled(signal.SIGINT)

    with pytest.raises(Cancelled):
        place.engine.job(place.python(WORKING), Deadline(3600), on_line)
    assert lines == ["working", "stopping", "revision 7"]
    place.await_nothing_left()


def test_what_cannot_start(place: Place, release: Built) -> None:
    with pytest.raises(ImageMissing):
        place.run(Job(place.job_name, Image(release.repository, "sha256:" + "0" * 64), ("true",)))
    with pytest.raises(Failed, match="no-such-program"):
        place.run(Job(place.job_name, place.image, ("no-such-program",)))
    with pytest.raises(Failed, match="no-such-network"):
        place.run(Job(place.job_name, place.image, ("true",), networks=("no-such-network",)))
    place.await_nothing_left()


def test_what_a_lost_run_left_is_swept(place: Place) -> None:
    place.client.containers.run(
        place.image.pinned, ["true"], name=f"{place.job_name}-stale", labels={JOB_LABEL: place.job_name}, detach=True
    ).wait()
    end, _ = place.run(Job(place.job_name, place.image, ("true",), networks=(place.network,)))
    assert end.exit_code == 0
    if isinstance(place.engine, DockerEngine):
        place.await_nothing_left()
    else:
        place.client.containers.get(f"{place.job_name}-stale").remove()


def test_job_that_prints_without_end_is_killed_at_the_deadline(place: Place) -> None:
    end, lines = place.run(replace(Job(place.job_name, place.image, ("yes", "without end")), grace=1.0), seconds=4)
    assert (end.exit_code, end.timed_out, end.cleaned) == (None, True, True)
    assert lines
    # The kill may cut the last line.
    assert {text for _, text in lines[:-1]} <= {"without end", "… the output is too long: a part is left out here …"}
    place.await_nothing_left()


def test_job_of_a_killed_run_is_ended_by_the_next_run(place: Place) -> None:
    with subprocess.Popen(["sleep", "600"]) as killed:
        owner = left_behind._owner(killed.pid)
        killed.kill()
    alive = {JOB_LABEL: place.job_name, **left_behind.labels({}, 600)}
    orphan = alive | {left_behind.OWNER: owner}
    for name, labels in (("alive", alive), ("orphan", orphan)):
        if isinstance(place.engine, DockerEngine):
            place.client.containers.run(
                place.image.pinned, ["sleep", "600"], name=f"{place.job_name}-{name}", labels=labels, detach=True
            )
        else:
            place.client.services.create(
                place.image.pinned, ["sleep", "600"], name=f"{place.job_name}-{name}", labels=labels, stop_grace_period=1
            )
    try:
        end, _ = place.run(Job(place.job_name, place.image, ("true",), networks=(place.network,)))
        assert end.exit_code == 0
        left = place.left()
        assert any("-alive" in name for name in left)
        assert f"{place.job_name}-orphan" not in left
    finally:
        for service in place.client.services.list(filters={"name": f"{place.job_name}-alive"}):
            service.remove()
        for container in place.client.containers.list(all=True, filters={"name": f"{place.job_name}-alive"}):
            container.remove(force=True)
