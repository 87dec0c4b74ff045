"""Counts the requests that a staged release costs, under load, on a real Swarm and on one Docker Engine.

    python benchmarks/staged.py

Clients ask through HAProxy without a pause, every third time with POST, which no proxy may repeat. Meanwhile a release is
staged, gets 10, 50, 100, and 0 % of the traffic, is abandoned at half of it, is staged again, and is promoted.
Targets: no failed request, and the old release has the traffic back within three seconds. Needs a Docker Engine that is, or may
become, a Swarm's manager. Exit code 1 when a target is missed.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import docker

ROOT = Path(__file__).resolve().parent.parent
sys.path[:1] = [str(ROOT), str(ROOT / "src")]

from cicd_actions.engines.protocol import Target  # noqa: E402 - the path had to be set first
from cicd_actions.toolkit.deadline import Deadline  # noqa: E402
from cicd_actions.toolkit.runtime import Runtime  # noqa: E402
from tests.harness.engine import Daemon, Registry, answering, make_base  # noqa: E402
from tests.harness.load import Load  # noqa: E402
from tests.harness.stack import Built, Images, Stack, await_text, make_network, remove_network  # noqa: E402
from tests.harness.staged import Place, on_docker, on_swarm, share  # noqa: E402

BACK = 3.0
"""Seconds in which the old release has all of the traffic again."""

ROUNDS = 3


def measured(name: str, place: Place, old: Built, new: Built) -> bool:
    """Stages, divides, abandons and promotes; prints the figures, and says whether a target was missed."""
    runtime = Runtime(os.environ, io.StringIO())
    engine = place.make(runtime)
    before = place.up(engine)
    target = Target(place.service, engine.resolve(new.tagged, Deadline(10)), new.sha)
    await_text(place.url, old.sha)
    until, backs, shares = time.time() + 3600, [], []
    with Load(place.url, posts=True) as load:
        began = time.monotonic()
        stage = engine.prepare(target, before, Deadline(120), run="", until=until)
        prepared = time.monotonic() - began
        for _ in range(ROUNDS):
            for percent in (10, 50, 100):
                engine.weigh(stage, percent, Deadline(30))
                shares.append(f"{percent} % → {share(load, new.sha, 1000):.1%}")
            began = time.monotonic()
            engine.weigh(stage, 0, Deadline(30))
            backs.append(time.monotonic() - began)
            assert share(load, new.sha) == 0
        engine.weigh(stage, 50, Deadline(30))
        began = time.monotonic()
        engine.abandon(stage, Deadline(60))
        abandoned = time.monotonic() - began
        stage = engine.switch(engine.prepare(target, before, Deadline(120), run="", until=until), Deadline(30))
        began = time.monotonic()
        engine.finish(stage, Deadline(120))
        promoted = time.monotonic() - began
        assert share(load, new.sha) == 1
    engine.close()
    answered, failed = sum(load.answers.values()), sum(load.failures.values())
    print(f"{name}: {failed} of {answered + failed} requests failed {dict(load.failures) or ''}")
    print(f"  shares: {', '.join(shares)}")
    print(
        f"  staged in {prepared:.1f} s; the traffic was back after {max(backs):.2f} s at most; abandoned in {abandoned:.1f} s"
    )
    print(f"  promoted in {promoted:.1f} s")
    return bool(failed) or max(backs) > BACK


@contextmanager
def surroundings(folder: Path) -> Iterator[tuple[docker.DockerClient, Images]]:
    """An engine that is a Swarm's manager, and a registry; those that are there are used, and stay."""
    with ExitStack() as held:
        if not answering():
            daemon = Daemon(folder)
            daemon.start()
            held.callback(daemon.stop)
        client = docker.from_env()
        held.callback(client.close)
        make_base(client)
        if client.info()["Swarm"]["LocalNodeState"] != "active":
            client.swarm.init(advertise_addr="127.0.0.1", listen_addr="127.0.0.1:2377")
            held.callback(client.swarm.leave, force=True)
        address = os.environ.get("CICD_ACTIONS_TEST_REGISTRY", "")
        if not address:
            registry = Registry(folder)
            registry.start()
            held.callback(registry.stop)
            address = registry.address
        images = Images(client, address)
        held.callback(images.close)
        yield client, images


def main() -> int:
    with ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory()))
        client, images = held.enter_context(surroundings(folder))
        old, new = images.app(), images.app()
        network = make_network(client)
        held.callback(remove_network, client, network)
        stack = Stack(client, images, network)
        held.callback(stack.close)
        missed = measured("Swarm, 2 replicas", on_swarm(stack, images, old.pinned), old, new)
        missed |= measured("docker, 1 container", held.enter_context(on_docker(client, images, old.pinned)), old, new)
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
