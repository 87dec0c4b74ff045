"""`init` on stand-ins with the layouts of real repositories: what it writes is valid, and it says what it could not tell."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from cicd_actions.pipeline_file.model import Pipeline
from cicd_actions.pipeline_file.reading import load
from tests.harness.action import Ended, run

FASTAPI = """[project]
requires-python = ">=3.12"
dependencies = ["fastapi", "alembic", "asyncpg"]
[dependency-groups]
dev = ["ruff", "mypy", "pytest"]
"""


def package(*dev: str, **scripts: str) -> str:
    return json.dumps({"scripts": scripts, "devDependencies": dict.fromkeys(dev, "1")})


LAYOUTS: dict[str, dict[str, str]] = {
    "two apps": {
        "apps/api/pyproject.toml": FASTAPI,
        "apps/api/uv.lock": "",
        "apps/api/alembic.ini": "",
        "apps/api/scripts/export_openapi.py": "",
        "apps/web/package.json": package(
            "openapi-typescript", lint="eslint .", typecheck="tsc", test="vitest run", build="vite build"
        ),
        "apps/web/pnpm-lock.yaml": "",
        "apps/web/src/api/generated.d.ts": "",
        "infra/api.Dockerfile": "FROM x\nCMD alembic upgrade head && serve\n",
    },
    "workspaces locked at the root": {
        "pyproject.toml": '[tool.uv.workspace]\nmembers = ["backend"]\n',
        "uv.lock": "",
        "package.json": json.dumps({"workspaces": ["frontend"], "scripts": {"dev": "x"}}),
        "bun.lock": "",
        "backend/pyproject.toml": FASTAPI.replace("asyncpg", "psycopg[binary]"),
        "backend/Dockerfile": "FROM x\n",
        "frontend/package.json": package("@hey-api/openapi-ts", lint="biome check", build="vite build", test="vitest"),
        "frontend/src/client/sdk.gen.ts": "",
        "compose.yml": "services:\n  db:\n    image: postgres:latest\n",
    },
    "api at the root": {
        "pyproject.toml": FASTAPI,
        "poetry.lock": "",
        "frontend/package.json": package(lint="next lint", build="next build"),
        "frontend/yarn.lock": "",
        ".nvmrc": "v22.3.0\n",
        ".github/workflows/old.yml": "on: pull_request_target\njobs: {}\n",
    },
    "django with pip": {
        "manage.py": "",
        "requirements.txt": "django\npsycopg2-binary\nredis\npytest\n",
        "Dockerfile": "FROM x\n",
    },
    "node alone": {
        "package.json": package(lint="eslint .", test='echo "Error: no test specified" && exit 1'),
        "package-lock.json": "",
    },
    "nothing known": {"main.go": "package main\n"},
}


def repository(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    for words in (
        ["init", "-q", "-b", "main"],
        ["remote", "add", "origin", "git@github.com:Org/shop.git"],
        ["add", "-A"],
        ["-c", "user.name=x", "-c", "user.email=x@example.com", "commit", "-qm", "x"],
    ):
        subprocess.run(["git", *words], cwd=folder, check=True)
    return folder


def go(folder: Path, **inputs: Any) -> Ended:
    return run("init", inputs, folder)


@pytest.fixture(params=LAYOUTS, ids=lambda name: name.replace(" ", "-"))
def made(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    folder = repository(tmp_path, LAYOUTS[request.param])
    ended = go(folder)
    assert ended.code == 0, ended.log
    return request.param, folder


def test_init_writes_a_valid_file_that_fits(made: tuple[str, Path]) -> None:
    name, folder = made
    pipeline = load(folder / ".github" / "cicd.yml")
    assert (
        list(pipeline.lanes)
        == {
            "two apps": ["api", "web"],
            "workspaces locked at the root": ["api", "web"],
            "api at the root": ["api", "web"],
            "django with pip": ["api"],
            "node alone": ["web"],
            "nothing known": [],
        }[name]
    )
    assert go(folder, check="true").code == 0


def written(folder: Path, layout: str) -> tuple[Pipeline, str, Ended]:
    ended = go(repository(folder, LAYOUTS[layout]))
    path = folder / ".github" / "cicd.yml"
    return load(path), path.read_text(), ended


def test_init_two_apps_are_coupled_by_the_document(tmp_path: Path) -> None:
    pipeline, text, _ = written(tmp_path, "two apps")
    api, web = pipeline.lanes["api"], pipeline.lanes["web"]
    assert list(api.checks) == ["lint", "format", "types", "test"]
    assert api.prepare == ("uv run --frozen alembic upgrade head",)
    assert api.env == {"DATABASE_URL": "postgresql+asyncpg://postgres@{postgres}/postgres"}
    assert api.openapi == "uv run --frozen python scripts/export_openapi.py {spec}"
    assert web.client
    assert (web.client.of, web.client.path) == ("api", ("src/api/generated.d.ts",))
    assert web.checks["lint"].run == "pnpm run lint"
    assert 'directory: "apps/api"' in text
    assert "# apps/api/alembic.ini exists" in text
    assert pipeline.images["api"].repository == "ghcr.io/org/shop/api"


def test_init_says_what_it_could_not_tell_and_what_to_look_at(tmp_path: Path) -> None:
    _, _, ended = written(tmp_path, "workspaces locked at the root")
    said = ended.log
    for part in (
        "backend uses FastAPI: add `openapi`", "The lane `web` has a generated client: add `client`",
        "scripts.test of frontend/package.json may wait for changes", "compose.yml runs an image tagged `latest`",
    ):  # fmt: skip
        assert part in said or part in json.dumps(ended.outputs), said


def test_init_overwrites_nothing_unless_it_is_forced(tmp_path: Path) -> None:
    folder = repository(tmp_path, LAYOUTS["node alone"])
    (folder / "SECRETS.md").write_text("ours\n")
    ended = go(folder)
    assert ended.code == 1
    assert "Refused to overwrite SECRETS.md." in ended.findings[0]["message"]
    assert not (folder / ".github").exists()
    assert go(folder, force="true").code == 0


def test_init_check_names_what_does_not_exist(tmp_path: Path) -> None:
    folder = repository(
        tmp_path, {**LAYOUTS["node alone"], ".github/cicd.yml": "version: 1\nlanes: {api: {directory: apps/gone}}\n"}
    )
    ended = go(folder, check="true")
    assert ended.code == 1
    assert "lanes.api.directory: apps/gone" in ended.findings[0]["message"]
