"""What `init` guesses from the layouts of real repositories: a valid file each, and what could not be determined is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from cicd_actions.pipeline import starting_files
from cicd_actions.pipeline.detection import detect
from cicd_actions.pipeline.detection.model import Found, Repository
from cicd_actions.pipeline.init import code_variables, valid
from cicd_actions.pipeline_file import reading
from tests.harness import repositories
from tests.harness.golden import Golden


def found(folder: Path, files: dict[str, str]) -> Found:
    repositories.write(folder, files)
    return detect(Repository("acme/shop", list(files), lambda name: files.get(name, ""), code_variables(folder)))


@pytest.mark.parametrize("name", repositories.NAMES)
def test_detect_real_layout_gives_a_valid_file_and_says_what_it_could_not_tell(
    name: str, tmp_path: Path, golden: Golden
) -> None:
    guessed = found(tmp_path, repositories.files(name))
    text = starting_files.pipeline(guessed)
    reading.parse(text)
    uncommented = text.replace("# release:", "release:").replace("\n# ", "\n")
    reading.parse("\n".join(line for line in uncommented.splitlines() if not line.startswith(("What", "A comment"))))
    told = [f"- {line}" for line in guessed.unknown] + [f"- Look: {line}" for line in guessed.flags]
    golden.hold(f"init/{name}", "\n".join(["```yaml", text + "```", "", *told, ""]))


@pytest.mark.parametrize("value", ["1e999", "9" * 5000, "true", '"node >= 20"', '["node >= 20"]', "[null]"], ids=range(6))
@pytest.mark.parametrize("key", ["engines", "dependencies", "workspaces", "scripts"])
def test_detect_package_with_a_value_of_another_type_is_read(key: str, value: str, tmp_path: Path) -> None:
    guessed = found(tmp_path, {"package.json": f'{{"scripts": {{"test": "vitest"}}, "{key}": {value}}}'})
    assert bool(guessed.lanes) is (key != "scripts")


@pytest.mark.parametrize("value", ["1e999", "9" * 5000, "true", "text", "[null]"], ids=range(5))
@pytest.mark.parametrize("key", ["environment: {}", "build: {{args: {}}}"], ids=["environment", "args"])
def test_detect_compose_file_with_a_value_of_another_type_is_read(key: str, value: str, tmp_path: Path) -> None:
    content = f"services: {{db: {{image: 'postgres:16', {key.format(value)}}}}}\n"
    assert found(tmp_path, {"compose.yaml": content}).lanes == {}


HOSTILE = """
on: push
jobs:
  test:
    runs-on: self-hosted
    environment: "prod # yes"
    services:
      db: {image: "$REGISTRY/postgres:15", ports: ["5432:5432"], env: {"A B": x}}
      "Search Engine": {image: "elastic:8", ports: ["99999"], env: {"bad: name": x, good.name: y}}
    steps:
      - {run: "pytest 'unbalanced", working-directory: api}
      - {run: "docker stack deploy -c s.yml x"}
      - uses: docker/build-push-action@v6
        with: {context: api, file: api/Dockerfile, tags: "$REGISTRY/App:latest", target: "Prod Stage"}
"""


def test_valid_whatever_the_repository_holds_the_file_is_valid_and_says_what_was_left_out(tmp_path: Path) -> None:
    files = {
        **PYTHON,
        ".github/workflows/x.yml": HOSTILE,
        "api/Dockerfile": "FROM x\nEXPOSE 1\n",
        "compose.yml": "services: {'Ä ö!': {build: api, ports: ['1']}, b: {build: {context: api}, healthcheck: {test: curl http://localhost/a}}}\n",
        "package.json": '{"scripts": {"lint": "x", "test": "\\u0000"}, "engines": {"node": ">=x"}}',
    }
    guessed = found(tmp_path, files)
    valid(guessed)
    pipeline = reading.parse(starting_files.pipeline(guessed))
    assert pipeline.lanes["api"].checks["test"].run == "uv run --frozen pytest --junitxml junit.xml"
    assert pipeline.release
    assert [each.name for each in pipeline.release.environments] == ["staging", "production"]
    assert any(line.startswith("Left out") for line in guessed.unknown), guessed.unknown


def checks(lane_of: Found, name: str) -> dict[str, object]:
    return {check: guess.value for check, guess in lane_of.lanes[name]["checks"].value.items()}


PYTHON = {"api/uv.lock": "", "api/tests/test_x.py": "", "api/pyproject.toml": '[project]\ndependencies = ["ruff", "pytest"]\n'}


MYSQL = {"image": "mysql:8.4", "env": {"MYSQL_ROOT_PASSWORD": "root", "MYSQL_DATABASE": "app"}}


@pytest.mark.parametrize(
    ("driver", "backing", "url"),
    [
        ("aiomysql", {"mysql": MYSQL}, "mysql+aiomysql://root:root@{mysql}/app"),
        ("mysqlclient", {"mysql": MYSQL}, "mysql://root:root@{mysql}/app"),
        ("mariadb", {"mysql": {**MYSQL, "image": "mariadb:11"}}, "mariadb+mariadbconnector://root:root@{mysql}/app"),
        ("aiosqlite", None, "sqlite+aiosqlite:///ci.db"),
        ("psycopg", {"postgres": "postgres:17"}, "postgresql+psycopg://postgres@{postgres}/postgres"),
    ],
)
def test_detect_driver_tells_the_database_and_its_address(driver: str, backing: object, url: str, tmp_path: Path) -> None:
    files = {
        **PYTHON,
        "api/pyproject.toml": f'[project]\ndependencies = ["{driver}", "alembic", "pytest"]\n',
        "api/alembic.ini": "",
        "api/settings.py": 'import os\nurl, user = os.environ["DATABASE_URL"], os.environ.get("DB_USER")\n',
    }
    if driver == "mariadb":
        files["compose.yml"] = "services: {db: {image: 'mariadb:11'}}"
    guessed = found(tmp_path, files)
    reading.parse(starting_files.pipeline(guessed))
    lane = guessed.lanes["api"]
    held = {name: guess.value for name, guess in lane["backing"].value.items()} if "backing" in lane else None
    assert held == backing
    assert lane["env"].value["DATABASE_URL"].value == url
    assert lane["prepare"].value == ["uv run --frozen alembic upgrade head"]


@pytest.mark.parametrize("switch", ["fix = true", "fix-only = true"])
def test_detect_tool_that_fixes_by_itself_is_told_to_check_only(switch: str, tmp_path: Path) -> None:
    text = PYTHON["api/pyproject.toml"] + f"[tool.ruff]\n{switch}\n"
    guessed = found(tmp_path, {**PYTHON, "api/pyproject.toml": text})
    assert checks(guessed, "api")["lint"] == "uv run --frozen ruff check --no-fix ."


@pytest.mark.parametrize("script", ["eslint . --fix", "biome check --write .", "prettier --write ."])
def test_detect_script_that_rewrites_is_held_by_git(script: str, tmp_path: Path) -> None:
    guessed = found(tmp_path, {"package.json": f'{{"scripts": {{"lint": "{script}"}}}}', "pnpm-lock.yaml": ""})
    assert checks(guessed, "web") == {"lint": "bash -c 'pnpm run lint && git diff --exit-code'"}


def test_detect_command_of_a_workflow_counts_before_the_usual_one(tmp_path: Path) -> None:
    steps = "- {run: uv run pytest -m 'not slow' tests/unit, working-directory: api}"
    workflow = {".github/workflows/x.yml": f"on: push\njobs: {{t: {{runs-on: x, steps: [{steps[2:]}]}}}}\n"}
    guessed = found(tmp_path, {**PYTHON, **workflow})
    test = checks(guessed, "api")["test"]
    assert test == {"run": "uv run --frozen pytest -m 'not slow' tests/unit --junitxml junit.xml", "junit": "junit.xml"}


@pytest.mark.parametrize(
    ("where", "install"),
    [
        ("[dependency-groups]\ndev = ['pytest']\n", None),
        ("[dependency-groups]\ndev = [{include-group = 'test'}]\ntest = ['pytest>=8']\n", None),
        ("[dependency-groups]\ntest = [\n  'pytest>=8',  # a comment, with [brackets]\n]\n", "uv sync --frozen --group test"),
        ("[project.optional-dependencies]\ndev = ['pytest']\n", "uv sync --frozen --extra dev"),
        ("[project]\noptional-dependencies.dev = ['pytest']\n", "uv sync --frozen --extra dev"),
    ],
)
def test_detect_installs_what_the_checks_need(where: str, install: str | None, tmp_path: Path) -> None:
    guessed = found(tmp_path, {**PYTHON, "api/pyproject.toml": where})
    lane = guessed.lanes["api"]
    assert (lane["install"].value if "install" in lane else None) == install


@pytest.mark.parametrize(
    ("copied", "context"), [("src /x", "api"), ("uv.lock /x", "."), ("--from=base x y", "api"), ("gone /x", ".")]
)
def test_detect_context_is_the_folder_where_everything_copied_exists(copied: str, context: str, tmp_path: Path) -> None:
    files = {"api/Dockerfile": f"FROM x\nCOPY {copied}\n", "api/src/x": "", "uv.lock": ""}
    guessed = found(tmp_path, files)
    assert guessed.images["api"]["context"].value == context
    assert ("gone" in copied) == any("build context" in line for line in guessed.unknown)


def test_detect_tools_that_change_what_a_release_is_are_flagged(tmp_path: Path) -> None:
    files = {
        "Dockerfile": "FROM x\nARG VITE_API_URL\nCMD alembic upgrade head && serve\n",
        "compose.yml": "services: {app: {image: 'acme/app:latest'}}\n",
        ".github/workflows/old.yml": "on: pull_request_target\njobs: {x: {uses: ./a.yml, secrets: inherit}}\n",
        ".env": "SECRET=1\n",
    }
    said = "\n".join(found(tmp_path, files).flags)
    for part in (
        "bakes VITE_API_URL",
        "migrates the database at start",
        "tagged `latest`",
        "pull_request_target",
        "inherit",
        ".env",
    ):
        assert part in said


TESTED = """
on: push
jobs:
  test:
    runs-on: x
    strategy: {matrix: {python-version: ["3.9", "3.10"]}}
    services:
      postgres:
        image: postgres:15
        ports: ["5432:5432"]
        env: {POSTGRES_USER: shop, POSTGRES_PASSWORD: pw, POSTGRES_DB: shop_test}
    env: {LEVEL: debug}
    steps:
      - {uses: actions/setup-python@v5, with: {python-version: "${{ matrix.python-version }}"}}
      - run: |
          alembic upgrade head
          pytest
        working-directory: api
        env: {DB: "postgresql://shop:pw@localhost:5432/shop_test", TOKEN: "${{ secrets.TOKEN }}", PYTHONPATH: ".", DEBUG: true}
"""


def test_detect_lane_gets_what_the_workflow_gives_its_tests(tmp_path: Path) -> None:
    """Its variables, with the address of its container, that container's user, and its newest Python."""
    requires = PYTHON["api/pyproject.toml"].replace('"pytest"', '"pytest", "asyncpg"')
    guessed = found(tmp_path, {**PYTHON, "api/pyproject.toml": requires, ".github/workflows/x.yml": TESTED})
    lane = guessed.lanes["api"]
    assert lane["python"].value == "3.10"
    assert {name: guess.value for name, guess in lane["env"].value.items()} == {
        "LEVEL": "debug",
        "DB": "postgresql://shop:pw@{postgres}/shop_test",
        "DEBUG": "true",
    }
    env = {"POSTGRES_USER": "shop", "POSTGRES_PASSWORD": "pw", "POSTGRES_DB": "shop_test"}
    assert lane["backing"].value["postgres"].value == {"image": "postgres:15", "env": env}


def test_detect_variable_that_the_code_needs_has_the_value_of_an_example(tmp_path: Path) -> None:
    code = 'import os\n\nKEY, URL = os.environ["KEY"], os.environ["DATABASE_URL"]\nREDIS = os.environ.get("REDIS_URL")\n'
    files = {
        **PYTHON,
        "api/pyproject.toml": PYTHON["api/pyproject.toml"].replace('"pytest"', '"pytest", "asyncpg", "psycopg2"'),
        "api/app.py": code,
        "api/.env.example": "KEY='a b'\nREDIS_URL=redis://localhost/1\nOTHER=x\n",
        "compose.yml": "services:\n  api: {build: api, environment: ['DATABASE_URL=postgresql://u:p@db/n']}\n"
        "  db: {image: 'postgres:16'}\n",
    }
    env = found(tmp_path, files).lanes["api"]["env"].value
    told = {name: guess.value for name, guess in env.items()}
    # The scheme is the repository's, whatever driver is required; and there is no Redis to lead to.
    assert told == {"KEY": "a b", "DATABASE_URL": "postgresql://u:p@{postgres}/n"}


@pytest.mark.parametrize(
    ("files", "run"),
    [
        ({"manage.py": "", "shop/tests.py": "from django.test import TestCase\n"}, "python manage.py test"),
        ({"tests.py": "import unittest\n"}, "python -m unittest discover"),
        ({"tests/test_a.py": "from unittest import TestCase\n"}, "python -m unittest discover"),
        ({"tests/data.py": "x = 1\n"}, ""),
    ],
)
def test_detect_tests_without_pytest_run(files: dict[str, str], run: str, tmp_path: Path) -> None:
    guessed = found(tmp_path, {"requirements.txt": "django\n", **files})
    assert [checks(guessed, name) for name in guessed.lanes] == ([{"test": run}] if run else [])


@pytest.mark.parametrize(
    ("text", "manager", "install"),
    [
        ("[tool.poetry.group.dev.dependencies]\npytest = '*'\n", "poetry", None),
        ("[dependency-groups]\ndev = ['pytest']\n", None, "uv sync"),
    ],
)
def test_detect_project_without_a_lock_file_installs_by_the_manager_that_it_names(
    text: str, manager: str | None, install: str | None, tmp_path: Path
) -> None:
    """`--frozen` would fail, and so would another manager."""
    lane = found(tmp_path, {"api/pyproject.toml": text, "api/tests/test_x.py": ""}).lanes["api"]
    python = lane["python"].value
    assert (python["manager"].value if isinstance(python, dict) else None) == manager
    assert (lane["install"].value if "install" in lane else None) == install
    assert "--frozen" not in str(lane["checks"].value["test"].value)


def test_detect_workspace_whose_members_have_no_scripts_is_the_lane_of_its_root(tmp_path: Path) -> None:
    scripts = '{"workspaces": ["packages/*"], "scripts": {"test": "bun test", "typecheck": "tsc"}}'
    files = {"package.json": scripts, "bun.lock": "", "packages/core/package.json": '{"name": "core"}'}
    assert checks(found(tmp_path, files), "web") == {"types": "bun run typecheck", "test": "bun run test"}


@pytest.mark.parametrize("command", ["yarn test", "yarn run test", "yarn --frozen-lockfile", "yarn install --frozen-lockfile"])
def test_detect_command_that_a_lane_runs_is_not_said_to_be_lost(command: str, tmp_path: Path) -> None:
    workflow = f"on: push\njobs: {{t: {{runs-on: x, steps: [{{run: {command}}}]}}}}\n"
    files = {"package.json": '{"scripts": {"test": "jest"}}', "yarn.lock": "", ".github/workflows/x.yml": workflow}
    assert not [line for line in found(tmp_path, files).unknown if "no lane does" in line]


def test_detect_infrastructure_as_code_is_said(tmp_path: Path) -> None:
    files = {**PYTHON, "infra/main.tf": "", "examples/x/main.tf": ""}
    assert [line for line in found(tmp_path, files).unknown if "infrastructure" in line] == [
        "infra holds infrastructure as code: `infrastructure` plans and applies it with a release."
    ]


POETRY = """
[tool.poetry.dependencies]
python = '^3.12'
[tool.poetry.group.dev]
optional = {}
[tool.poetry.group.dev.dependencies]
pytest = '*'
"""


@pytest.mark.parametrize(("optional", "install"), [("true", "poetry install --no-interaction --with dev"), ("false", None)])
def test_detect_optional_group_of_poetry_is_installed_by_name(optional: str, install: str | None, tmp_path: Path) -> None:
    files = {"pyproject.toml": POETRY.format(optional), "poetry.lock": "", "tests/test_x.py": ""}
    lane = found(tmp_path, files).lanes["api"]
    assert (lane["install"].value if "install" in lane else None) == install


@pytest.mark.parametrize(
    ("step", "command"),
    [
        ("", "python src/manage.py test src"),
        (
            "coverage run --source='src/' src/manage.py test src/shop --parallel",
            "python src/manage.py test src/shop --parallel",
        ),
    ],
)
def test_detect_django_in_a_folder_of_the_lane_looks_for_its_tests_there(step: str, command: str, tmp_path: Path) -> None:
    """From the lane's folder it would find none, and no test is a success."""
    workflow = f"on: push\njobs: {{t: {{runs-on: x, steps: [{{run: '{step.replace(chr(39), '')}'}}]}}}}\n"
    files = {"requirements.txt": "django\n", "src/manage.py": "", "src/shop/tests.py": "import django\n"}
    guessed = found(tmp_path, {**files, ".github/workflows/x.yml": workflow})
    assert checks(guessed, "api") == {"test": command}


def test_detect_what_only_a_run_knows_and_what_a_workflow_installs_is_said(tmp_path: Path) -> None:
    workflow = """
on: push
jobs:
  t:
    runs-on: x
    steps:
      - run: pip install -r requirements.txt -U tblib==3 "black[d]"
      - run: pytest
        env: {DB: "${{ matrix.db }}", A: b}
"""
    files = {"requirements.txt": "pytest\n", "tests/test_x.py": "", ".github/workflows/x.yml": workflow}
    guessed = found(tmp_path, files)
    assert {name: guess.value for name, guess in guessed.lanes["api"]["env"].value.items()} == {"A": "b"}
    said = "\n".join(guessed.unknown)
    assert "only a run knows: DB (`${{ matrix.db }}`)" in said
    assert "your workflows install tblib, black, and requirements.txt does not" in said


def test_detect_addresses_lead_to_the_container_with_their_port(tmp_path: Path) -> None:
    job = """
on: push
jobs:
  t:
    runs-on: x
    services:
      ldap: {image: acme/openldap, ports: ["10389:10389"]}
      mysql: {image: "mysql:8", env: {MYSQL_USER: u, MYSQL_PASSWORD: p}, ports: ["3306:3306"]}
      postgres: {image: "postgres:16", ports: ["5432:5432"]}
    steps:
      - run: pytest
        env: {LDAP: "ldap://localhost:10389/dc=x", DB_HOST: localhost, MYSQL_HOST: localhost, ELSE: "http://localhost:9/"}
"""
    files = {"requirements.txt": "pytest\npsycopg2\n", "tests/test_x.py": "", ".github/workflows/x.yml": job}
    lane = found(tmp_path, files).lanes["api"]
    told = {name: guess.value for name, guess in lane["env"].value.items()}
    assert told == {
        "LDAP": "ldap://{ldap}/dc=x",
        "DB_HOST": "{postgres.host}",
        "MYSQL_HOST": "{mysql.host}",
        "ELSE": "http://localhost:9/",
    }
    assert lane["backing"].value["mysql"].value["env"] == {"MYSQL_USER": "u", "MYSQL_PASSWORD": "p"}


def test_detect_checks_of_a_workspaces_root_that_its_one_member_does_not_run_are_a_lane(tmp_path: Path) -> None:
    scripts = '{"scripts": {"test": "jest", "build": "npm run build --workspace lib", "lint": "turbo run lint"}}'
    files = {
        "package.json": scripts,
        "pnpm-workspace.yaml": "",
        "pnpm-lock.yaml": "",
        "lib/package.json": '{"scripts": {"test": "jest", "build": "x"}}',
    }
    guessed = found(tmp_path, files)
    assert (checks(guessed, "web"), checks(guessed, "lib")) == (
        {"test": "pnpm run test"}, {"test": "pnpm run test", "build": "pnpm run build"},
    )  # fmt: skip


def test_detect_the_same_command_in_another_folder_is_said_to_be_lost(tmp_path: Path) -> None:
    workflow = "on: push\njobs: {t: {runs-on: x, steps: [{run: npm test}]}}\n"
    package = '{"scripts": {"test": "jest"}}'
    files = {
        "web/package.json": package,
        "web/package-lock.json": "{}",
        "package.json": "{}",
        ".github/workflows/x.yml": workflow,
    }
    assert not [line for line in found(tmp_path, files).unknown if "no lane does" in line]
    guessed = found(tmp_path, {**files, "requirements.txt": "pytest\n", "tests/test_x.py": ""})
    assert [line for line in guessed.unknown if "no lane does: `npm test`" in line]


def test_detect_one_formatter_and_flask_migrates_own_command(tmp_path: Path) -> None:
    text = "[project]\ndependencies = ['ruff', 'pytest', 'flask-migrate']\n[tool.black]\n"
    guessed = found(tmp_path, {"pyproject.toml": text, "uv.lock": "", "tests/test_x.py": "", "migrations/alembic.ini": ""})
    assert list(checks(guessed, "api")) == ["lint", "test"]
    assert guessed.lanes["api"]["prepare"].value == ["uv run --frozen flask db upgrade"]


def test_detect_pipenv_is_said(tmp_path: Path) -> None:
    assert "Pipfile is not read" in "\n".join(found(tmp_path, {"Pipfile": "", "Pipfile.lock": "{}"}).unknown)


LINTS = "on: push\njobs: {t: {runs-on: x, steps: [{run: ruff check .}]}}\n"
FORMATS = LINTS.replace("}]", "}, {run: ruff format --check .}]")


@pytest.mark.parametrize(
    ("workflow", "hooks", "formats"),
    [("", "", True), (LINTS, "", False), (FORMATS, "", True), (LINTS, "repos: [{hooks: [{id: ruff-format}]}]\n", True)],
)
def test_detect_code_that_is_only_linted_with_ruff_is_not_held_to_its_format(
    workflow: str, hooks: str, formats: bool, tmp_path: Path
) -> None:
    files = {"requirements.txt": "ruff\n", ".github/workflows/x.yml": workflow, ".pre-commit-config.yaml": hooks}
    assert ("format" in checks(found(tmp_path, files), "api")) == formats


def test_detect_deploys_run_where_they_run_today(tmp_path: Path) -> None:
    job = "{runs-on: [self-hosted, shop], steps: [{run: docker compose pull && docker compose up -d}]}"
    files = {"Dockerfile": "FROM x\nEXPOSE 1\n", ".github/workflows/x.yml": f"on: push\njobs: {{deploy: {job}}}\n"}
    release = found(tmp_path, files).release
    assert (release["engine"].value, release["runs-on"].value) == ("docker", ["self-hosted", "shop"])


BACKEND = "FROM python:3.12\nCOPY . .\nEXPOSE 8000\n"


def test_detect_release_builds_what_serves_not_what_tests_migrates_or_helps_to_develop(tmp_path: Path) -> None:
    """A stage that only migrates, a Dockerfile of tests, one for development, and a service behind a profile."""
    compose = """
services:
  migrate: {build: {context: ., target: migrate}, command: alembic upgrade head, restart: on-failure}
  api: {build: {context: ., target: server}, ports: ["8000:8000"]}
  web: {build: {context: web, dockerfile: Dockerfile.dev}}
  browser: {build: {context: web, dockerfile: Dockerfile.playwright}}
  shell: {build: ., profiles: [debug], command: sleep infinity}
  jobs: {build: ., profiles: [production]}
"""
    files = {"compose.yml": compose, "Dockerfile": BACKEND, "web/Dockerfile": BACKEND, "web/Dockerfile.dev": BACKEND}
    guessed = found(tmp_path, {**files, "web/Dockerfile.playwright": BACKEND})
    built = {
        name: (image["dockerfile"].value, image["target"].value if "target" in image else "")
        for name, image in guessed.images.items()
    }
    assert built == {"app": ("Dockerfile", "server"), "web": ("web/Dockerfile", "")}
    assert set(guessed.services) == {"api", "web", "jobs"}
    assert any("shell of compose.yml starts only with the profile debug" in line for line in guessed.unknown)


UP = "on: push\njobs:\n  up:\n    runs-on: [self-hosted, {}]\n    steps: [{{run: docker compose up -d}}]\n"


@pytest.mark.parametrize(
    ("labels", "runs_on", "unknown"),
    [
        (("staging", "production"), [["self-hosted", "staging"], ["self-hosted", "production"]], False),
        (("blue", "production"), [None, ["self-hosted", "production"]], True),
    ],
)
def test_detect_each_environment_has_the_runner_that_reaches_it(
    labels: tuple[str, str], runs_on: list[list[str] | None], unknown: bool, tmp_path: Path
) -> None:
    workflows = {f".github/workflows/{number}.yml": UP.format(label) for number, label in enumerate(labels)}
    guessed = found(tmp_path, {**workflows, "compose.yml": "services: {api: {build: .}}", "Dockerfile": BACKEND})
    assert "runs-on" not in guessed.release
    assert [each.get("runs-on") for each in guessed.release["environments"].value] == runs_on
    assert any("Which runner reaches the environment staging" in line for line in guessed.unknown) is unknown


@pytest.mark.parametrize(
    ("step", "where"),
    [
        ("uses: akhileshns/heroku-deploy@v3", "Heroku"),
        ("run: argocd app sync shop", "Argo CD or Flux"),
        ("{uses: appleboy/ssh-action@v1, with: {script: ./deploy.sh}}", "a server over SSH"),
        ("{uses: appleboy/ssh-action@v1, with: {script: docker compose up -d}}", "compose over ssh"),
    ],
)
def test_detect_platform_of_the_workflows_is_said(step: str, where: str, tmp_path: Path) -> None:
    workflow = f"on: push\njobs:\n  up:\n    runs-on: ubuntu-latest\n    steps:\n      - {step}\n"
    guessed = found(tmp_path, {".github/workflows/d.yml": workflow, "Dockerfile": BACKEND})
    assert any(line.startswith("Where releases run") and where in line for line in guessed.unknown), guessed.unknown


def test_detect_lane_beside_python_gets_its_containers_and_variables(tmp_path: Path) -> None:
    workflow = """
on: push
jobs:
  test:
    runs-on: ubuntu-latest
    services: {db: {image: "postgres:16", env: {POSTGRES_PASSWORD: x}, ports: ["5432:5432"]}}
    defaults: {run: {working-directory: api}}
    steps: [{run: npm test, env: {DATABASE_URL: "postgres://postgres:x@localhost:5432/app"}}]
"""
    package = '{"scripts": {"test": "jest", "check": "tsc --noEmit", "format": "prettier --check ."}}'
    files = {
        ".github/workflows/ci.yml": workflow,
        "api/package.json": package,
        "e2e/package.json": '{"scripts": {"test": "jest"}}',
    }
    guessed = found(tmp_path, files)
    lane = guessed.lanes["api"]
    assert lane["backing"].value["db"].value["image"] == "postgres:16"
    assert lane["env"].value["DATABASE_URL"].value == "postgres://postgres:x@{db}/app"
    assert {name: guess.value for name, guess in lane["checks"].value.items()} == {
        "test": "npm run test", "types": "npm run check", "format": "npm run format",
    }  # fmt: skip
    assert "e2e" not in guessed.lanes


@pytest.mark.parametrize(
    "image", ["ARG PY=3.11-slim\nFROM python:${PY}", "ARG V=3.11\nFROM --platform=linux/amd64 python:$V-slim"]
)
def test_detect_version_that_a_dockerfile_takes_as_an_argument_is_its_default(image: str, tmp_path: Path) -> None:
    guessed = found(tmp_path, {"Dockerfile": image, "requirements.txt": "pytest\n", "tests/test_a.py": ""})
    assert "3.11" in str(guessed.lanes["api"]["python"].value)


def test_detect_each_stage_that_serves_is_an_image(tmp_path: Path) -> None:
    compose = """
services:
  web: {build: {context: ., target: web}}
  api: {build: {context: ., target: api}}
  worker: {build: {context: ., target: api}}
  migrate: {build: {context: ., target: tools}, restart: "no"}
"""
    guessed = found(tmp_path, {"compose.yml": compose, "Dockerfile": BACKEND})
    assert {name: image["target"].value for name, image in guessed.images.items()} == {"web": "web", "api": "api"}
    assert {name: service["image"].value for name, service in guessed.services.items()} == {
        "web": "web",
        "api": "api",
        "worker": "api",
    }


def test_detect_workspace_of_uv_is_checked_with_its_members(tmp_path: Path) -> None:
    root = '[tool.uv.workspace]\nmembers = ["services/*"]\n[dependency-groups]\ndev = ["pytest"]\n'
    member = '[project]\nname = "api"\ndependencies = ["fastapi", "psycopg"]\n'
    files = {
        "pyproject.toml": root,
        "uv.lock": "",
        "services/api/pyproject.toml": member,
        "services/api/src/api/app.py": "app = FastAPI()",
        "services/api/tests/test_a.py": "",
    }
    lane = found(tmp_path, files).lanes["api"]
    assert lane["directory"].value == "."
    assert lane["install"].value == "uv sync --frozen --all-packages"
    assert "postgres" in lane["backing"].value
    assert "import json, sys, api.app;" in lane["openapi"].value


@pytest.mark.parametrize(
    "files",
    [
        {"settings.gradle.kts": "", "build.gradle.kts": "", "api/build.gradle.kts": ""},
        {"pom.xml": "<modules><module>api</module></modules>", "api/pom.xml": ""},
        {"Cargo.toml": "[workspace]", "api/Cargo.toml": ""},
    ],
)
def test_detect_modules_of_one_build_are_one_lane(files: dict[str, str], tmp_path: Path) -> None:
    assert [lane["directory"].value for lane in found(tmp_path, files).lanes.values()] == ["."]
