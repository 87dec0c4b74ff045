"""A small world for records and rollbacks without a container engine: releases run in a file, and answer by HTTP.

The `command` engine's programs are `world_program.py`, started as a user's programs would be.
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

from cicd_actions.__main__ import action
from cicd_actions.__main__ import run as run_action
from cicd_actions.toolkit.inputs import declarations
from tests.fakes.github import FakeGitHub, deployments, settings
from tests.fakes.github.openapi import document

REPOSITORY = "org/app"
PROGRAM = Path(__file__).parent / "world_program.py"


def sha(number: int) -> str:
    return f"{number:02x}".ljust(40, "0")


def manifest(number: int) -> str:
    """What a registry serves for the image of a release."""
    return f'{{"schemaVersion": 2, "annotations": {{"number": "{number}"}}}}'


def digest(number: int) -> str:
    """The hash of that manifest."""
    return f"sha256:{hashlib.sha256(manifest(number).encode()).hexdigest()}"


@dataclass
class Ended:
    """How an action ended."""

    code: int
    outputs: dict[str, str]
    findings: list[dict[str, Any]]
    headline: str
    log: str
    summary: str

    @property
    def verdict(self) -> str:
        return self.outputs["verdict"]


KEY = "a-key-of-the-environment-that-only-its-jobs-have"
"""What `record-key` names in the tests."""


def step(
    folder: Path, github: FakeGitHub, token: str, name: str, inputs: Mapping[str, str], *, run: str = "1", **variables: str
) -> Ended:
    """Run an action in this process, for the environment `staging` unless the inputs say another.

    Its records are signed, as the pipeline's are, unless the inputs or the variables say otherwise.
    """
    output, summary = folder / "output", folder / "summary.md"
    for path in (output, summary):
        path.write_text("")
    log, stdout = io.StringIO(), io.StringIO()
    known = declarations(action(name).inputs)
    defaults = {"github-token": token, "environment": "staging", "record-key": "RECORD_KEY"}
    usual = {key: value for key, value in defaults.items() if key in known}
    environment = {
        "PATH": "/usr/bin:/bin",
        "INPUTS": json.dumps({**usual, **inputs}),
        "GITHUB_API_URL": github.url,
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_REPOSITORY": REPOSITORY,
        "GITHUB_REPOSITORY_ID": "1",
        "GITHUB_REF_NAME": "main",
        "RECORD_KEY": KEY,
        "GITHUB_RUN_ID": run,
        "GITHUB_RUN_ATTEMPT": "1",
        "GITHUB_ACTOR": "someone",
        "GITHUB_OUTPUT": str(output),
        "GITHUB_STEP_SUMMARY": str(summary),
        "RUNNER_TEMP": str(folder),
        **variables,
    }
    code = run_action([name, "--json"], environment, stdout, log)
    found = json.loads(stdout.getvalue())
    return Ended(code, found["outputs"], found["findings"], found["headline"], log.getvalue(), summary.read_text())


@dataclass
class World:
    """What runs (`state.json`), which images exist, what each image's Alembic answers; and GitHub.

    Release number N has the commit `sha(N)` and the images `registry/api@digest(N)`, `registry/web@digest(N)`.
    """

    folder: Path
    github: FakeGitHub = field(default_factory=lambda: FakeGitHub(document=document()))
    services: tuple[str, ...] = ("api", "web")
    token: str = ""
    healthy: bool = True

    def __enter__(self) -> World:
        self.github.__enter__()
        settings.repository(self.github, REPOSITORY)
        self.token = self.github.token(deployments="write", contents="read", actions="read")
        deployments.commits(self.github, REPOSITORY, [sha(number) for number in range(1, 10)])
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.write("state", {})
        self.write("images", {})
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self.github.__exit__(kind, error, trace)

    def read(self, name: str) -> Any:
        return json.loads((self.folder / f"{name}.json").read_text())

    def write(self, name: str, value: Any) -> None:
        (self.folder / f"{name}.json").write_text(json.dumps(value))

    def image(self, service: str, number: int) -> str:
        return f"registry.test/{service}@{digest(number)}"

    def build(self, number: int, **alembic: Any) -> None:
        """The images of a release exist. `alembic` is what that of the api answers: `history`, a list of revisions from
        the first on, each `{"revision", "message", "phase"}`."""
        known = self.read("images")
        for service in self.services:
            known[self.image(service, number)] = alembic if service == "api" else {}
        self.write("images", known)

    def lose(self, service: str, number: int) -> None:
        """The image was deleted."""
        known = self.read("images")
        del known[self.image(service, number)]
        self.write("images", known)

    def runs(self, *numbers: int) -> None:
        """Each service runs the release of its number (one for all)."""
        of = dict(zip(self.services, numbers * len(self.services) if len(numbers) == 1 else numbers, strict=False))
        self.write(
            "state", {name: {"image": self.image(name, at), "digest": digest(at), "sha": sha(at)} for name, at in of.items()}
        )

    def running(self) -> dict[str, str]:
        """service → the SHA it runs."""
        return {name: each["sha"] for name, each in self.read("state").items()}

    def calls(self) -> list[str]:
        """What the programs were asked, one line each."""
        path = self.folder / "calls.log"
        return path.read_text().splitlines() if path.exists() else []

    def program(self, what: str, *more: str) -> str:
        return json.dumps([sys.executable, "-S", str(PROGRAM), str(self.folder), what, *more])

    @property
    def engine(self) -> dict[str, str]:
        """The inputs of the `command` engine."""
        return {
            "engine": "command",
            "roll-out-command": self.program("roll-out", "{service}", "{image}", "{sha}"),
            "running-command": self.program("running"),
            "image-command": self.program("exists", "{image}"),
            "job-command": self.program("job", "{image}", "{sha}"),
        }

    @property
    def release_lines(self) -> str:
        return "\n".join(f"{name}=registry.test/{name}" for name in self.services)

    def digests(self, number: int) -> str:
        return "\n".join(f"{name}=registry.test/{name}@{digest(number)}" for name in self.services)

    def action(self, name: str, inputs: Mapping[str, str], *, run: str = "1", **variables: str) -> Ended:
        """Run an action in this process, as a step of the run `run`."""
        return step(self.folder, self.github, self.token, name, inputs, run=run, **variables)

    def start(self, number: int, *, by: str = "", **inputs: str) -> Ended:
        """`deployment-record` before a release moves, in the run `by`."""
        given = {"phase": "start", "sha": sha(number), "services": self.digests(number), **_named(inputs)}
        return self.action("deployment-record", given, run=by or str(number))

    def finish(self, number: int, verdict: str, *, by: str = "", **inputs: str) -> Ended:
        """`deployment-record` after its gate."""
        given = {
            "phase": "finish",
            "sha": sha(number),
            "services": self.digests(number),
            "verdict": verdict,
            "reason": f"gated {number}",
            **_named(inputs),
        }
        return self.action("deployment-record", given, run=by or str(number))

    def release(self, number: int, verdict: str = "pass", **inputs: str) -> None:
        """A whole deploy: started, running, finished."""
        self.build(number, **self.read("images").get(self.image("api", number), {}))
        assert self.start(number).code == 0
        self.runs(number)
        assert self.finish(number, verdict, **inputs).code == 0

    def roll_back(self, **inputs: str) -> Ended:
        return self.action("rollback-to-previous-sha", self.rollback_inputs(**inputs), run="900")

    def rollback_inputs(self, **inputs: str) -> dict[str, str]:
        """The inputs of a rollback of this world."""
        return {
            **self.engine,
            "services": self.release_lines,
            "url": f"api={self.url}/api\nweb={self.url}/web",
            "version-from": "header:X-Version",
            "gate-timeout": "3s",
            "timeout": "30s",
            **_named(inputs),
        }

    def tasks(self) -> list[tuple[str, str]]:
        """The deployments by task and commit's number, oldest first."""
        found = deployments.kept(self.github, REPOSITORY).deployments
        return [(each["task"].removeprefix("cicd-actions:"), str(int(each["sha"][:2], 16))) for each in found]

    def states(self) -> list[list[str]]:
        """The statuses of each `deploy`, oldest first."""
        kept = deployments.kept(self.github, REPOSITORY)
        return [
            [status["state"] for status in kept.statuses.get(each["id"], [])]
            for each in kept.deployments
            if each["task"] == "cicd-actions:deploy"
        ]


def _named(inputs: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in inputs.items()}


def _handler(world: World) -> type[BaseHTTPRequestHandler]:
    class Requests(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            service = world.read("state").get(self.path.strip("/"), {})
            content = b"ok" if world.healthy else b"not ready"
            self.send_response(200 if world.healthy and service else 503)
            self.send_header("X-Version", service.get("sha", ""))
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's word
            """Nothing."""

    return Requests
