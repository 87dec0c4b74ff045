"""A real Swarm's word about replicas that end: what the release did, and what something else did to it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import docker.types
import pytest

from cicd_actions.engines.protocol import Running, Target
from cicd_actions.engines.staying_up import Cause, Uptime
from cicd_actions.engines.swarm import Swarm
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.runtime import Runtime
from tests.harness.stack import Images, Stack

pytestmark = [pytest.mark.docker, pytest.mark.swarm]

SECOND = 1_000_000_000
OBEYS = "import pathlib, signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); "
PROGRAMS = {
    "memory": "import time; time.sleep(1); held = [b'x' * 10_000_000 for _ in range(100)]",
    "failed": "import sys, time; time.sleep(1); sys.exit(3)",
    "finished": "import time; time.sleep(1)",
    "unhealthy": OBEYS + "time.sleep(1); pathlib.Path('/tmp/bad').touch(); time.sleep(600)",
    "stopped": "import time; time.sleep(600)",
    "starting": "import sys, time; time.sleep(1); sys.exit(3)",
}
CAUSES = {
    "memory": Cause.MEMORY,
    "failed": Cause.OWN,
    "finished": Cause.UNKNOWN,
    "unhealthy": Cause.OWN,
    "stopped": Cause.OUTSIDE,
}
CHECKS = {
    "unhealthy": {"test": ["CMD-SHELL", "test ! -e /tmp/bad"], "interval": SECOND // 3, "retries": 2},
    "starting": {"test": ["CMD-SHELL", "false"], "interval": SECOND // 3, "start_period": 30 * SECOND},
}


def test_uptime_tells_what_ended_each_replica(stack: Stack, images: Images, make_runtime: Callable[..., Runtime]) -> None:
    image = images.app().pinned
    for name, program in PROGRAMS.items():
        stack.service(
            name,
            image,
            replicas=1,
            wait=False,
            command=["python3", "-c", program],
            healthcheck=CHECKS.get(name, {"test": ["NONE"]}),
            resources=docker.types.Resources(mem_limit=64_000_000),
            restart_policy=docker.types.RestartPolicy("any", delay=600 * SECOND),
        )
    stack.await_replicas("stopped", 1)
    for each in stack.client.containers.list(filters={"label": f"com.docker.swarm.service.name={stack.name}_stopped"}):
        each.kill()
    engine = Swarm(make_runtime(), stack=stack.name)
    deadline = Deadline(60)

    def uptime(name: str) -> Uptime:
        while True:
            tasks = stack.client.api.tasks(filters={"service": f"{stack.name}_{name}"})
            if any(task["Status"]["State"] in {"failed", "complete"} for task in tasks):
                return engine.uptime(name, deadline)
            deadline.check(name)
            time.sleep(0.2)

    found = {name: uptime(name) for name in PROGRAMS}
    assert found.pop("starting").ended == (), "it was never up"
    assert {name: [end.cause for end in each.ended] for name, each in found.items()} == {
        name: [cause] for name, cause in CAUSES.items()
    }, found
    engine.close()


def test_update_that_the_engine_could_not_start_is_tried_again(
    stack: Stack, images: Images, make_runtime: Callable[..., Runtime], tmp_path: Path
) -> None:
    """The folder that each replica mounts is away when the first new one is to be started."""
    old, new = images.app(), images.app()
    needed, away = tmp_path / "needed", tmp_path / "away"
    needed.mkdir()
    stack.service("api", old.pinned, replicas=1, mounts=[docker.types.Mount("/needed", str(needed), type="bind")])
    runtime = make_runtime()
    engine = Swarm(runtime, stack=stack.name, monitor=1.0)
    deadline = Deadline(90)
    before: Running = engine.running(["api"], deadline)["api"]
    said: list[str] = []

    def log(text: str) -> None:
        said.append(text)
        if "Trying again" in text:
            away.rename(needed)

    runtime.log = log  # type: ignore[method-assign]
    needed.rename(away)
    engine.roll_out(Target("api", engine.resolve(new.pinned, deadline), new.sha), before, deadline)
    assert [line for line in said if "Trying again" in line and "does not exist" in line], said
    now = engine.running(["api"], deadline)["api"]
    assert (now.sha, now.ready, now.unfinished) == (new.sha, 1, False)
    engine.close()
