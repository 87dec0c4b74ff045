"""Measures a rollback, from "it failed" to the old release answering everywhere, beside `docker service rollback` alone.

    python benchmarks/rollback.py [ROUNDS]

Clients ask without a pause meanwhile, on Swarm and on a plain Docker Engine. Targets: at most 1.1 × the bare command, no failed
request, and less than 1 s for the action itself, without the engine's work. Needs a Docker Engine that may become a Swarm's
manager. Exit code 1 when a target is missed.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import docker
import docker.types

ROOT = Path(__file__).resolve().parent.parent
# In place of this folder, whose modules have names that the standard library has too.
sys.path[:1] = [str(ROOT), str(ROOT / "src")]

from tests.fakes.github import FakeGitHub, settings  # noqa: E402 - the path had to be set first
from tests.harness.action import run  # noqa: E402
from tests.harness.engine import Daemon, Registry, answering, make_base  # noqa: E402
from tests.harness.load import Load  # noqa: E402
from tests.harness.releases import REPOSITORY, World, sha  # noqa: E402
from tests.harness.site import Site  # noqa: E402
from tests.harness.stack import Built, Images, Stack, await_text, fetch, free_port, make_network, new_sha, remove_network  # noqa: E402

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


def everywhere(site: Site, old: Built) -> None:
    """Waits until only the old release answers."""
    row = 0
    while row < IN_A_ROW or site.stack.images_of("api") != {old.pinned}:
        row = row + 1 if fetch(site.url) == old.sha else 0
        time.sleep(0.01)


@dataclass
class Served:
    """The requests of the clients while our actions worked."""

    answered: int = 0
    failed: int = 0

    def add(self, load: Load) -> None:
        self.answered += sum(load.answers.values())
        self.failed += sum(load.failures.values())


def timed(start: Callable[[], subprocess.Popen[str]], site: Site, old: Built, served: Served | None = None) -> float:
    """Returns the seconds from the start until the old release answers everywhere, whatever the program still does then."""
    with Load(site.url) as load:
        began = time.monotonic()
        process = start()
        everywhere(site, old)
        took = time.monotonic() - began
        said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    if served is not None:
        served.add(load)
    return took


def bare_command(site: Site) -> subprocess.Popen[str]:
    command = ["docker", "service", "rollback", "--quiet", f"{site.stack.name}_api"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def action(site: Site, current: str) -> subprocess.Popen[str]:
    """Starts the action as a step does: a new process, from the launcher on."""
    given = {
        **site.engine,
        "environment": "staging",
        "github-token": site.token,
        "services": f"api={site.repository}",
        "url": site.url,
        "version-from": "header:X-Version",
        "current-sha": current,
    }
    return started(site.github, site.folder, given)


def started(github: FakeGitHub, folder: Path, inputs: dict[str, str]) -> subprocess.Popen[str]:
    surroundings = {
        **os.environ,
        "INPUTS": json.dumps(inputs),
        "GITHUB_API_URL": github.url,
        "GITHUB_REPOSITORY": REPOSITORY,
        "RUNNER_TEMP": str(folder),
    }
    command = [str(ROOT / "bin/cicd-actions"), "rollback-to-previous-sha", "--json"]
    return subprocess.Popen(command, env=surroundings, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def on_docker(rounds: int, folder: Path, registry: str, served: Served) -> None:
    """Rolls a container out and back on a plain Docker Engine."""
    client = docker.from_env()
    images = Images(client, registry)
    name = f"bench{new_sha()[:6]}"
    network = client.networks.create(name, driver="bridge")
    try:
        old, new = images.app(START_DELAY=STARTS), images.app(START_DELAY=STARTS)
        port = free_port()
        client.containers.run(old.pinned, name=f"{name}-api", network=name, detach=True, healthcheck=HEALTH)
        proxy = {"environment": {"UPSTREAM": f"{name}-api"}, "ports": {"80/tcp": port}}
        client.containers.run(images.proxy(), name=f"{name}-proxy", network=name, detach=True, **proxy)
        await_text(f"http://127.0.0.1:{port}/", old.sha)
        with Load(f"http://127.0.0.1:{port}/") as load:
            for release in [new, old] * rounds:
                given = {"engine": "docker", "services": f"{name}-api={release.pinned}", "sha": release.sha}
                done = run("roll-out", given, folder)
                assert done.code == 0, done.log
        served.add(load)
    finally:
        for each in client.containers.list(all=True, filters={"name": name}):
            each.remove(force=True, v=True)
        network.remove()
        images.close()


def on_swarm(rounds: int, folder: Path, registry: str, served: Served) -> tuple[list[float], list[float]]:
    """Returns the seconds of the bare command, and of the action, in turns."""
    client = docker.from_env()
    make_base(client)
    if client.info()["Swarm"]["LocalNodeState"] != "active":
        client.swarm.init(advertise_addr="127.0.0.1", listen_addr="127.0.0.1:2377")
    images = Images(client, registry)
    network = make_network(client)
    stack = Stack(client, images, network)
    bare: list[float] = []
    ours: list[float] = []
    try:
        with FakeGitHub() as github:
            settings.repository(github, REPOSITORY)
            site = Site(folder, stack, images, github, github.token(deployments="write", contents="read"))
            site.monitor = "5s"  # the action's default
            old, new = images.app(START_DELAY=STARTS), images.app(START_DELAY=STARTS)
            site.repository = old.repository
            site.serve(old, healthcheck=HEALTH)
            site.record(old, "pass")
            site.record(new, "fail")
            # As in a deploy job, where the steps before have run our code already; the rollback's config comes from the engine.
            site.roll_out(new)
            timed(lambda: action(site, new.sha), site, old)
            for _ in range(rounds):
                site.roll_out(new)
                bare.append(timed(lambda: bare_command(site), site, old))
                site.roll_out(new)
                ours.append(timed(lambda: action(site, new.sha), site, old, served))
    finally:
        stack.close()
        remove_network(client, network)
        images.close()
    return bare, ours


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
        own = statistics.median(alone(rounds + 1, folder / "world")[1:])  # the first one compiles
        daemon = None if answering() else Daemon(folder / "dockerd")
        registry = Registry(folder / "registry")
        swarm, plain = Served(), Served()
        try:
            if daemon:
                daemon.start()
            registry.start()
            bare, ours = on_swarm(rounds, folder, registry.address, swarm)
            on_docker(rounds, folder, registry.address, plain)
        finally:
            registry.stop()
            if daemon:
                daemon.stop()
    ratio = statistics.median(ours) / statistics.median(bare)
    print(f"docker service rollback       {statistics.median(bare):6.1f} s  {[round(each, 1) for each in bare]}")
    print(f"rollback-to-previous-sha      {statistics.median(ours):6.1f} s  {[round(each, 1) for each in ours]}")
    print(f"ratio                         {ratio:6.2f}    at most {AT_MOST}")
    print(f"own time, engine's work apart {own:6.2f} s  under {OWN_TIME} s")
    for name, served in (("Swarm", swarm), ("Docker", plain)):
        print(f"failed requests, {name:13} {served.failed:6}    of {served.answered + served.failed}, at most 0")
    return 0 if ratio <= AT_MOST and own < OWN_TIME and not swarm.failed + plain.failed else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 3))
