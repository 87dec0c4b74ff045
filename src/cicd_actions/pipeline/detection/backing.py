"""What a lane needs beside it: the containers, the variables that lead to them, and the migrations that prepare them."""

from __future__ import annotations

import posixpath
import re
from dataclasses import replace
from typing import Any

from cicd_actions.pipeline.detection import compose
from cicd_actions.pipeline.detection.model import Entry, Found, Guess, Repository, inside, joined, shown
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
_IMAGES = {
    "postgres": (frozenset({"postgres", "pgvector", "postgis"}), "postgres:17"),
    "mysql": (frozenset({"mysql", "mariadb"}), "mysql:8.4"),
    "redis": (frozenset({"redis", "valkey"}), "redis:8"),
}
"""By the container's name: the repositories' last words that are this kind, and a usual image."""

_SCHEMES: dict[str, frozenset[str]] = {
    **dict.fromkeys(("postgres", "postgresql", "psql", "postgis"), _IMAGES["postgres"][0]),
    **dict.fromkeys(("redis", "rediss"), _IMAGES["redis"][0]),
    **dict.fromkeys(("mysql", "mariadb"), _IMAGES["mysql"][0]),
    "mongodb": frozenset({"mongo"}),
    "amqp": frozenset({"rabbitmq"}),
}
"""Scheme of an address → images that answer it, by their last word."""

_NAMES = re.compile(r"POSTGRES_(USER|PASSWORD|DB)|(MYSQL|MARIADB)_(USER|PASSWORD|ROOT_PASSWORD|DATABASE)")
_MYSQL_ENV = {"MYSQL_ROOT_PASSWORD": "root", "MYSQL_DATABASE": "app"}
"""The images of MySQL and MariaDB both take these, and make the database."""

_PLACES = {"HOST": "host", "SERVER": "host", "PORT": "port"}
_EXAMPLES = (".env.test", ".env.ci", ".env.example", ".env.sample", ".env.template", ".env.dist")
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
    if label := _label(scheme):
        backing[label] = _container(label, driver, repository, standing)
    if project.has("redis") or any("redis" in extras for extras in project.extras.values()):
        backing["redis"] = _container("redis", "redis", repository, standing)
    _others(backing, found, folder, standing)
    env = _given(repository, standing, folder, backing)
    for name, guess in _env(repository, folder, scheme, backing, env).items():
        env.setdefault(name, guess)
    if backing:
        lane["backing"] = Guess(backing)
    required = [
        each.name
        for each in repository.variables
        if each.required and inside(each.file, folder) and each.name not in env and not REFUSED_ENV.fullmatch(each.name)
    ]
    if required:
        names = ", ".join(sorted(set(required))[:10]) + (" and more" if len(set(required)) > 10 else "")
        found.unknown.append(f"The code of {folder} needs these variables: {names}. Add `env` with values for the checks.")
    only_a_run = {
        each.name: each.value for each in standing.expressions if each.folder == folder and each.name not in {*env, *required}
    }
    if only_a_run:
        listed = ", ".join(f"{name} (`{value}`)" for name, value in only_a_run.items())
        found.unknown.append(f"{shown(folder)}: your workflows set variables for the tests that only a run knows: {listed}.")
    if env:
        lane["env"] = Guess(env)
    _prepare(repository, folder, lane, project, prefix)
    return driver


def beside(repository: Repository, standing: Standing, found: Found, folder: str, lane: Entry) -> None:
    """Adds the containers and the variables with which standing workflows run the tests of a lane that is not Python."""
    backing: dict[str, Guess] = {}
    _others(backing, found, folder, standing)
    env = _given(replace(repository, variables=()), standing, folder, backing)  # those are the variables of Python
    for key, guesses in (("backing", backing), ("env", env)):
        if guesses:
            lane[key] = Guess(guesses)


def _given(repository: Repository, standing: Standing, folder: str, backing: dict[str, Guess]) -> dict[str, Guess]:
    """Returns the values that the repository itself tells: those with which its workflows run the tests, then those that its
    compose files and its example of a dotenv file give to variables that the code needs, or that hold an address.
    """
    told = [(each.name, each.value, each.file) for each in standing.variables if each.folder == folder]
    read = {each.name: each.required for each in repository.variables if inside(each.file, folder)}
    examples = [(name, text, each.file) for each in compose.services(repository) for name, text in each.env.items()]
    for path in [joined(place, name) for place in (folder, ".") for name in _EXAMPLES]:
        text = repository.read(path) if path in repository.files else ""
        found = re.findall(r"(?m)^(?:export )?([A-Za-z_]\w*)=([\"']?)([^\"'#\n]*)\2[ \t]*$", text)
        examples += [(name, value.strip(), path) for name, _, value in found]
    # An address of a container that the lane does not have would be worse than none.
    told += [
        (name, text, path)
        for name, text, path in examples
        if text and name in read and (read[name] or _led(name, text, backing) != text)
    ]
    env: dict[str, Guess] = {}
    for name, text, path in told:
        if name not in env and not REFUSED_ENV.fullmatch(name) and re.fullmatch(r"[A-Za-z_]\w*", name):
            env[name] = Guess(_led(name, text, backing), f"{path} sets it")
    return env


def _led(name: str, text: str, backing: dict[str, Guess]) -> str:
    """Returns a value in which the address of a database leads to the lane's container."""
    if (match := _PART.search(name)) and match[2].upper() in _PLACES:
        label = _beside(match[1], backing)
        return f"{{{label}.{_PLACES[match[2].upper()]}}}" if label in backing else text
    match = re.fullmatch(r"([a-z]+)((?:\+\w+)?://(?:[^@/]*@)?)([\w.-]+)(?::(\d+))?((?:/.*)?)", text)
    if not match:
        return text
    kinds, local = _SCHEMES.get(match[1], frozenset()), match[3] in {"localhost", "127.0.0.1"}
    label = next((each for each, guess in backing.items() if _kind(guess) in kinds), "") or next(
        (each for each, guess in backing.items() if (local and _port(guess) == match[4]) or match[3] == each), ""
    )
    return f"{match[1]}{match[2]}{{{label}}}{match[5]}" if label else text


def _beside(word: str, backing: dict[str, Guess]) -> str:
    """Returns the container that a variable's name speaks of: `DB_HOST` leads to the lane's own database, its first one."""
    if word.upper() in {"DATABASE", "DB"}:
        return next((each for each in backing if each in {"postgres", "mysql"}), "")
    return "redis" if word.upper() == "REDIS" else "mysql" if word.upper() in {"MYSQL", "MARIADB"} else "postgres"


def _port(guess: Guess) -> str:
    """Returns the port of a container that the file has to name; empty for an image that is known."""
    return str(guess.value.get("port", "")) if isinstance(guess.value, dict) else ""


def _kind(guess: Guess) -> str:
    image = guess.value["image"] if isinstance(guess.value, dict) else guess.value
    return str(image).partition("@")[0].rpartition("/")[2].partition(":")[0]


def _container(kind: str, requirement: str, repository: Repository, standing: Standing) -> Guess:
    """Returns the container that the repository itself uses for a database, with its user and names; else a usual one."""
    kinds, usual = _IMAGES[kind]
    needed = _MYSQL_ENV if kind == "mysql" else {}
    for image, env, file in [(each.image, each.env, each.file) for each in standing.containers] + [
        (each.image, each.env, each.file) for each in compose.services(repository) if each.image
    ]:
        if _kind(Guess(image)) in kinds and known(image) and "$" not in image:
            named = needed | {name: text for name, text in env.items() if _NAMES.fullmatch(name) and "$" not in text}
            return Guess({"image": image, "env": named} if named else image, f"{file} runs it")
    why = f"{requirement} is a dependency; take the version that production runs"
    return Guess({"image": usual, "env": needed} if needed else usual, why)


def _label(scheme: str) -> str:
    """Returns the name of the container for a database's URL: none for SQLite, which is a file."""
    return "postgres" if scheme.startswith("postgres") else "mysql" if scheme.startswith(("mysql", "mariadb")) else ""


def _account(label: str, backing: dict[str, Guess]) -> tuple[str, str, str]:
    """Returns user, password (which may be empty) and database of a container."""
    container = backing[label].value if label in backing else ""
    told = container.get("env", {}) if isinstance(container, dict) else {}
    if label != "mysql":
        user = told.get("POSTGRES_USER", "postgres")
        return user, told.get("POSTGRES_PASSWORD", ""), told.get("POSTGRES_DB", user)
    parts = {name.partition("_")[2]: text for name, text in sorted(told.items(), reverse=True)}
    user = parts.get("USER", "root")
    return user, parts.get("ROOT_PASSWORD" if user == "root" else "PASSWORD", ""), parts["DATABASE"]


def _address(scheme: str, label: str, backing: dict[str, Guess]) -> str:
    if not label:
        return f"{scheme}:///ci.db" if scheme else ""
    user, password, name = _account(label, backing)
    return f"{scheme}://{user}{':' if password else ''}{password}@{{{label}}}/{name}"


def _others(backing: dict[str, Guess], found: Found, folder: str, standing: Standing) -> None:
    """Adds the containers of standing workflows beside the databases: what tests need, tests need here too."""
    held = {_kind(guess) for guess in backing.values()} | {word for name in backing for word in _IMAGES[name][0]}
    for each in standing.containers:
        if folder not in each.folders:
            continue
        word = each.image.rpartition("/")[2].partition(":")[0]
        name = re.sub(r"[^a-z0-9_-]+", "-", each.name.lower())
        if word in held or name in backing:
            continue
        if word in KNOWN or each.port:
            port = {} if word in KNOWN else {"port": each.port}
            facts: dict[str, Any] = {"image": each.image, **port, **({"env": each.env} if each.env else {})}
            backing[name] = Guess(facts if len(facts) > 1 else each.image, f"{each.file} starts it")
        else:
            found.unknown.append(f"{each.file} starts {each.image}: add it to `backing` of {folder}, with its `port`.")


def _env(
    repository: Repository, folder: str, scheme: str, backing: dict[str, Guess], given: dict[str, Guess]
) -> dict[str, Guess]:
    """Returns the variables that lead to the containers, by the names that the code reads, beside those that are given."""
    env: dict[str, Guess] = {}
    label = _label(scheme)
    address = _address(scheme, label, backing)
    user, password, named = _account(label, backing)
    known_as = dict.fromkeys(("USER", "USERNAME"), user) | dict.fromkeys(("PASSWORD", "PASS"), password or "postgres")
    for each in repository.variables:
        if not inside(each.file, folder) or each.name in env or each.name in given:
            continue
        why = f"{each.file} reads it"
        if match := _ADDRESS.search(each.name):
            redis = match[1].upper() in {"REDIS", "CACHE"}
            if redis and "redis" in backing:
                env[each.name] = Guess("redis://{redis}/0", why)
            elif not redis and address:
                env[each.name] = Guess(address, why)
        elif match := _PART.search(each.name):
            beside = "redis" if match[1].upper() == "REDIS" else label
            part = match[2].upper()
            if beside in backing and part in _PLACES:
                env[each.name] = Guess(f"{{{beside}.{_PLACES[part]}}}", why)
            elif beside in backing and beside == label:
                env[each.name] = Guess(known_as.get(part, named), why)
    led = [str(guess.value) for guess in (*env.values(), *given.values())]
    if address and not any((f"{{{label}" if label else address) in text for text in led):
        env["DATABASE_URL"] = Guess(address, "a usual name; look what the code reads")
    if "redis" in backing and not any("{redis" in text for text in led):
        env["REDIS_URL"] = Guess("redis://{redis}/0", "a usual name; look what the code reads")
    return env


def _prepare(repository: Repository, folder: str, lane: Entry, project: Project, prefix: str) -> None:
    inis = [name for name in repository.own if posixpath.basename(name) == "alembic.ini" and inside(name, folder)]
    manage = next((name for name in repository.own if posixpath.basename(name) == "manage.py" and inside(name, folder)), "")
    if inis and project.has("flask-migrate"):
        # Its env.py asks the application for the database.
        lane["prepare"] = Guess([f"{prefix}flask db upgrade"], f"flask-migrate is required, and {inis[0]} exists")
    elif len(inis) == 1:
        ini = posixpath.relpath(inis[0], folder)
        option = "" if ini == "alembic.ini" else f"--config {ini} "
        lane["prepare"] = Guess([f"{prefix}alembic {option}upgrade head"], f"{inis[0]} exists")
    elif manage:
        lane["prepare"] = Guess(
            [f"{prefix.removesuffix('python -m ')}python {posixpath.relpath(manage, folder)} migrate"], f"{manage} exists"
        )
