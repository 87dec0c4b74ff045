"""recipes/compose-over-ssh as its README says, through a real sshd and the engine: roll out, take back, look, run a job."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from cicd_actions.pipeline_file.reading import load
from tests.harness.action import Ended, run
from tests.harness.engine import NotHere
from tests.harness.ssh import SshServer
from tests.harness.stack import Built, Images

pytestmark = pytest.mark.docker
RECIPE = Path(__file__).resolve().parents[3] / "recipes" / "compose-over-ssh"


class Server:
    """A folder with a Compose file, on a machine behind ssh."""

    def __init__(self, folder: Path, ssh: SshServer, project: str) -> None:
        self.folder, self.project = folder, project
        (folder / "docker-compose.yml").write_text(
            "version: '3.8'\nservices:\n"
            "  api: {image: '${API_IMAGE}', network_mode: none}\n"
            "  page-worker: {image: '${PAGE_WORKER_IMAGE}', network_mode: none}\n"
        )
        self.variables = {
            "SSH_HOST": "root@127.0.0.1",
            "SSH_PORT": str(ssh.port),
            "SSH_KEY": (ssh.folder / "ours").read_text(),
            "SSH_KNOWN_HOSTS": f"[127.0.0.1]:{ssh.port} {(ssh.folder / 'host.pub').read_text()}",
            "COMPOSE_FOLDER": str(folder),
            "COMPOSE": "docker-compose",
            "COMPOSE_PROJECT_NAME": project,
            "UP_WITHIN": "20",
            "UP_FOR": "1",
        }

    def rolls_out(self, release: Built, *services: str) -> Ended:
        pipeline = load(RECIPE / "cicd.yml").release
        assert pipeline
        inputs: dict[str, Any] = {
            "engine": "command",
            "roll-out-command": pipeline.roll_out_command,
            "running-command": pipeline.running_command,
            "image-command": pipeline.image_command,
            "services": "\n".join(f"{service}={release.pinned}" for service in services),
            "sha": release.sha,
            "environment": "staging",
        }
        return run("roll-out", inputs, RECIPE, **self.variables)

    def program(self, *words: str) -> subprocess.CompletedProcess[str]:
        variables = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin", **self.variables}
        return subprocess.run(
            ["python3", "deploy/compose.py", *words], cwd=RECIPE, env=variables, capture_output=True, text=True, check=False
        )

    def running(self) -> dict[str, Any]:
        done = self.program("running")
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found


@pytest.fixture
def server(tmp_path: Path, docker_client: docker.DockerClient) -> Iterator[Server]:
    if not shutil.which("docker-compose"):
        pytest.skip("docker-compose is not installed: Debian's package")
    keys, folder = tmp_path / "keys", tmp_path / "app"
    keys.mkdir()
    folder.mkdir()
    ssh = SshServer(keys)
    try:
        ssh.start()
    except NotHere as error:
        pytest.skip(str(error))
    project = f"t{secrets.token_hex(4)}"
    yield Server(folder, ssh, project)
    ssh.stop()
    for each in docker_client.containers.list(all=True, filters={"label": f"com.docker.compose.project={project}"}):
        each.remove(force=True, v=True)


def test_recipe_rolls_out_takes_back_and_tells_what_runs(server: Server, images: Images) -> None:
    old, new, crashing = images.app(), images.app(), images.app(CRASH="1")
    assert server.running() == {}
    assert server.rolls_out(old, "api", "page-worker").outputs["verdict"] == "pass"
    entry = {"image": old.pinned, "digest": old.digest, "sha": old.sha}
    assert server.running() == {"api": entry, "page-worker": entry}

    assert server.rolls_out(new, "api").outputs["verdict"] == "pass"
    assert {name: each["sha"] for name, each in server.running().items()} == {"api": new.sha, "page-worker": old.sha}

    ended = server.rolls_out(crashing, "api", "page-worker")
    assert ended.outputs["verdict"] == "fail", ended.log
    assert {name: each["sha"] for name, each in server.running().items()} == {"api": new.sha, "page-worker": old.sha}

    assert server.program("image", new.pinned).returncode == 0
    assert server.program("image", f"{new.repository}@sha256:{'0' * 64}").returncode == 1
    assert server.program("image", "127.0.0.1:9/x@sha256:" + "0" * 64).returncode == 2
    server.variables |= {"JOB_VARIABLES": "TOKEN", "TOKEN": "it's s3cret"}
    job = server.program("job", "api", old.pinned, "sh", "-c", 'echo "$TOKEN in $0"; exit 7', "here")
    assert (job.returncode, job.stdout.strip().splitlines()[-1:]) == (7, ["it's s3cret in here"]), job.stderr
    assert server.running()["api"]["sha"] == new.sha
