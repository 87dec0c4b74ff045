"""recipes/ecs: the real AWS command line against moto's server, whose ECS gets a scheduler (tests/harness/ecs_server.py)."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import aws_server
from tests.harness.alembic_project import python_with
from tests.harness.recipe import Recipe

pytestmark = pytest.mark.network

REPOSITORY = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop/api"
OLD, NEW, BAD = (f"{REPOSITORY}@sha256:{letter * 64}" for letter in "abc")
HARNESS = Path(aws_server.__file__).parent


class Shop(Recipe):
    """A cluster `shop-staging` with the services `api` and `worker` of one image."""

    def __init__(self, folder: Path, port: str, programs: Path) -> None:
        more = {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_CONFIG_FILE": str(folder / "config"),
            "AWS_MAX_ATTEMPTS": "1",
        }
        super().__init__(folder, "ecs", "staging", more=more)
        for name in ("roll-out-command", "job-command"):
            verb, _, rest = (self.commands[name] or "").partition(" --")
            self.commands[name] = f"{verb} --every 0 --within 60 --{rest}"
        self.commands["image-command"] = None
        self.first = self.commit()

    def aws(self, *words: str) -> Any:
        """Asks as a person does."""
        variables = {**os.environ, **self.variables}
        done = subprocess.run(["aws", *words, "--output", "json"], env=variables, capture_output=True, text=True, check=True)
        return json.loads(done.stdout or "{}")

    def task_definition(self, service: str) -> Any:
        """The task definition that the service has now."""
        (found,) = self.aws("ecs", "describe-services", "--cluster", "shop-staging", "--services", service)["services"]
        return self.aws("ecs", "describe-task-definition", "--task-definition", found["taskDefinition"])["taskDefinition"]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    python = python_with(("awscli>=1.46,<2", "moto[ecs,server]>=5.2,<6")) / "python"
    words = [str(python), str(HARNESS / "ecs_server.py"), BAD.partition("@")[2], REPOSITORY]
    with (tmp_path / "moto.log").open("wb") as log:
        server = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=log, text=True)
    assert server.stdout
    address = str(tmp_path / "aws.socket")
    command_line = subprocess.Popen([python, HARNESS / "aws_server.py", address])
    aws_server.client(tmp_path, address)
    try:
        port = server.stdout.readline().strip()
        assert port, (tmp_path / "moto.log").read_text()
        folder = tmp_path / "shop"
        folder.mkdir()
        yield Shop(folder, port, tmp_path)
    finally:
        for process in (server, command_line):
            process.kill()
            process.wait()
        server.stdout.close()


def entry(image: str, sha: str) -> dict[str, str]:
    return {"image": image, "digest": image.partition("@")[2], "sha": sha}


def test_circuit_breaker_that_takes_a_release_back_is_a_failure(shop: Shop) -> None:
    # Adopted: the tag's digest is told by the tasks.
    assert shop.running()["api"] == entry(f"{REPOSITORY}@sha256:{'f' * 64}", "")

    for service in ("api", "worker"):
        done = shop.program("roll-out-command", service, OLD, shop.first)
        assert done.returncode == 0, done.stderr
    assert shop.running() == {"api": entry(OLD, shop.first), "worker": entry(OLD, shop.first)}
    before = shop.task_definition("api")
    assert (before["revision"], before["containerDefinitions"][0]["environment"][0]["value"]) == (2, "one")

    # ECS is stable again afterwards, on the old release. `api` moved before and is taken back too.
    second = shop.commit()
    ended = shop.rolls_out(second, {"api": NEW, "worker": BAD})
    assert ended.outputs["verdict"] == "fail", ended.log
    assert "circuit breaker: tasks failed to start." in ended.log
    assert "Essential container in task exited" in ended.log
    assert shop.running() == {"api": entry(OLD, shop.first), "worker": entry(OLD, shop.first)}
    # It is the task definition that ran, not a new one with the old image.
    assert shop.task_definition("api")["revision"] == before["revision"]

    done = shop.program(
        "job-command", "api", NEW, "sh", "-c", 'echo "$MODE $TOKEN"; exit 7', JOB_VARIABLES="TOKEN", TOKEN="s3cret-token"
    )
    assert (done.returncode, done.stdout) == (7, "one s3cret-token\n"), done.stderr
    assert shop.aws("ecs", "list-task-definitions", "--family-prefix", "api-job")["taskDefinitionArns"] == []
    # As run-migrations-oneshot hands a whole program over: more than ECS takes in an override.
    program = "import os\nprint(os.environ['MODE'])\n" + "# a line\n" * 12_000
    done = shop.program("job-command", "api", NEW, "python3", "-c", program)
    assert (done.returncode, done.stdout) == (0, "one\n"), done.stderr
