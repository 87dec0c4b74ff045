"""Holds each action to the addresses that docs/hardening.md says it talks to."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer

from cicd_actions.__main__ import names
from tests.contract.test_imports import imports

ROOT = Path(__file__).resolve().parents[2]

SPEAKERS = {
    "github.connection": "GitHub's API",
    "github.attestations": "attestations",
    "engines.registry": "registries",
    "engines.docker_client": "the engine",
    "engines.docker_api": "the engine",
    "engines.docker_ssh": "the engine",
    "engines.kubectl": "the engine",
    "engines.command": "the engine",
    "health_gate.wire": "targets",
    "health_gate.resolver": "targets",
    "health_gate.metadata": "targets",
    "deployment_record.audit": "the audit log",
    "notify.delivery": "notification services",
    "pipeline_metrics.delivery": "metrics",
    "roll_out.prometheus": "metrics",
    "verify_migrations.mysql_wire": "the database",
    "verify_migrations.wire": "the database",
}
"""The modules that open connections, or start a program that does, and to what."""

QUIET = {
    "github.client", "github.errors", "health_gate.command_probe", "health_gate.exchange", "health_gate.gate",
    "health_gate.http_probe", "health_gate.limits", "health_gate.network", "health_gate.run", "health_gate.tls",
    "health_gate.urls", "toolkit.receiver",
}  # fmt: skip
"""Modules that import a library of connections for its errors or its types, and open none but through a speaker."""

LIBRARIES = {
    "socket",
    "asyncio",
    "ssl",
    "http",
    "urllib.request",
    "ftplib",
    "smtplib",
    "httpx",
    "requests",
    "docker",
    "github",
    "apprise",
}

NOT_REACHED = {
    "deployment-record": {"attestations", "metrics"},
    "rollback-to-previous-sha": {"metrics"},
    "verify-attestation": {"the engine", "registries"},
    "verify-migrations": {"the engine", "registries"},
}
"""What an action loads and does not use: the rollback's checks, stages, the grammar of `services`, of a command line."""


def documented() -> dict[str, set[str]]:
    text = (ROOT / "docs" / "hardening.md").read_text("utf-8").partition("<!-- addresses -->")[2]
    rows = re.findall(r"^\| `([a-z-]+)` \| (.+) \|$", text, re.MULTILINE)
    return {name: {part.strip() for part in said.split(",")} for name, said in rows if name in names()}


def reached(name: str) -> set[str]:
    """The kinds of addresses that the modules of an action can reach, by their imports."""
    graph = {module.removeprefix("cicd_actions."): found for module, found in imports().items()}
    package = name.replace("-", "_")
    todo, seen = [module for module in graph if module.partition(".")[0] == package], set()
    while todo:
        module = todo.pop()
        if module not in seen:
            seen.add(module)
            todo += [found.removeprefix("cicd_actions.") for found in graph.get(module, ())]
    return {SPEAKERS[module] for module in seen if module in SPEAKERS}


@pytest.mark.parametrize("name", names())
def test_action_talks_to_what_the_page_says_and_to_nothing_else(name: str) -> None:
    assert reached(name) - NOT_REACHED.get(name, set()) == documented()[name]


def test_module_that_can_open_a_connection_is_known() -> None:
    source = ROOT / "src" / "cicd_actions"
    found = set()
    for path in source.rglob("*.py"):
        # The errors of docker's client are no client.
        imported = re.findall(r"^(?:import|from(?! docker\b)) ([\w.]+)", path.read_text("utf-8"), re.MULTILINE)
        if {word if word in LIBRARIES else word.partition(".")[0] for word in imported} & LIBRARIES and "in_" not in str(
            path.parent.name
        ):
            found.add(".".join(path.relative_to(source).with_suffix("").parts))
    assert found - {*SPEAKERS, *QUIET} == set()
    assert found >= QUIET


HOOK = """
import os, sys

def hook(event, words):
    if event == "socket.connect" and isinstance(words[1], tuple):
        with open(os.environ["CONNECTED"], "a") as file:
            file.write(f"{words[1][0]}:{words[1][1]}\\n")
    elif event == "socket.getaddrinfo":
        with open(os.environ["CONNECTED"], "a") as file:
            file.write(f"{words[0]}:{words[1]}\\n")

sys.addaudithook(hook)
"""


def connected(folder: Path, name: str, inputs: dict[str, str], **variables: str) -> set[str]:
    """Runs an action, and returns each address that Python connected to or resolved."""
    (folder / "sitecustomize.py").write_text(HOOK)
    log = folder / "connected"
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("GITHUB_", "CICD_"))}
    environment |= {"INPUTS": json.dumps(inputs), "PYTHONPATH": f"{folder}:{ROOT / 'src'}", "CONNECTED": str(log), **variables}
    words = [sys.executable, "-m", "cicd_actions", name, "--json"]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode in {0, 1, 3}, done.stderr
    return set(log.read_text().splitlines()) if log.exists() else set()


def test_actions_that_read_files_connect_to_nothing(tmp_path: Path) -> None:
    (tmp_path / ".github" / "workflows").mkdir(parents=True)
    (tmp_path / ".github" / "workflows" / "w.yml").write_text("on: push\njobs: {a: {runs-on: x, steps: [{run: 'true'}]}}\n")
    (tmp_path / "a.json").write_text('{"dependencies": [{"name": "a", "version": "1", "vulns": []}]}')
    assert connected(tmp_path, "scan-gate", {"reports": "a.json"}) == set()
    assert connected(tmp_path, "pipeline-audit", {}) == set()
    assert connected(tmp_path, "secrets-doc-check", {}) == set()


def test_gate_connects_to_its_target_alone(tmp_path: Path, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/").respond_with_data("ok")
    here = f"127.0.0.1:{httpserver.port}"
    assert connected(tmp_path, "health-gate", {"url": f"http://{here}/", "timeout": "5s"}) == {here}
