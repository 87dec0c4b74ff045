"""The layouts of two real repositories (tests/data/pipeline_files), run by act: every lane of their files, with stand-in tools.

act starts no containers, so the lanes run without theirs. Everything else of the files is as a team would write it.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from cicd_actions.toolkit.yaml12 import plain, read
from demo.export import PLACEHOLDER_SHA
from tests.e2e.workflows.conftest import ROOT, Consumer
from tests.e2e.workflows.test_verify import document, jobs
from tests.harness import repositories
from tests.harness.action import run as command

FILES = ROOT / "tests" / "data" / "pipeline_files"
SHARED = {"uv.lock": "", "README.md": "Text.\n", "frontend/src/client/sdk.gen.ts": document("/items")}
LAYOUTS: dict[str, tuple[dict[str, str], dict[str, int]]] = {
    # the files beside the pipeline file's own, and how many jobs of each name there are
    "platform": (
        {**SHARED, "platform/app.py": "", "frontend/pnpm-lock.yaml": "", "frontend/package.json": "{}"},
        {"plan": 1, "lane": 2, "spec": 1, "client": 1, "check": 1},
    ),
    "workspace": (
        {**SHARED, "backend/app/main.py": "", "backend/coverage.xml": "", "bun.lock": "", "frontend/package.json": "{}"},
        {"plan": 1, "lane": 2, "spec": 1, "client": 1, "check": 1},
    ),
}
TOOL = """#!/bin/sh
# Exports the document, generates the client from it, writes reports; else it only says what it was asked for.
echo "$(basename "$0") $*"
for last; do :; done
case "$*" in
    *openapi-ts*) for word; do case "$word" in */openapi.json) cp "$word" src/client/sdk.gen.ts ;; esac; done ;;
    */openapi.json) cp "$DOCUMENT" "$last" ;;
    */openapi-of-*.json) cp "$DOCUMENT" "$last" ;;
    *--junitxml*) echo '<testsuites/>' > junit.xml ;;
    *tests-start*) echo '<coverage line-rate="0.95"/>' > coverage.xml ;;
esac
"""


@pytest.fixture
def tools(tmp_path: Path) -> dict[str, str]:
    folder = tmp_path / "tools"
    folder.mkdir()
    for name in ("uv", "pnpm", "bun", "bunx"):
        (folder / name).write_text(TOOL)
        (folder / name).chmod(0o755)
    (tmp_path / "openapi.json").write_text(document("/items"))
    return {"folder": str(folder), "DOCUMENT": str(tmp_path / "openapi.json")}


def with_tools(environment: dict[str, str], tools: dict[str, str]) -> dict[str, str]:
    return {"PATH": f"{tools['folder']}{os.pathsep}{environment['PATH']}", "DOCUMENT": tools["DOCUMENT"]}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layout_of_a_real_repository_is_green_in_every_lane(
    name: str, consumer: Consumer, environment: dict[str, str], tools: dict[str, str]
) -> None:
    described: Any = plain(read((FILES / f"{name}.yml").read_text("utf-8")).root)
    for lane in described["lanes"].values():
        named = set(lane.pop("backing", {}))
        lane["env"] = {key: text for key, text in lane.get("env", {}).items() if not any(f"{{{each}" in text for each in named)}
    files, expected = LAYOUTS[name]
    consumer.calls("verify.yml", {})
    consumer.describes(described)
    consumer.commit(files)
    run = consumer.run(step_environment=with_tools(environment, tools))
    results = jobs(run.results())
    assert set(results.values()) == {"success"}, run.log()
    counted = {each: sum(job.rpartition("-")[0] == each or job == each for job in results) for each in expected}
    assert counted == expected, results
    for lane in described["lanes"].values():
        for check in lane["checks"].values():
            command = check if isinstance(check, str) else check["run"]
            assert command.split('"')[0].strip() in run.log(), command


def test_guide_leads_from_nothing_to_green_without_an_edit(
    consumer: Consumer, environment: dict[str, str], tools: dict[str, str]
) -> None:
    """docs/adopting.md, its third step in order: init, check, plan, and a run that names the check to require."""
    consumer.commit({**repositories.files("api-at-root"), "frontend/src/client/sdk.gen.ts": document("/items")})
    ended = command("init", {"commit": PLACEHOLDER_SHA}, consumer.folder)
    assert ended.code == 0, ended.log
    consumer.commit({})
    assert command("init", {"check": "true"}, consumer.folder).code == 0
    planned = command("plan", {"event": "pull_request", "changed": "frontend/app.ts"}, consumer.folder)
    assert (planned.outputs["lanes"], planned.outputs["clients"]) == ("[]", '["web"]')
    file = consumer.folder / ".github" / "cicd.yml"
    text = re.sub(r"    (backing|env):\n(      .*\n)+", "", file.read_text())  # act starts no containers
    consumer.commit({".github/cicd.yml": text})
    run = consumer.run(step_environment=with_tools(environment, tools))
    assert set(run.results().values()) == {"success"}, run.log()
    assert len(run.results()) == 5
    assert "uv run --frozen pytest tests/unit -m not integration" in run.log()
