"""What a lane needs beside it: the containers, the variables that lead to them, and the migrations that prepare them."""

from __future__ import annotations

import posixpath
import re
from typing import Any

from cicd_actions.pipeline.detection import compose
from cicd_actions.pipeline.detection.model import Entry, Found, Guess, Repository, inside
from cicd_actions.pipeline.detection.pyproject import Project
from cicd_actions.pipeline.detection.standing import Standing
from cicd_actions.pipeline_file.backing import KNOWN, known
from cicd_actions.pipeline_file.rules import REFUSED_ENV

_DRIVERS = {
    "asyncpg": "postgresql+asyncpg",
    "psycopg": "postgresql+psycopg",
    "psycopg2": "postgresql",
    "psycopg2-binary": "postgresql",
    "pymysql": "mysql+pymysql",
    "aiomysql": "mysql+aiomysql",
    "asyncmy": "mysql+asyncmy",
    "mysqlclient": "mysql",
    "mysql-connector-python": "mysql+mysqlconnector",
    "mariadb": "mariadb+mariadbconnector",
    "aiosqlite": "sqlite+aiosqlite",
}
_MYSQL_ENV = {"MYSQL_ROOT_PASSWORD": "root", "MYSQL_DATABASE": "app"}
"""The images of MySQL and MariaDB both take these, and make the database."""
_IMAGES = {
    "postgres": (frozenset({"postgres", "pgvector", "postgis"}), "postgres:17"),
    "mysql": (frozenset({"mysql", "mariadb"}), "mysql:8.4"),
    "redis": (frozenset({"redis", "valkey"}), "redis:8"),
}
"""By the container's name: the repositories' last words that are this kind, and a usual image."""
_ADDRESS = re.compile(r"(?:^|_)(DATABASE|DB|POSTGRES|POSTGRESQL|PG|MYSQL|MARIADB|REDIS|CACHE)_*(URL|URI|DSN)\Z", re.IGNORECASE)
_PART = re.compile(
    r"(?:^|_)(DATABASE|DB|POSTGRES|POSTGRESQL|PG|MYSQL|MARIADB|REDIS)_*(HOST|SERVER|PORT|USER|USERNAME|PASSWORD|PASS|DB|DATABASE|NAME)\Z",
    re.IGNORECASE,
)


def database(
    repository: Repository, standing: Standing, found: Found, folder: str, lane: Entry, project: Project, prefix: str
) -> str:
    """Adds `backing`, `env` and `prepare` to a lane of Python. Returns the database's driver, empty for none."""
    backing: dict[str, Guess] = {}
    driver = next((name for name in _DRIVERS if project.has(name)), "")
    scheme = _DRIVERS.get(driver, "")
    label = _label(scheme)
    if label:
        image, why = _image(label, driver, repository, standing)
        backing[label] = Guess({"image": image, "env": _MYSQL_ENV} if label == "mysql" else image, why)
    if project.has("redis") or any("redis" in extras for extras in project.extras.values()):
        backing["redis"] = Guess(*_image("redis", "redis", repository, standing))
    _others(backing, found, folder, standing)
    env = _env(repository, folder, scheme, backing)
    if backing:
        lane["backing"] = Guess(backing)
    required = [
        each.name
        for each in repository.variables
        if each.required and inside(each.file, folder) and each.name not in env and not REFUSED_ENV.fullmatch(each.name)
    ]
    if required:
        shown = ", ".join(sorted(set(required))[:10]) + (" and more" if len(set(required)) > 10 else "")
        found.unknown.append(f"The code of {folder} needs these variables: {shown}. Add `env` with values for the checks.")
    if env:
        lane["env"] = Guess(env)
    _prepare(repository, folder, lane, prefix)
    return driver


def _label(scheme: str) -> str:
    """Returns the name of the container for a database's URL: none for SQLite, which is a file."""
    return "postgres" if scheme.startswith("postgres") else "mysql" if scheme.startswith(("mysql", "mariadb")) else ""


def _url(scheme: str) -> str:
    label = _label(scheme)
    if label == "postgres":
        return f"{scheme}://postgres@{{postgres}}/postgres"
    if label == "mysql":
        return f"{scheme}://root:root@{{mysql}}/app"
    return f"{scheme}:///ci.db" if scheme else ""


def _image(kind: str, requirement: str, repository: Repository, standing: Standing) -> tuple[str, str]:
    """Returns the image that the repository itself uses for a database, else a usual one."""
    kinds, usual = _IMAGES[kind]
    for image, file in [(each.image, each.file) for each in standing.containers] + [
        (each.image, each.file) for each in compose.services(repository) if each.image
    ]:
        word = image.partition("@")[0].rpartition("/")[2].partition(":")[0]
        if word in kinds and known(image) and "$" not in image:
            return image, f"{file} runs it"
    return usual, f"{requirement} is a dependency; take the version that production runs"


def _others(backing: dict[str, Guess], found: Found, folder: str, standing: Standing) -> None:
    """Adds the containers of standing workflows beside the databases: what tests need, tests need here too."""
    kinds = [_IMAGES[name][0] for name in backing]
    for each in standing.containers:
        if folder not in each.folders:
            continue
        word = each.image.rpartition("/")[2].partition(":")[0]
        name = re.sub(r"[^a-z0-9_-]+", "-", each.name.lower())
        if name in backing or any(word in each for each in kinds):
            continue
        if word in KNOWN:
            backing[name] = Guess(each.image, f"{each.file} starts it")
        elif each.port:
            facts: dict[str, Any] = {"image": each.image, "port": each.port}
            backing[name] = Guess({**facts, **({"env": each.env} if each.env else {})}, f"{each.file} starts it")
        else:
            found.unknown.append(f"{each.file} starts {each.image}: add it to `backing` of {folder}, with its `port`.")


def _env(repository: Repository, folder: str, scheme: str, backing: dict[str, Guess]) -> dict[str, Guess]:
    """Returns the variables that lead to the containers, by the names that the code reads."""
    env: dict[str, Guess] = {}
    parts = {"HOST": "host", "SERVER": "host", "PORT": "port"}
    label = _label(scheme)
    url = _url(scheme)
    for each in repository.variables:
        if not inside(each.file, folder) or each.name in env:
            continue
        why = f"{each.file} reads it"
        if match := _ADDRESS.search(each.name):
            redis = match[1].upper() in {"REDIS", "CACHE"}
            if redis and "redis" in backing:
                env[each.name] = Guess("redis://{redis}/0", why)
            elif not redis and url:
                env[each.name] = Guess(url, why)
        elif match := _PART.search(each.name):
            beside = "redis" if match[1].upper() == "REDIS" else label
            part = match[2].upper()
            if beside in backing and part in parts:
                env[each.name] = Guess(f"{{{beside}.{parts[part]}}}", why)
            elif beside == "postgres":
                env[each.name] = Guess("postgres", why)
            elif beside == "mysql":
                env[each.name] = Guess("app" if part in {"DB", "DATABASE", "NAME"} else "root", why)
    leads = f"{{{label}" if label else url
    if url and not any(leads in str(guess.value) for guess in env.values()):
        env["DATABASE_URL"] = Guess(url, "a usual name; look what the code reads")
    if "redis" in backing and not any("{redis" in str(guess.value) for guess in env.values()):
        env["REDIS_URL"] = Guess("redis://{redis}/0", "a usual name; look what the code reads")
    return env


def _prepare(repository: Repository, folder: str, lane: Entry, prefix: str) -> None:
    inis = [name for name in repository.own if posixpath.basename(name) == "alembic.ini" and inside(name, folder)]
    manage = next((name for name in repository.own if posixpath.basename(name) == "manage.py" and inside(name, folder)), "")
    if len(inis) == 1:
        ini = posixpath.relpath(inis[0], folder)
        option = "" if ini == "alembic.ini" else f"--config {ini} "
        lane["prepare"] = Guess([f"{prefix}alembic {option}upgrade head"], f"{inis[0]} exists")
    elif manage:
        lane["prepare"] = Guess(
            [f"{prefix.removesuffix('python -m ')}python {posixpath.relpath(manage, folder)} migrate"], f"{manage} exists"
        )
