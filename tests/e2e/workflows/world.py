"""What stands around a consumer's pipeline: environments that answer what was rolled out into them, and GitHub's records."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cicd_actions.github.proof import Trust
from cicd_actions.github.release_record import Record, Run, Task, now
from tests.fakes.github import FakeGitHub, deployments, settings
from tests.fakes.github.openapi import document
from tests.harness.releases import KEY
from tests.harness.serving import serving

OPERATIONS = Path(__file__).with_name("operations.py")
OLD = "sha256:" + "b" * 64
REPOSITORY = "org/app"
BOT = "github-actions[bot]"


class World:
    """The environments: what runs in them, and the address where it answers; and GitHub, as far as records need it."""

    def __init__(self, folder: Path, url: str, github: FakeGitHub) -> None:
        self.folder = folder
        self.url = url
        self.github = github
        self.around: dict[str, str] = {}
        """More that steps have in their environment."""
        settings.repository(github, REPOSITORY)
        self.token = github.token(deployments="write", contents="read", actions="read")

    def begin(self, sha: str) -> dict[str, str]:
        """A run of a commit exists; what its steps have in their environment."""
        number = len(deployments.kept(self.github, REPOSITORY).runs) + 1
        deployments.run(self.github, REPOSITORY, number, sha)
        return {"OPERATIONS": str(self.folder), "GITHUB_API_URL": self.github.url, "GITHUB_RUN_ID": str(number), **self.around}

    def tasks(self) -> list[tuple[str, str, str]]:
        """What is recorded, oldest first."""
        return [
            (each["environment"], each["task"].removeprefix("cicd-actions:"), each["sha"])
            for each in deployments.kept(self.github, REPOSITORY).deployments
        ]

    def runs(self, environment: str) -> dict[str, str]:
        """Commit by service."""
        return {file.stem: json.loads(file.read_text())["sha"] for file in (self.folder / environment).glob("*.json")}

    def put(self, environment: str, sha: str) -> None:
        """That commit runs there, and passed its gate."""
        (self.folder / environment).mkdir()
        images = {service: f"local/{service}@{OLD}" for service in ("api", "web")}
        for service, image in images.items():
            (self.folder / environment / f"{service}.json").write_text(json.dumps({"image": image, "digest": OLD, "sha": sha}))
        run = Run(self.begin(sha)["GITHUB_RUN_ID"])
        passed = Record(Task.PASSED, REPOSITORY, environment, sha, images, verdict="pass", at=now(), run=run)
        signed = Trust(key=KEY.encode()).signed(passed)
        deployments.other_tool(self.github, REPOSITORY, environment, sha, task=passed.task.value, payload=signed, creator=BOT)

    def refuse(self, *lines: str) -> None:
        (self.folder / "refuse").write_text("\n".join(lines))

    def journal(self) -> list[list[str]]:
        file = self.folder / "journal"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


@contextmanager
def running(folder: Path, repository: Path) -> Iterator[World]:
    """A world whose environments keep their state in `folder`; GitHub knows the history of `repository`."""

    class Handler(BaseHTTPRequestHandler):
        """`/staging/api/health/ready` and `/staging/web/`: whatever commit was rolled out last; a sick one is a 503."""

        def do_GET(self) -> None:
            if self.path.startswith("/v2/"):
                return self.serve(self.path.rpartition("/")[2])
            _, environment, service, *_ = self.path.split("/")
            file = folder / environment / f"{service}.json"
            sha = json.loads(file.read_text())["sha"] if file.exists() else ""
            sick = (folder / "sick").exists() and (folder / "sick").read_text() == sha
            self.send_response(503 if sick or not sha else 200)
            self.send_header("X-Version", sha)
            self.end_headers()
            self.wfile.write(json.dumps({"version": sha}).encode())
            return None

        def serve(self, digest: str) -> None:
            """A registry that has what was built."""
            file = folder / "pushed" / digest
            content = file.read_bytes() if file.exists() else b"{}"
            self.send_response(200 if file.exists() else 404)
            self.send_header("Content-Type", json.loads(content).get("mediaType", "application/octet-stream"))
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Nothing: the log of the test is enough."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    with serving(server), FakeGitHub(document=document()) as github:
        deployments.kept(github, REPOSITORY).git = repository
        yield World(folder, f"http://127.0.0.1:{server.server_port}", github)
