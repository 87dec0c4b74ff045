"""The examples of the READMEs, run: each step as it is written, with the environment of the tests behind it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from cicd_actions.toolkit.yaml12 import plain, read
from tests.harness.releases import World, digest, sha

ROOT = Path(__file__).resolve().parents[3]
NAMES = ("deployment-record", "rollback-to-previous-sha")


def examples(name: str) -> Iterator[dict[str, Any]]:
    """The steps in the README's and the runbook's blocks of YAML that use the action."""
    pages = (ROOT / "actions" / name / "README.md", ROOT / "docs" / "rollback.md", ROOT / "docs" / "locks.md")
    text = "\n".join(page.read_text("utf-8") for page in pages)
    for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL):
        document: Any = plain(read(block).root)
        jobs = document.get("jobs", {"one": document}).values() if isinstance(document, dict) else [{"steps": document}]
        steps = [step for job in jobs for step in job.get("steps", [])]
        yield from (step for step in steps if name in step.get("uses", ""))


ALL = [(name, at, step) for name in NAMES for at, step in enumerate(examples(name))]


def value(text: Any, known: dict[str, str]) -> str:
    """What GitHub would hand over for an input, its expressions answered."""
    if isinstance(text, bool):
        return str(text).lower()

    def answer(match: re.Match[str]) -> str:
        first = match[1].split("||")[0].strip()
        return known[first]

    # The READMEs write a digest that a reader can tell from a real one.
    return re.sub(r"\$\{\{(.*?)\}\}", answer, str(text)).replace(f"sha256:{1:064x}", digest(1))


@pytest.mark.parametrize(("name", "at", "step"), ALL, ids=[f"{name}-{at}" for name, at, _ in ALL])
def test_an_example_does_what_it_says(world: World, httpserver: HTTPServer, name: str, at: int, step: dict[str, Any]) -> None:
    httpserver.expect_request("/deployments").respond_with_data("", status=201)
    known = {
        "github.sha": sha(2),
        "inputs.to-sha": sha(1),
        "inputs.phase": "lock",
        "inputs.environment": "staging",
        "inputs.reason": "a freeze",
        "inputs.until": "4h",
        "steps.start.outputs.deployment-id": "",
        "steps.gate.outputs.verdict": "pass",
        "steps.gate.outputs.reason": "all targets passed",
    }
    given = {key: value(text, known) for key, text in step["with"].items()}
    services = tuple(line.partition("=")[0] for line in given.get("services", "api=").split())
    world.services = services
    environment = given["environment"].split()[0]
    # Where the example deploys, releases 1 and 2 ran before; `adopt` comes upon an environment without records.
    if given.get("phase") != "adopt":
        release(world, 1, "pass", environment)
    if name == "rollback-to-previous-sha":
        release(world, 2, "fail", environment)
    if given.get("require-passed-in"):
        release(world, 1, "pass", given["require-passed-in"])
    world.runs(2 if name == "rollback-to-previous-sha" else 1)
    # What stands behind an example's names here: its engine, where its services answer, its audit log.
    if "engine" in given:
        given |= world.engine
    if "url" in given:
        given |= {"url": f"{world.url}/{services[0]}", "version-from": "header:X-Version"}
    if "targets" in given:
        given["targets"] = re.sub(r"https://(api|www)\S*", lambda at: f"{world.url}/{SITES[at[1]]}", given["targets"])
        given["targets"] = given["targets"].replace("json:$.version", "header:X-Version")
    if "audit-url" in given:
        given["audit-url"] = httpserver.url_for("/deployments")
    ended = world.action(name, given, GITHUB_SHA=sha(1), AUDIT_TOKEN="hunter2-hunter2")
    assert (ended.code, ended.verdict) == (0, "pass"), ended.log
    if name == "rollback-to-previous-sha":
        assert ended.outputs["to-sha"] == sha(1)
        assert (ended.outputs["rolled-back"] == "true") == (given.get("dry-run") != "true")


SITES = {"api": "api", "www": "web"}


def release(world: World, number: int, verdict: str, environment: str) -> None:
    """A deploy to an environment, with the digest that the READMEs write."""
    world.build(number)
    (world.folder / "database").write_text("")
    lines = "\n".join(f"{name}=ghcr.io/org/{name}@{digest(number)}" for name in world.services)
    images = world.read("images")
    for name in world.services:
        images[f"ghcr.io/org/{name}@{digest(number)}"] = images[f"registry.example.com/{name}@{digest(number)}"] = {}
    world.write("images", images)
    assert world.start(number, environment=environment, services=lines).code == 0
    assert world.finish(number, verdict, environment=environment, services=lines).code == 0
