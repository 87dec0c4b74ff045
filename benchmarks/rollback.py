"""Measures a rollback, from "it failed" to the old release answering everywhere, beside what the engine has for it.

    python benchmarks/rollback.py [ROUNDS]

On Swarm that is `docker service rollback`. A plain Docker Engine has nothing, so there the same steps are typed by hand: start
the old release beside the new one, wait until it is healthy, let the name lead to both for 5 s (the default of `monitor`),
stop the new one. Clients ask without a pause meanwhile. The action comes from a tree as a release carries it, and has run
once before, as in a deploy job. Targets: at most 1.1 × the engine's own, no failed request, and less than 1 s for the action
itself, without the engine's work. Needs a Docker Engine that may become a Swarm's manager. Exit code 1 when a target is missed.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import docker
import docker.types

ROOT = Path(__file__).resolve().parent.parent
# In place of this folder, whose modules have names that the standard library has too.
sys.path[:1] = [str(ROOT), str(ROOT / "src")]

from tests.fakes.github import FakeGitHub, deployments, settings  # noqa: E402 - the path had to be set first
from tests.harness.engine import Daemon, Registry, answering, make_base  # noqa: E402
from tests.harness.load import Load  # noqa: E402
from tests.harness.ports import free_port  # noqa: E402
from tests.harness.releases import KEY, REPOSITORY, World, sha, step  # noqa: E402
from tests.harness.stack import Built, Images, Stack, await_text, fetch, make_network, new_sha, remove_network  # noqa: E402

AT_MOST = 1.1
OWN_TIME = 1.0
STARTS = "3"
"""Seconds until the service listens, as for an ordinary api."""

SECOND = 1_000_000_000
HEALTH = docker.types.Healthcheck(
    test=["CMD-SHELL", "curl -fsS http://127.0.0.1:8000/health || exit 1"],
    interval=SECOND,
    timeout=2 * SECOND,
    retries=2,
    start_period=30 * SECOND,
)

IN_A_ROW = 20
"""Answers of the old release in a row, with no replica of the new one left, that count as "everywhere"."""

BY_HAND = """
set -eu
docker run --detach --name "$SERVICE-old" --network "$NETWORK" \\
  --health-cmd 'curl -fsS http://127.0.0.1:8000/health || exit 1' --health-interval 1s \\
  --health-timeout 2s --health-retries 2 --health-start-period 30s "$IMAGE"
until [ "$(docker inspect --format '{{.State.Health.Status}}' "$SERVICE-old")" = healthy ]; do sleep 0.1; done
docker network disconnect "$NETWORK" "$SERVICE-old"
docker network connect --alias "$SERVICE" "$NETWORK" "$SERVICE-old"
sleep 5
docker stop "$SERVICE"
docker rm "$SERVICE"
docker rename "$SERVICE-old" "$SERVICE"
"""


@dataclass
class Place:
    """One service behind a proxy on an engine, its records, and the engine's own way to roll it back."""

    name: str
    service: str
    url: str
    engine: dict[str, str]
    native: Callable[[Built], subprocess.Popen[str]]
    running: Callable[[], set[str]]
    github: FakeGitHub
    folder: Path
    bare: list[float] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)
    answered: int = 0
    failed: int = 0

    def __post_init__(self) -> None:
        self.token = self.github.token(deployments="write", contents="read")

    def act(self, action: str, inputs: dict[str, str]) -> None:
        done = step(self.folder, self.github, self.token, action, inputs)
        assert done.code == 0, done.log

    def record(self, built: Built, verdict: str) -> None:
        given = {"sha": built.sha, "services": f"{self.service}={built.digest}"}
        self.act("deployment-record", {**given, "phase": "start"})
        self.act("deployment-record", {**given, "phase": "finish", "verdict": verdict})

    def roll_out(self, built: Built) -> None:
        self.act("roll-out", {**self.engine, "services": f"{self.service}={built.pinned}", "sha": built.sha})
        await_text(self.url, built.sha)

    def action(self, left: Built) -> subprocess.Popen[str]:
        """Starts the action as a step does: a new process, from the launcher on."""
        given = {
            **self.engine,
            "environment": "staging",
            "github-token": self.token,
            "services": f"{self.service}={left.repository}",
            "url": self.url,
            "version-from": "header:X-Version",
            "current-sha": left.sha,
        }
        return started(self.github, self.folder, given)

    def timed(self, start: Callable[[], subprocess.Popen[str]], old: Built) -> float:
        """Returns the seconds from the start until the old release answers everywhere, whatever the program still does then."""
        with Load(self.url) as load:
            began = time.monotonic()
            process = start()
            row = 0
            while row < IN_A_ROW or self.running() != {old.pinned}:
                row = row + 1 if fetch(self.url) == old.sha else 0
                assert process.poll() in {None, 0}, process.communicate()
                time.sleep(0.01)
            took = time.monotonic() - began
            said = process.communicate(timeout=120)
        assert process.returncode == 0, said
        self.answered += sum(load.answers.values())
        self.failed += sum(load.failures.values())
        return took

    def compare(self, old: Built, new: Built, rounds: int) -> None:
        """Rolls back by the engine's own means and by the action, in turns."""
        deployments.commits(self.github, REPOSITORY, [old.sha, new.sha])
        self.record(old, "pass")
        self.record(new, "fail")
        # As in a deploy job, where the steps before have run our code already.
        self.roll_out(new)
        self.timed(lambda: self.action(new), old)
        for _ in range(rounds):
            self.roll_out(new)
            before = self.failed, self.answered
            self.bare.append(self.timed(lambda: self.native(old), old))
            self.failed, self.answered = before  # the engine's own are not judged
            self.roll_out(new)
            self.ours.append(self.timed(lambda: self.action(new), old))

    @property
    def ratio(self) -> float:
        return statistics.median(self.ours) / statistics.median(self.bare)


@functools.cache
def launcher() -> Path:
    """Returns the launcher of a tree as a release carries it, built once: a checkout has compiled dependencies as well."""
    folder = Path(tempfile.mkdtemp(prefix="rollback-bench-"))
    atexit.register(shutil.rmtree, folder)
    build = [sys.executable, "-m", "tools.release", "build", "0.0.0", str(folder / "tree")]
    subprocess.run(build, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return folder / "tree/bin/cicd-actions"


def started(github: FakeGitHub, folder: Path, inputs: dict[str, str]) -> subprocess.Popen[str]:
    surroundings = {
        **os.environ,
        "INPUTS": json.dumps({"record-key": "RECORD_KEY", **inputs}),
        "RECORD_KEY": KEY,
        "GITHUB_API_URL": github.url,
        "GITHUB_REPOSITORY": REPOSITORY,
        "GITHUB_REPOSITORY_ID": "1",
        "RUNNER_TEMP": str(folder),
    }
    return program([str(launcher()), "rollback-to-previous-sha", "--json"], surroundings)


def program(command: list[str], environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def on_docker(client: docker.DockerClient, images: Images, github: FakeGitHub, folder: Path, rounds: int) -> Place:
    """Measures a container on a plain Docker Engine."""
    name, port = f"bench{new_sha()[:6]}", free_port()
    service = f"{name}-api"
    network = client.networks.create(name, driver="bridge")

    def native(old: Built) -> subprocess.Popen[str]:
        return program(["sh", "-c", BY_HAND], {**os.environ, "SERVICE": service, "NETWORK": name, "IMAGE": old.pinned})

    def running() -> set[str]:
        return {each.attrs["Config"]["Image"] for each in client.containers.list(filters={"name": service})}

    try:
        old, new = images.app(START_DELAY=STARTS), images.app(START_DELAY=STARTS)
        client.containers.run(old.pinned, name=service, network=name, detach=True, healthcheck=HEALTH)
        proxy = {"environment": {"UPSTREAM": service}, "ports": {"80/tcp": port}}
        client.containers.run(images.proxy(), name=f"{name}-proxy", network=name, detach=True, **proxy)
        url = f"http://127.0.0.1:{port}/"
        await_text(url, old.sha)
        place = Place("Docker", service, url, {"engine": "docker", "monitor": "5s"}, native, running, github, folder)
        place.compare(old, new, rounds)
        return place
    finally:
        for each in client.containers.list(all=True, filters={"name": name}):
            each.remove(force=True, v=True)
        network.remove()


def on_swarm(client: docker.DockerClient, images: Images, github: FakeGitHub, folder: Path, rounds: int) -> Place:
    """Measures a service with two replicas on a Swarm."""
    network = make_network(client)
    stack = Stack(client, images, network)

    def native(_old: Built) -> subprocess.Popen[str]:
        return program(["docker", "service", "rollback", "--quiet", f"{stack.name}_api"])

    try:
        old, new = images.app(START_DELAY=STARTS), images.app(START_DELAY=STARTS)
        stack.service("api", old.pinned, labels={"org.opencontainers.image.revision": old.sha}, healthcheck=HEALTH)
        url = stack.entrance("api")
        await_text(url, old.sha)
        engine = {"engine": "swarm", "stack": stack.name, "monitor": "5s"}
        place = Place("Swarm", "api", url, engine, native, lambda: stack.images_of("api"), github, folder)
        place.compare(old, new, rounds)
        return place
    finally:
        stack.close()
        remove_network(client, network)


def alone(rounds: int, folder: Path) -> list[float]:
    """Returns the seconds of a whole run, without those of the engine's programs, which only write a file here."""
    found: list[float] = []
    with World(folder) as world:
        world.release(1)
        for _ in range(rounds):
            world.release(2, "fail")
            given = {
                **world.engine,
                "environment": "staging",
                "github-token": world.token,
                "services": world.release_lines,
                "url": f"{world.url}/api",
                "version-from": "header:X-Version",
                "current-sha": sha(2),
            }
            asked = len(world.calls())
            began = time.monotonic()
            process = started(world.github, folder, given)
            said = process.communicate(timeout=120)
            took = time.monotonic() - began
            programs = len(world.calls()) - asked
            began = time.monotonic()
            for _ in range(programs):
                subprocess.run(json.loads(world.program("running")), check=True, capture_output=True)
            found.append(took - (time.monotonic() - began))
            assert process.returncode == 0, said
    return found


def main(rounds: int) -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "world").mkdir()
        launcher()
        own = statistics.median(alone(rounds + 1, folder / "world")[1:])  # the first one compiles
        daemon = None if answering() else Daemon(folder / "dockerd")
        registry = Registry(folder / "registry")
        try:
            if daemon:
                daemon.start()
            registry.start()
            client = docker.from_env()
            make_base(client)
            if client.info()["Swarm"]["LocalNodeState"] != "active":
                client.swarm.init(advertise_addr="127.0.0.1", listen_addr="127.0.0.1:2377")
            images = Images(client, registry.address)
            places: list[Place] = []
            try:
                for measured in (on_swarm, on_docker):
                    with FakeGitHub() as github:
                        settings.repository(github, REPOSITORY)
                        places.append(measured(client, images, github, folder, rounds))
            finally:
                images.close()
        finally:
            registry.stop()
            if daemon:
                daemon.stop()
    met = own < OWN_TIME
    for place in places:
        for what, seconds in (("own", place.bare), ("action", place.ours)):
            print(f"{place.name}, {what:22} {statistics.median(seconds):6.1f} s  {[round(each, 1) for each in seconds]}")
        print(f"{place.name}, ratio                  {place.ratio:6.2f}    at most {AT_MOST}")
        print(f"{place.name}, failed requests        {place.failed:6}    of {place.answered + place.failed}, at most 0")
        met = met and place.ratio <= AT_MOST and not place.failed
    print(f"own time, engine's work apart {own:6.2f} s  under {OWN_TIME} s")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 3))
