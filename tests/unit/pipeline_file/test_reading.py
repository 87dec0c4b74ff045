# ruff: noqa: E501 - a row of a table reads better than its pieces
"""The parser of the pipeline file: what it reads, and what it says of each mistake."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cicd_actions.pipeline_file import backing, reading
from cicd_actions.pipeline_file.lanes import Check
from cicd_actions.pipeline_file.model import Environment, Gate, Migrate, Release, effective
from cicd_actions.pipeline_file.reading import UnusablePipeline, parse
from cicd_actions.toolkit.background import Background
from cicd_actions.toolkit.errors import UnusableInput

FILES = Path(__file__).resolve().parents[2] / "data" / "pipeline_files"
SHOP = (FILES / "shop.yml").read_text("utf-8")


def problems(text: str) -> list[tuple[int, str, str, str]]:
    with pytest.raises(UnusablePipeline) as found:
        parse(text)
    return [(each.line, each.place, each.what, each.fix) for each in found.value.problems]


@pytest.mark.parametrize("file", sorted(FILES.glob("*.yml")), ids=lambda file: file.name)
def test_parse_real_layout_returns_pipeline(file: Path) -> None:
    assert parse(file.read_text("utf-8")).lanes


def test_parse_short_forms_are_the_long_ones() -> None:
    lanes = parse(SHOP).lanes
    assert lanes["api"].checks["lint"] == Check("uv run --frozen ruff check .")
    assert lanes["api"].python is not None
    assert lanes["api"].python.version == ("3.13",)
    assert lanes["api"].install == ("uv sync --frozen",)
    assert lanes["api"].backing["postgres"].image == "postgres:17"
    assert backing.container(lanes["api"].backing["postgres"])["ports"] == ["5432/tcp"]
    assert lanes["web"].client is not None
    assert lanes["web"].client.path == ("src/api/generated.d.ts",)


def change(old: str, new: str) -> str:
    assert old in SHOP
    return SHOP.replace(old, new, 1)


def line(part: str) -> int:
    return next(number for number, text in enumerate(SHOP.splitlines(), 1) if part in text)


@pytest.mark.parametrize(
    ("old", "new", "key", "said", "fix"),
    [
        ('python: "3.13"', "python: 3.10", "lanes.api.python", "YAML reads `3.10` as a number", 'python: "3.10"'),
        ("directory: apps/web", "directry: apps/web", "lanes.web.directry", "Did you mean `directory`?", "directory: …"),
        ("directory: apps/web", "directory: ../web", "lanes.web.directory", "not a path inside the repository", "directory: apps/api"),
        ("JWT_SECRET: ci", "PYTHONPATH: ci", "lanes.api.env.PYTHONPATH", "is refused", "APP_PYTHONPATH: …"),
        ("JWT_SECRET: ci", "GITHUB_TOKEN: ci", "lanes.api.env.GITHUB_TOKEN", "is refused", "APP_GITHUB_TOKEN: …"),
        ("JWT_SECRET: ci", "LD_PRELOAD: ci", "lanes.api.env.LD_PRELOAD", "is refused", "APP_LD_PRELOAD: …"),
        ("@{postgres}/", "@{mysql}/", "lanes.api.env.DATABASE_URL", "stands for no container", "backing:\n  mysql: postgres:17"),
        ("port: 9000\n", "port: none\n", "lanes.api.backing.minio.port", "not a whole number from 1 to 65535", "port: 1"),
        ("        port: 9000\n", "", "lanes.api.backing.minio", "no port is known", "minio: {image: minio/minio:1, port: 9000}"),
        ("lint: pnpm run lint", 'lint: "a && b"', "lanes.web.checks.lint", "belongs to a shell", "lint: bash -c 'a && b'"),
        ("        coverage: coverage.xml\n", "", "lanes.api.checks.test.minimum-coverage", "needs `coverage`", "coverage: coverage.xml"),
        ("of: api", "of: apis", "lanes.web.client.of", "did you mean `api`?", "of: api"),
        ("of: api", "of: web", "lanes.web.client.of", "has no `openapi`", "lanes:\n  web:\n    openapi: uv run"),
        ("image: web", "image: wbe", "services.web.image", "did you mean `web`?", "image: web"),
        ('"header:X-Version"', '"head:X"', "services.web.health.version-from", "", ""),
        ("engine: swarm", "engine: swarms", "release.engine", "is not `swarm`", "engine: swarm"),
        ("engine: swarm", "engine: command", "release.environments.0", "needs `roll-out-command`", "roll-out-command: ./infra"),
        ("name: production", "name: staging", "release.environments.1.name", "stands above already", ""),
        ("production-approval", "production", "release.environments.1.approval-environment", "hold the deploy's lock", "approval"),
        ("require-rollback: true", "infrastructure: {tool: tofu}", "release.environments.1.infrastructure", "needs `directory`", "directory: infra"),
        ("require-rollback: true", "infrastructure: {directory: x, plan: make plan}", "release.environments.1.infrastructure.plan", "does not name the file of the plan", "plan: make plan {plan}"),
        ("require-rollback: true", "infrastructure: {directory: x, outputs: {PATH: p}}", "release.environments.1.infrastructure.outputs.PATH", "is refused", "APP_PATH: …"),
        ("require-rollback: true", "after: dev", "release.environments.1.after", "no environment before it `dev`", ""),
        ("service: api, command", "service: apx, command", "release.migrate.service", "did you mean `api`?", "service: api"),
        ("refs: [refs/heads/main]", "refs: [main]", "release.refs.0", "is not a pattern of full refs", "- refs/heads/main"),
    ],
)  # fmt: skip
def test_parse_mistake_names_line_key_and_fix(old: str, new: str, key: str, said: str, fix: str) -> None:
    found = next(each for each in problems(change(old, new)) if each[1] == key)
    assert said in found[2]
    assert found[3].startswith(fix) or fix in found[3]
    where = line(old.splitlines()[0].strip() or old.strip())
    assert abs(found[0] - where) <= 4


def test_parse_fifth_image_with_a_runner_is_one_too_many() -> None:
    images = "".join(f"  i{number}: {{repository: x/y{number}, runs-on: arm}}\n" for number in range(5))
    ((_, key, said, _),) = problems(change("images:\n", f"images:\n{images}"))
    assert (key, "4 images have a runner already" in said) == ("images.i4.runs-on", True)


def test_parse_many_mistakes_are_said_at_once_in_the_order_of_the_file() -> None:
    text = change("of: api", "of: apis").replace("image: web", "image: wbe").replace("JWT_SECRET", "BASH_ENV")
    with pytest.raises(UnusablePipeline) as found:
        parse(text, "ci/cicd.yml")
    said = str(found.value)
    assert [each.place for each in found.value.problems] == [
        "lanes.api.env.BASH_ENV", "lanes.web.client.of", "services.web.image",
    ]  # fmt: skip
    assert f"ci/cicd.yml:{line('of: api')}: `lanes.web.client.of`: there is no lane `apis`; did you mean `api`?" in said
    assert f"    # line {line('of: api')}\n    of: api" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it is empty"),
        ("version: 1\nversion: 1\n", "not YAML"),
        ("a: [", "not YAML"),
        ("version: 1\n", "the key `lanes` is missing"),
        ("version: 2\nlanes: {}\n", "`2` is not `1`"),
        ("- a\n", "it is a list"),
        ("version: 1\nlanes: {A: {}}\n", "is not a name of lower-case letters"),
    ],
)
def test_parse_unusable_text_says_why(text: str, said: str) -> None:
    assert any(said in each[2] for each in problems(text))


def test_load_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UnusableInput, match="cicd-actions init"):
        reading.load(tmp_path / "cicd.yml")


def test_link_to_a_pipe_without_a_writer_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "cicd.yml").symlink_to("pipe")
    with pytest.raises(UnusableInput, match="it is not a plain file"):
        Background(lambda: reading.load(tmp_path / "cicd.yml")).result(30)


def test_effective_environment_overrides_one_level_deep() -> None:
    release = Release(
        engine="swarm",
        migrate=Migrate("api", "alembic upgrade head"),
        gate=Gate("5m", "20s"),
        urls={"api": "https://a", "web": "https://w"},
    )
    environment = Environment(
        name="x", engine="docker", migrate=Migrate(timeout="1h"), gate=Gate(stable_for="0s"), urls={"web": "https://x"}
    )
    found = effective(release, environment)
    assert found["engine"] == "docker"
    assert found["migrate"] == Migrate("api", "alembic upgrade head", "1h")
    assert found["gate"] == Gate("5m", "0s")
    assert found["urls"] == {"api": "https://a", "web": "https://x"}
    assert "stack" not in found
