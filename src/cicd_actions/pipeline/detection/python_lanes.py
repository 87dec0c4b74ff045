"""Lanes of Python: a project's checks by the tools that it requires, its database, and its OpenAPI document."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from cicd_actions.pipeline.detection.backing import database
from cicd_actions.pipeline.detection.model import Entry, Found, Guess, Repository, folders, inside, joined, named, shown
from cicd_actions.pipeline.detection.pyproject import Project, pyproject, requirements
from cicd_actions.pipeline.detection.standing import Standing
from cicd_actions.pipeline.toolchains import LOCKS, nearest_lock

_API = re.compile(r"(^|/)(api|backend|server|service)$")
_EXPORT = re.compile(r"(^|/)[^/]*openapi[^/]*\.py$")
_PREFIX = {"uv": "uv run --frozen ", "poetry": "poetry run ", "pdm": "pdm run ", "pip": "python -m "}
_TESTS = re.compile(r"(^|/)(test_[^/]*|[^/]*_test|tests)\.py$")
_PLAIN_TESTS = re.compile(r"(^|/)tests?[^/]*\.py$|(^|/)tests/[^/]+\.py$")
_CHECKS = (
    # (name of the check, requirement, program, its usual arguments)
    ("lint", "ruff", "ruff check", "."),
    ("lint", "flake8", "flake8", "."),
    ("format", "ruff", "ruff format", "--check ."),
    ("format", "black", "black", "--check ."),
    ("types", "mypy", "mypy", "."),
    ("types", "basedpyright", "basedpyright", ""),
    ("types", "pyright", "pyright", ""),
    ("test", "pytest", "pytest", ""),
)
_INSTALLERS = frozenset(
    "pip setuptools wheel build twine virtualenv pipenv pipx poetry pdm uv hatch flit tox nox pre-commit codecov".split()
)
_REWRITES = re.compile(r"(^|\s)(--fix|--unsafe-fixes)\b")


def lanes(repository: Repository, standing: Standing, found: Found) -> None:
    """Adds a lane for each Python project that has something to check."""
    own = repository.own
    listed = {joined(folder, "..") if folder.endswith("requirements") else folder for folder in folders(own, r"[\w-]+\.txt")}
    places = {folder for folder in listed if _requirements(repository, folder)} | set(folders(own, r"pyproject\.toml"))
    for folder in folders(own, r"Pipfile"):
        how = "write a lane with `install: pipenv sync --dev`, and `pipenv run` before each of its checks"
        found.unknown.append(f"{joined(folder, 'Pipfile')} is not read, because lanes do not know pipenv: {how}.")
    for folder in sorted(places):
        _lane(repository, standing, found, folder)


def _requirements(repository: Repository, folder: str) -> str:
    """Returns the requirements file that has most of what the checks need; empty for none."""
    words = ("dev", "development", "test", "tests", "testing", "ci", "local")
    names = [f"{form.format(word)}.txt" for word in words for form in ("requirements-{}", "requirements/{}", "{}-requirements")]
    return repository.first(folder, *names, "requirements.txt", "requirements/base.txt")


def _lane(repository: Repository, standing: Standing, found: Found, folder: str) -> None:
    path = joined(folder, "pyproject.toml")
    project = pyproject(repository.read(path))
    lock = nearest_lock(folder, repository.files, "python")
    manager = LOCKS["python"].get(posixpath.basename(lock), "")
    listed = "" if manager in {"uv", "poetry", "pdm"} else _requirements(repository, folder)
    for name in _followed(repository, listed):
        for requirement, where in requirements(repository.read(name)).places.items():
            project.places.setdefault(requirement, set()).update(where)
    told = next((name for name in ("poetry", "pdm") if re.search(rf"(?m)^\[tool\.{name}[].]", project.text)), "uv")
    manager = "pip" if listed else manager or told
    prefix = _PREFIX[manager]
    settings = Guess(*_version(repository, standing, folder, project))
    lane: Entry = {"directory": Guess(folder), "python": settings}
    if listed and listed != lock:
        settings.value = {"version": settings.value, "manager": "pip", "lock": Guess(listed, "it names what the checks need")}
    if not lock and not listed:
        prefix = prefix.replace(" --frozen", "")
        if manager != "uv":
            settings.value = {"version": settings.value, "manager": Guess(manager, f"{path} has its table")}
    checks = _checks(repository, standing, found, folder, project, prefix, listed or path)
    if not checks:
        return  # a workspace's root, or a project without tools: nothing is tested there
    if not lock and not listed:
        found.flags.append(f"{shown(folder)} has no lock file for Python: each install may bring other versions.")
    _beside(standing, found, folder, project, listed or path)
    members = _with_members(repository, folder, project)
    driver = database(repository, standing, found, folder, lane, project, prefix)
    used = [driver, *(tool for name, tool, *_ in _CHECKS if name in checks)]
    install = _install(manager, project, used, lock, members=members)
    from_where = "a member" if members else "an extra or a group"
    why = f"{path} has what the checks need in {from_where} that is not installed by itself"
    if not install and manager == "uv" and not lock:
        install, why = "uv sync", "there is no lock file"
    if install:
        lane = {**{key: lane[key] for key in ("directory", "python")}, "install": Guess(install, why), **lane}
    lane["checks"] = Guess(checks)
    _document(repository, found, folder, lane, project, prefix)
    found.lane("api" if _API.search(folder) or folder == "." else named(posixpath.basename(folder), "api"), lane)


def _with_members(repository: Repository, folder: str, project: Project) -> bool:
    """Adds what the members of a workspace of uv require to its root, which runs their checks.

    Returns whether there is a member that the root does not require, so that uv does not install it by itself.
    """
    left = False
    for each in folders(repository.own, r"pyproject\.toml") if "[tool.uv.workspace]" in project.text else ():
        if each != folder and inside(each, folder):
            text = repository.read(joined(each, "pyproject.toml"))
            name = re.search(r"(?m)^name\s*=\s*[\"']([\w.-]+)", text)
            left = left or not project.has(re.sub(r"[-_.]+", "-", name[1].lower()) if name else "")
            for requirement in pyproject(text).places:
                project.places.setdefault(requirement, {""})
    return left


def _beside(standing: Standing, found: Found, folder: str, project: Project, source: str) -> None:
    """Says what the workflows install that the project does not require."""
    missing = [name for name in standing.installed(folder) if not project.has(name) and name not in _INSTALLERS]
    if missing:
        found.unknown.append(
            f"{shown(folder)}: your workflows install {', '.join(missing)}, and {source} does not. Add what the checks need to"
            " `install`."
        )


def _followed(repository: Repository, listed: str) -> Iterator[str]:
    """Returns a requirements file and those that it includes."""
    pending, seen = [listed] if listed else [], set()
    while pending:
        name = pending.pop()
        if name in seen:
            continue
        seen.add(name)
        yield name
        included = re.findall(r"(?m)^[ \t]*(?:-r|--requirement)[ =]*(\S+)", repository.read(name))
        pending += [joined(posixpath.dirname(name), other) for other in included]


def _version(repository: Repository, standing: Standing, folder: str, project: Project) -> tuple[str, str]:
    for name in (joined(folder, ".python-version"), ".python-version"):
        if name in repository.files and (match := re.match(r"3\.\d+", repository.read(name).strip())):
            return match[0], name
    for name in (repository.first(folder, "Dockerfile"), repository.first(".", "Dockerfile", "docker/Dockerfile")):
        match = re.search(
            r"(?im)^FROM\s+(?:--\S+\s+)?(?:\S*/)?(?:python:(3\.\d+)|\S*-python(3\.\d+))", repository.image_of(name)
        )
        if match:
            return match[1] or match[2], f"the image of {name}"
    if standing.python:
        return standing.python, "a workflow sets it up"
    if project.python:
        return project.python, f"the oldest that {joined(folder, 'pyproject.toml')} allows"
    return "3.13", "a usual version; no file names one"


def _checks(
    repository: Repository, standing: Standing, found: Found, folder: str, project: Project, prefix: str, source: str
) -> dict[str, Guess]:
    checks: dict[str, Guess] = {}
    for name, requirement, program, usual in _CHECKS:
        if name in checks or not project.has(requirement):
            if f"[tool.{requirement}" in project.text and not project.has(requirement) and requirement in {"ruff", "mypy"}:
                where = joined(folder, "pyproject.toml")
                note = f"{where} configures {requirement} and does not require it: add a check that runs it as you do."
                found.unknown += [note] if note not in found.unknown else []
            continue
        if program == "ruff format" and not _formats(repository, standing, folder, project):
            continue
        arguments, file = standing.arguments(program, folder)
        # A tool without arguments is not evidence of a choice.
        why = f"{file} runs it so" if arguments else f"{requirement} is in {source}"
        if name == "test" and not any(_TESTS.search(each) and inside(each, folder) for each in repository.files):
            found.unknown.append(f"{shown(folder)} requires pytest and has no file of tests.")
            continue
        arguments = _only_checking(program, arguments or _narrowed(requirement, usual, project), project)
        command = f"{prefix}{program} {arguments}".strip()
        if name == "test":
            reports = "" if "--junitxml" in command else " --junitxml junit.xml"
            checks[name] = Guess({"run": f"{command}{reports}", "junit": "junit.xml"}, why)
        else:
            checks[name] = Guess(command, why)
    if "test" not in checks and (test := _plain_tests(repository, standing, folder, prefix)):
        checks["test"] = test
    return checks


def _formats(repository: Repository, standing: Standing, folder: str, project: Project) -> bool:
    """Returns whether ruff formats the code: a team that only lints with it, or formats with black, would get a red check."""
    if "[tool.black]" in project.text or project.has("black"):
        return False
    hooks = repository.read(repository.first(folder, ".pre-commit-config.yaml") or ".pre-commit-config.yaml")
    if "[tool.ruff.format]" in project.text or "ruff-format" in hooks:
        return True
    linted, formatted = standing.arguments("ruff check", folder)[1], standing.arguments("ruff format", folder)[1]
    return bool(formatted) or not linted


def _plain_tests(repository: Repository, standing: Standing, folder: str, prefix: str) -> Guess | None:
    """Returns how tests run that need no pytest: Django's, or those of the standard library."""
    python = f"{prefix.removesuffix('python -m ')}python"
    tests = [name for name in repository.files if inside(name, folder) and _PLAIN_TESTS.search(name)]
    manage = _manage(repository, folder)
    if manage and (tests or "manage.py test" in " ".join(each.text for each in standing.commands)):
        program = f"{posixpath.relpath(manage, folder)} test"
        arguments, file = standing.arguments(program, folder)
        # Without a folder Django looks for tests where it is started, and no test is a success.
        arguments = arguments or posixpath.dirname(posixpath.relpath(manage, folder))
        return Guess(f"{python} {program} {arguments}".strip(), f"{file} runs it so" if file else f"{manage} exists")
    written = next((name for name in tests if re.search(r"(?m)^(import|from) unittest\b", repository.read(name))), "")
    return Guess(f"{python} -m unittest discover", f"{written} uses unittest") if written else None


def _only_checking(program: str, arguments: str, project: Project) -> str:
    """Returns arguments with which a tool changes no file: one that fixes what it finds is always green."""
    arguments = _REWRITES.sub("", arguments).strip()
    if program == "ruff check" and re.search(r"(?m)^(lint\.)?(fix|fix-only)\s*=\s*true", project.text):
        return f"--no-fix {arguments}"
    if program in {"ruff format", "black"} and not re.search(r"--(check|diff)\b", arguments):
        return f"--check {arguments}"
    return arguments


def _narrowed(requirement: str, usual: str, project: Project) -> str:
    """Returns mypy's arguments: none where its configuration names the files."""
    configured = re.search(r"\[tool\.mypy\][^\[]*^(files|packages|modules)\s*=", project.text, re.MULTILINE)
    return "" if requirement == "mypy" and configured else usual


def _install(manager: str, project: Project, used: list[str], lock: str, *, members: bool) -> str:
    """Returns the command that installs also what the defaults leave out; empty where nothing is missing."""
    extras, groups = project.brings(*used)
    if not extras and not groups and not members:
        return ""
    if manager == "uv":
        return " ".join(
            ["uv sync --frozen"[: None if lock else 7]]
            + [f"--extra {each}" for each in sorted(extras)]
            + [f"--group {each}" for each in sorted(groups)]
            + ["--all-packages"] * members
        )
    if manager == "poetry":
        wanted = [f"--with {','.join(sorted(groups))}"] if groups else []
        return " ".join(["poetry install --no-interaction", *wanted, *(f"--extras {each}" for each in sorted(extras))])
    if manager == "pdm":
        return " ".join(["pdm sync"] + [f"--group {each}" for each in sorted(extras | groups)])
    return ""


def _document(repository: Repository, found: Found, folder: str, lane: Entry, project: Project, prefix: str) -> None:
    """Adds the command that exports the OpenAPI document."""
    exports = [name for name in repository.own if _EXPORT.search(name) and inside(name, folder) and "test" not in name]
    python = f"{prefix.removesuffix('python -m ')}python"
    if project.has("fastapi") and exports:
        script = posixpath.relpath(exports[0], folder)
        lane["openapi"] = Guess(
            f"{python} {script} {{spec}}", f"{exports[0]} exists; look whether it takes the path as its argument"
        )
    elif project.has("fastapi"):
        module, variable, file = _application(repository, folder)
        if module:
            code = f"import json, sys, {module}; json.dump({module}.{variable}.openapi(), open(sys.argv[1], 'w'))"
            lane["openapi"] = Guess(
                f'{python} -c "{code}" {{spec}}', f"{file} makes `{variable}`; the import must need no server"
            )
        else:
            found.unknown.append(
                f"{shown(folder)} uses FastAPI: add `openapi`, a command that writes its document to {{spec}}."
            )
    elif project.has("drf-spectacular") and (manage := _manage(repository, folder)):
        lane["openapi"] = Guess(
            f"{python} {posixpath.relpath(manage, folder)} spectacular --file {{spec}}", "drf-spectacular is required"
        )


def _application(repository: Repository, folder: str) -> tuple[str, str, str]:
    """Returns module, variable and file of the FastAPI application; empty where none or several are found."""
    found = []
    for name in repository.own:
        if name.endswith(".py") and inside(name, folder) and "FastAPI" in (text := repository.read(name)):
            match = re.search(r"(?m)^(\w+)(?:\s*:\s*FastAPI)?\s*=\s*(?:\w*FastAPI|(?:create|make|build|get)_\w*app\w*)\(", text)
            if match:
                project = next(each for each in _above(name) if each == folder or repository.first(each, "pyproject.toml"))
                module = posixpath.relpath(name, project).removesuffix(".py").removeprefix("src/").replace("/", ".")
                found.append((module.removesuffix(".__init__"), match[1], name))
    return found[0] if len(found) == 1 else ("", "", "")


def _above(name: str) -> Iterator[str]:
    """Yields the folders above a file, from the nearest to the root."""
    while name not in {"", "."}:
        name = posixpath.dirname(name) or "."
        yield name


def _manage(repository: Repository, folder: str) -> str:
    return next((name for name in repository.own if name.endswith("manage.py") and inside(name, folder)), "")
