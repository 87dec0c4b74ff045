"""What a repository looks like: its lanes, images and services, each guess with what it was made from."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from cicd_actions.pipeline.toolchains import LOCKS, nearest_lock

Reader = Callable[[str], str]
"""Returns the text of a tracked file, empty where it cannot be read."""

_API = re.compile(r"(^|/)(api|backend|server|service)$")
_WEB = re.compile(r"(^|/)(web|frontend|ui|client|site|app)$")
_EXPORT = re.compile(r"(^|/)[^/]*openapi[^/]*\.py$")
_SKIPPED = re.compile(r"(^|/)(node_modules|\.venv|vendor|examples?|docs?|tests?|fixtures|templates?)/")
_PREFIX = {"uv": "uv run --frozen ", "poetry": "poetry run ", "pdm": "pdm run ", "pip": "python -m "}
_RUN = {"pnpm": "pnpm run ", "npm": "npm run ", "yarn": "yarn run ", "bun": "bun run "}
_EXEC = {"pnpm": "pnpm exec ", "npm": "npx ", "yarn": "yarn exec ", "bun": "bunx "}
_DRIVERS = {"asyncpg": "postgresql+asyncpg", "psycopg": "postgresql+psycopg", "psycopg2": "postgresql"}


@dataclass
class Guess:
    """A value of the file, and what it was guessed from."""

    value: Any
    why: str = ""


@dataclass
class Found:
    """What was found. `unknown` is what could not be told, `flags` what a person should look at."""

    lanes: dict[str, dict[str, Guess]] = field(default_factory=dict)
    images: dict[str, dict[str, Guess]] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)


def detect(files: Sequence[str], read: Reader, repository: str) -> Found:
    """Returns what the repository looks like. *repository* is `owner/name`, for the images' names."""
    found = Found()
    own = [name for name in files if not _SKIPPED.search(name)]
    for folder in _folders(own, {"pyproject.toml", "requirements.txt"}):
        _python(found, folder, files, read)
    for folder in _folders(own, {"package.json"}):
        _node(found, folder, files, read)
    _clients(found)
    _images(found, own, repository)
    _flags(found, own, read)
    if not found.lanes:
        found.unknown.append("No pyproject.toml, requirements.txt or package.json was found: write the lanes yourself.")
    return found


def _folders(files: Sequence[str], names: set[str]) -> list[str]:
    return sorted({posixpath.dirname(name) or "." for name in files if posixpath.basename(name) in names})


def _name(folder: str, found: Found, usual: str) -> str:
    if _API.search(folder):
        name = "api"
    elif _WEB.search(folder):
        name = "web"
    else:
        name = usual if folder == "." else re.sub(r"[^a-z0-9-]+", "-", posixpath.basename(folder).lower()).strip("-") or usual
    number = 2
    whole = name
    while whole in found.lanes:
        whole, number = f"{name}-{number}", number + 1
    return whole


def _python(found: Found, folder: str, files: Sequence[str], read: Reader) -> None:
    project = posixpath.normpath(posixpath.join(folder, "pyproject.toml"))
    text = read(project) + read(posixpath.normpath(posixpath.join(folder, "requirements.txt")))
    lock = nearest_lock(folder, files, "python")
    manager = LOCKS["python"].get(posixpath.basename(lock), "uv")
    prefix = _PREFIX[manager]

    def has(word: str) -> bool:
        return re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text) is not None

    checks = {}
    for name, tool, command in (
        ("lint", "ruff", "ruff check ."),
        ("format", "ruff", "ruff format --check ."),
        ("types", "mypy", "mypy ."),
        ("test", "pytest", "pytest --junitxml junit.xml"),
    ):
        if has(tool):
            checks[name] = Guess(f"{prefix}{command}", f"{tool} is in {project}")
    if not checks:
        return  # a workspace's root, or a project without tools: nothing is tested there
    if "test" in checks:
        checks["test"] = Guess({"run": checks["test"].value, "junit": "junit.xml"}, checks["test"].why)
    lane: dict[str, Guess] = {"directory": Guess(folder), "python": Guess(*_python_version(folder, files, read, text))}
    if not lock:
        found.flags.append(f"{folder} has no lock file for Python: each install may bring other versions.")
    _database(lane, folder, files, prefix, has)
    lane["checks"] = Guess(checks)
    exports = [name for name in files if _EXPORT.search(name) and _inside(name, folder) and "test" not in name]
    if exports and has("fastapi"):
        script = posixpath.relpath(exports[0], folder)
        lane["openapi"] = Guess(
            f"{prefix.replace('-m ', '')}python {script} {{spec}}".replace("python python", "python"),
            f"{exports[0]} exists; look whether it takes the path as its argument",
        )
    elif has("fastapi"):
        found.unknown.append(f"{folder} uses FastAPI: add `openapi`, a command that writes its document to {{spec}}.")
    found.lanes[_name(folder, found, "api")] = lane


def _inside(name: str, folder: str) -> bool:
    return folder == "." or name.startswith(f"{folder}/")


def _python_version(folder: str, files: Sequence[str], read: Reader, text: str) -> tuple[str, str]:
    for name in (posixpath.normpath(posixpath.join(folder, ".python-version")), ".python-version"):
        if name in files and (match := re.match(r"3\.\d+", read(name).strip())):
            return match[0], name
    match = re.search(r"requires-python\s*=\s*[\"'][^\"']*?(3\.\d+)", text)
    return (match[1], "requires-python") if match else ("3.13", "a usual version; no file names one")


def _database(lane: dict[str, Guess], folder: str, files: Sequence[str], prefix: str, has: Callable[[str], bool]) -> None:
    backing, env = {}, {}
    driver = next((name for name in _DRIVERS if has(name) or has(f"{name}-binary")), "")
    if driver:
        backing["postgres"] = Guess("postgres:17", f"{driver} is a dependency; take the version that production runs")
        env["DATABASE_URL"] = Guess(
            f"{_DRIVERS[driver]}://postgres@{{postgres}}/postgres", "a usual name; look what the code reads"
        )
    if has("redis"):
        backing["redis"] = Guess("redis:8", "redis is a dependency; take the version that production runs")
        env["REDIS_URL"] = Guess("redis://{redis}/0", "a usual name; look what the code reads")
    if backing:
        lane["backing"], lane["env"] = Guess(backing), Guess(env)
    ini = posixpath.normpath(posixpath.join(folder, "alembic.ini"))
    if ini in files:
        lane["prepare"] = Guess([f"{prefix}alembic upgrade head"], f"{ini} exists")
    elif posixpath.normpath(posixpath.join(folder, "manage.py")) in files:
        lane["prepare"] = Guess(
            [f"{prefix.replace('-m ', '')}python manage.py migrate".replace("python python", "python")], "manage.py exists"
        )


def _node(found: Found, folder: str, files: Sequence[str], read: Reader) -> None:
    path = posixpath.normpath(posixpath.join(folder, "package.json"))
    try:
        package = json.loads(read(path) or "{}")
    except ValueError:
        found.flags.append(f"{path} is not JSON.")
        return
    scripts = package.get("scripts") if isinstance(package, dict) else None
    if not isinstance(scripts, dict) or (folder == "." and "workspaces" in package):
        return
    lock = nearest_lock(folder, files, "node")
    manager = LOCKS["node"].get(posixpath.basename(lock), "npm")
    checks = {}
    for name, names in {
        "lint": ["lint"],
        "types": ["typecheck", "type-check", "tsc", "check-types"],
        "test": ["test:unit", "test"],
        "build": ["build"],
    }.items():
        script = next((each for each in names if each in scripts), "")
        if script and "no test specified" not in str(scripts[script]):
            checks[name] = Guess(f"{_RUN[manager]}{script}", f"scripts.{script} of {path}")
            if name == "test" and re.search(r"vitest(?!.*\brun\b)|--watch", str(scripts[script])):
                found.flags.append(f"scripts.{script} of {path} may wait for changes: it has to end by itself.")
    if not checks:
        return
    if not lock:
        found.flags.append(f"{folder} has no lock file for Node.js: each install may bring other versions.")
    lane: dict[str, Guess] = {
        "directory": Guess(folder),
        "node": Guess(*_node_version(folder, files, read, package)),
        "checks": Guess(checks),
    }
    for tool, command in (
        ("openapi-typescript", "openapi-typescript {spec} -o {client}"),
        ("@hey-api/openapi-ts", "openapi-ts -i {spec}"),
    ):
        if tool in {**package.get("dependencies", {}), **package.get("devDependencies", {})}:
            generated = [
                name
                for name in files
                if _inside(name, folder) and re.search(r"(generated|openapi|schema)[^/]*\.d?\.?ts$|/client/sdk\.gen\.ts$", name)
            ]
            if generated:
                client = posixpath.relpath(generated[0], folder)
                client = posixpath.dirname(client) if client.endswith("sdk.gen.ts") else client
                lane["client"] = Guess(
                    {"path": client, "generate": f"{_EXEC[manager]}{command}"},
                    f"{tool} is in {path}, and {generated[0]} exists",
                )
            break
    found.lanes[_name(folder, found, "web")] = lane


def _node_version(folder: str, files: Sequence[str], read: Reader, package: dict[str, Any]) -> tuple[str, str]:
    for name in (
        posixpath.normpath(posixpath.join(folder, ".nvmrc")),
        ".nvmrc",
        posixpath.normpath(posixpath.join(folder, ".node-version")),
    ):
        if name in files and (match := re.match(r"v?(\d+)", read(name).strip())):
            return match[1], name
    match = re.search(r"\d+", str((package.get("engines") or {}).get("node", "")))
    return (match[0], "engines.node") if match else ("24", "a usual version; no file names one")


def _clients(found: Found) -> None:
    """Ties each client to the one lane that exports a document; a client without one stays out."""
    exports = [name for name, lane in found.lanes.items() if "openapi" in lane]
    for name, lane in found.lanes.items():
        if "client" not in lane:
            continue
        if len(exports) == 1:
            lane["client"].value = {"of": exports[0], **lane["client"].value}
        else:
            del lane["client"]
            found.unknown.append(f"The lane `{name}` has a generated client: add `client` once a lane has `openapi`.")


def _images(found: Found, files: Sequence[str], repository: str) -> None:
    for path in files:
        base = posixpath.basename(path)
        if not re.fullmatch(r"Dockerfile|[\w.-]+\.Dockerfile|Dockerfile\.(prod|production)", base):
            continue
        stem = (
            base.removesuffix(".Dockerfile")
            if base.endswith(".Dockerfile")
            else posixpath.basename(posixpath.dirname(path)) or "app"
        )
        name = re.sub(r"[^a-z0-9-]+", "-", stem.lower()).strip("-") or "app"
        if name not in found.images:
            found.images[name] = {
                "repository": Guess(f"ghcr.io/{repository.lower()}/{name}", "a usual name; look where your images go"),
                "dockerfile": Guess(path, "it exists"),
                "context": Guess(
                    posixpath.dirname(path) or ".", "the Dockerfile's folder; the root where it copies from there"
                ),
            }


def _flags(found: Found, files: Sequence[str], read: Reader) -> None:
    for path in files:
        base = posixpath.basename(path)
        if re.match(r"(docker-)?compose.*\.ya?ml$", base) and re.search(r"image:\s*\S+:latest\b", read(path)):
            found.flags.append(f"{path} runs an image tagged `latest`: what runs cannot be told by its commit.")
        if (base.endswith((".sh", ".Dockerfile")) or base == "Dockerfile") and re.search(
            r"alembic upgrade|manage\.py migrate|prisma migrate deploy", read(path)
        ):
            found.flags.append(
                f"{path} migrates the database at start: two replicas would race. Let `release.migrate` do it once."
            )
        if re.match(r"\.github/workflows/.*\.ya?ml$", path) and "pull_request_target" in read(path):
            found.flags.append(f"{path} runs on pull_request_target: secrets are available to a stranger's change there.")
