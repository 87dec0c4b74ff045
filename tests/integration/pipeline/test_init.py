"""`init` on stand-ins with the layouts of real repositories: what it writes is valid, and it says what it could not tell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cicd_actions.pipeline_file.model import Pipeline
from cicd_actions.pipeline_file.reading import load
from tests.harness import repositories
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
        "apps/api/tests/test_app.py": "",
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
    "node alone": {
        "package.json": package(lint="eslint .", test='echo "Error: no test specified" && exit 1'),
        "package-lock.json": "",
    },
}


repository = repositories.committed


def go(folder: Path, **inputs: Any) -> Ended:
    return run("init", inputs, folder)


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
    assert go(tmp_path, check="true").code == 0


def test_init_says_what_it_could_not_tell_and_what_to_look_at(tmp_path: Path) -> None:
    _, _, ended = written(tmp_path, "workspaces locked at the root")
    said = ended.log
    for part in (
        "backend uses FastAPI: add `openapi`", "The lane `web` has a generated client: add `client`",
        "compose.yml runs an image tagged `latest`", "require the check `verify / check`",
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


def test_init_release_comes_with_rollback_lock_and_what_is_to_be_set(tmp_path: Path) -> None:
    ended = go(repository(tmp_path, {**repositories.files("uv-bun-workspace"), "go.sh": ""}), commit="a" * 40)
    assert ended.code == 0, ended.log
    pipeline = load(tmp_path / ".github" / "cicd.yml")
    assert pipeline.release
    assert pipeline.release.migrate
    assert [each.name for each in pipeline.release.environments] == ["staging", "production"]
    workflows = {path.name: path.read_text() for path in (tmp_path / ".github" / "workflows").iterdir()}
    for name, called in (("pipeline", "verify"), ("pipeline", "release"), ("rollback", "rollback")):
        assert f"uses: org/cicd-actions/.github/workflows/{called}.yml@{'a' * 40}" in workflows[f"{name}.yml"]
    assert "options: [staging, production]" in workflows["lock.yml"]
    secrets = (tmp_path / "SECRETS.md").read_text()
    assert "`DEPLOY_ENV`" in secrets
    assert "`SECRET_KEY`" in secrets
