"""The layouts of two real repositories (tests/data/pipeline_files), run by act: every lane of their files, with stand-in tools.

act starts no containers, so the lanes run without theirs. Everything else of the files is as a team would write it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from cicd_actions.toolkit.yaml12 import plain, read
from tests.e2e.workflows.conftest import ROOT, Consumer
from tests.e2e.workflows.test_verify import document, jobs

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
    path = f"{tools['folder']}{os.pathsep}{environment['PATH']}"
    run = consumer.run(step_environment={"PATH": path, "DOCUMENT": tools["DOCUMENT"]})
    results = jobs(run.results())
    assert set(results.values()) == {"success"}, run.log()
    counted = {each: sum(job.rpartition("-")[0] == each or job == each for job in results) for each in expected}
    assert counted == expected, results
    for lane in described["lanes"].values():
        for check in lane["checks"].values():
            command = check if isinstance(check, str) else check["run"]
            assert command.split('"')[0].strip() in run.log(), command
