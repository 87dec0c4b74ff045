"""Finds what a container runs when it starts, and migrations among it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from cicd_actions.pipeline_audit.commands import effects_of, shown
from cicd_actions.pipeline_audit.effects import Kind
from cicd_actions.pipeline_audit.repository import Repository
from cicd_actions.pipeline_audit.shell import Command, commands
from cicd_actions.toolkit.yaml12 import Mapping, Node, Scalar, Sequence
from cicd_actions.workflows.files import scalar_text
from cicd_actions.workflows.place import Place

DEVELOPMENT = re.compile(
    (
        r"(^|[./_-])(dev|develop|development|local|test|tests|testing|ci|e2e|debug|override|example|demo"
        r"|self-?host\w*|quickstart|sample)([./_-]|$)"
    ),
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Startup:
    """A migration that a serving container runs when it starts: where, the command, and the way to it."""

    place: Place
    detail: str
    via: tuple[Place, ...] = ()


def of_dockerfile(repository: Repository, path: str) -> Iterator[Startup]:
    """Yields the migrations that CMD and ENTRYPOINT of the last stage of a Dockerfile start."""
    text = repository.text(path)
    if text is None:
        return
    lines: list[tuple[str, str, int]] = []
    for instruction, body, line in _instructions(text):
        if instruction == "FROM":
            lines = []
        elif instruction in {"CMD", "ENTRYPOINT"}:
            lines = [one for one in lines if one[0] != instruction]
            lines.append((instruction, body, line))
    folder = path.rpartition("/")[0]
    found = [(_words(body), Place(path, line)) for _, body, line in lines]
    given = next((_words(body) for instruction, body, _ in lines if instruction == "CMD"), None)
    for script, place in found:
        yield from _of_script(repository, script, place, folder, serving=True, given=given)


def _instructions(text: str) -> Iterator[tuple[str, str, int]]:
    joined = ""
    start = 0
    for number, line in enumerate(text.splitlines(), 1):
        if not joined and (not line.strip() or line.lstrip().startswith("#")):
            continue
        start = start or number
        if line.rstrip().endswith("\\"):
            joined += line.rstrip()[:-1] + " "
            continue
        joined += line
        word, _, rest = joined.strip().partition(" ")
        yield word.upper(), rest.strip(), start
        joined, start = "", 0


def _words(body: str) -> str:
    """The shell form of CMD or ENTRYPOINT."""
    if not body.startswith("["):
        return body
    try:
        words = json.loads(body)
    except (ValueError, RecursionError):
        return body
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        return body
    if (
        len(words) >= 3
        and words[0].rpartition("/")[2] in {"sh", "bash"}
        and words[1].startswith("-")
        and words[1].endswith("c")
    ):
        return str(words[2])
    return " ".join(words)


def _of_script(
    repository: Repository, script: str, place: Place, folder: str, *, serving: bool, depth: int = 0, given: str | None = None
) -> Iterator[Startup]:
    """The migrations of a start command, those of the script that it starts included (one level).

    `given` are the words that an entrypoint gets from CMD.
    """
    found = commands(script)
    migrations = [command for command in found if migrates(command)]
    if migrations and (serving or _serves(script)):
        # One that migrates and does nothing else is a one-shot job of its image, unless the image also serves.
        if depth or _serves(script) or len(found) > len(migrations) + 1:
            yield Startup(Place(place.file, place.line + migrations[0].line), shown(migrations[0].text))
        return
    if depth:
        return
    for command in found:
        for path in _named_scripts(repository, command, folder):
            inner = _without_others(_shell_of(repository.text(path) or ""), given)
            if not serving and not _serves(inner):
                continue
            for one in _of_script(repository, inner, Place(path, 1), folder, serving=True, depth=1):
                yield Startup(one.place, one.detail, (place,))
        if command.program in {"npm", "pnpm", "yarn", "bun"}:
            path, line, started = _package_script(repository, command, folder)
            run = [one for first in started for one in [first, *_package_script(repository, first, folder)[2]]]
            if any(migrates(one) for one in run) and len(started) > 1:
                yield Startup(Place(path, line), shown(next(one.text for one in run if migrates(one))), (place,))


def _package_script(repository: Repository, command: Command, folder: str) -> tuple[str, int, list[Command]]:
    """The script of package.json that a package manager starts."""
    if command.program not in {"npm", "pnpm", "yarn", "bun"}:
        return "", 0, []
    name = next((word for word in command.words[1:] if word != "run" and not word.startswith("-")), "")
    return repository.package_script(name, f"{folder}/" if folder else "")


_IF_GIVEN = re.compile(r"""if \[+ "\$\{?[*@]\}?" ==? "([^"]*)" \]""")


def _without_others(script: str, given: str | None) -> str:
    """Returns an entrypoint without what it runs for other words than those of CMD; the lines stay."""
    kept: list[str] = []
    other = False
    for line in script.split("\n"):
        text = line.strip()
        asked = _IF_GIVEN.match(text) if given is not None else None
        if asked:
            other = asked[1] != given
        kept.append("" if other else line)
        if "fi" in text.replace(";", " ").split():
            other = False
    return "\n".join(kept)


_OTHER_LANGUAGE = re.compile(r"#!.*\b(ruby|python[0-9.]*|node|perl|php)\b")
_STARTS_PROGRAM = re.compile(r"(?:system!?|exec|spawn|run|check_call|call|Popen|execSync|execFileSync|spawnSync)\b[^\n]*")
_LITERAL = re.compile(r"""(['"`])([^'"`\n]*)\1""")


def _shell_of(text: str) -> str:
    """Returns a script with the lines kept: of another language than the shell, only what it hands to a program."""
    if not _OTHER_LANGUAGE.match(text):
        return text
    lines = []
    for line in text.splitlines():
        call = None if line.lstrip().startswith(("#", "//")) else _STARTS_PROGRAM.search(line)
        lines.append(" ".join(found[2] for found in _LITERAL.finditer(call[0])) if call else "")
    return "\n".join(lines)


def _named_scripts(repository: Repository, command: Command, folder: str) -> list[str]:
    """The files of the repository that a word of the command may be, inside an image that copies them."""
    found: list[str] = []
    for word in command.words[:4]:
        name = word.rpartition("/")[2]
        if not name.endswith((".sh", ".bash")) and not re.fullmatch(
            r"[\w./-]*(entrypoint|start|run|boot|prestart)[\w.-]*", word
        ):
            continue
        near = repository.by_name.get(name, [])
        near = (
            [path for path in near if path.startswith(f"{folder}/")]
            if folder and any(path.startswith(f"{folder}/") for path in near)
            else near
        )
        found += near[:1]
    return found


def migrates(command: Command) -> bool:
    """Returns whether a command migrates a database."""
    return any(effect.kind is Kind.MIGRATE for effect in effects_of(command))


_SERVER = re.compile(
    r"\b(uvicorn|gunicorn|hypercorn|daphne|granian|fastapi|runserver|puma|rails s|nginx|php-fpm|apache2"
    r"|caddy|next start|node |npm (run )?start|pnpm (run )?start|yarn start|java |dotnet |celery)|\$@"
)


def _serves(script: str) -> bool:
    return bool(_SERVER.search(script))


def of_compose(repository: Repository, path: str) -> Iterator[Startup]:
    """Yields the migrations that the services of a Compose file start together with a server.

    A service that ends, and that others wait for, is a one-shot job.
    """
    folder = path.rpartition("/")[0]
    for root in repository.yaml(path):
        services = root.get("services") if isinstance(root, Mapping) else None
        ended = waited_for(root)
        for name, service in services.entries if isinstance(services, Mapping) else ():
            if not isinstance(service, Mapping) or name.text in ended:
                continue
            for key in ("command", "entrypoint"):
                node = service.get(key)
                script = _script_of(node)
                if node is not None and script:
                    yield from _of_script(repository, script, Place(path, node.line), folder, serving=_serves(script))


def waited_for(root: Node) -> set[str]:
    """Returns the services of a Compose file that others wait for until they have ended successfully."""
    services = root.get("services") if isinstance(root, Mapping) else None
    found: set[str] = set()
    for _, service in services.entries if isinstance(services, Mapping) else ():
        needed = service.get("depends_on") if isinstance(service, Mapping) else None
        for key, value in needed.entries if isinstance(needed, Mapping) else ():
            if isinstance(value, Mapping) and scalar_text(value.get("condition")) == "service_completed_successfully":
                found.add(key.text)
    return found


def one_shot(repository: Repository, path: str) -> Place | None:
    """Returns where a Compose file has a service that migrates and ends, and for which others wait."""
    for root in repository.yaml(path):
        services = root.get("services") if isinstance(root, Mapping) else None
        for name, service in services.entries if isinstance(services, Mapping) else ():
            if isinstance(service, Mapping) and name.text in waited_for(root):
                script = " ".join(_script_of(service.get(key)) for key in ("entrypoint", "command"))
                started = [
                    one
                    for command in commands(script)
                    for file in _named_scripts(repository, command, "")
                    for one in commands(repository.text(file) or "")
                ]
                if any(migrates(one) for one in [*commands(script), *started]):
                    return Place(path, name.line)
    return None


def _script_of(node: Node | None) -> str:
    if isinstance(node, Scalar):
        return node.text.replace("$$", "$")
    if isinstance(node, Sequence):
        words = [scalar_text(item) for item in node.items]
        if len(words) >= 3 and words[0].rpartition("/")[2] in {"sh", "bash"} and words[1].endswith("c"):
            return words[2].replace("$$", "$")
        return " ".join(words)
    return ""


def of_procfile(repository: Repository, path: str) -> Iterator[Startup]:
    """Yields the migrations of the processes of a Procfile; `release:` runs once before them, as it should."""
    for number, line in enumerate((repository.text(path) or "").splitlines(), 1):
        name, colon, script = line.partition(":")
        if colon and name.strip() not in {"release", "migrate", "migration"}:
            yield from _of_script(repository, script, Place(path, number), path.rpartition("/")[0], serving=True)


def of_render(repository: Repository, path: str) -> Iterator[Startup]:
    """Yields the migrations that a Render blueprint runs with `startCommand` or `dockerCommand`."""
    for root in repository.yaml(path):
        services = root.get("services") if isinstance(root, Mapping) else None
        for service in services.items if isinstance(services, Sequence) else ():
            for key in ("startCommand", "dockerCommand"):
                node = service.get(key) if isinstance(service, Mapping) else None
                if isinstance(node, Scalar):
                    yield from _of_script(repository, node.text, Place(path, node.line), "", serving=True)


def of_cloud_foundry(repository: Repository, path: str) -> Iterator[Startup]:
    """Yields the migrations that the processes of a Cloud Foundry manifest start."""
    for root in repository.yaml(path):
        applications = root.get("applications") if isinstance(root, Mapping) else None
        for application in applications.items if isinstance(applications, Sequence) else ():
            processes = application.get("processes") if isinstance(application, Mapping) else None
            for one in [application, *(processes.items if isinstance(processes, Sequence) else ())]:
                node = one.get("command") if isinstance(one, Mapping) else None
                if isinstance(node, Scalar):
                    yield from _of_script(repository, node.text, Place(path, node.line), "", serving=True)


_START_KEY = re.compile(r"""^\s*["']?(?:startCommand|start_command|run_command|entrypoint|app|web)["']?\s*[:=]\s*(\S.*)""")


def of_start_command(repository: Repository, path: str) -> Iterator[Startup]:
    """Yields the migrations of a start command in a platform's file: fly.toml, railway.toml, railway.json, app.yaml."""
    for number, line in enumerate((repository.text(path) or "").splitlines(), 1):
        found = _START_KEY.match(line)
        if found:
            text = re.sub(r"^[\"']|[\"']$", "", found[1].rstrip(" \t,"))
            yield from _of_script(repository, text.replace('\\"', '"'), Place(path, number), "", serving=True)


_SERVING_KINDS = frozenset({"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "DeploymentConfig", "Service"})


def of_manifest(repository: Repository, path: str) -> Iterator[Startup]:
    """Yields the migrations that the pods of a Kubernetes workload start, in a container or an init container."""
    for root in repository.yaml(path):
        if not isinstance(root, Mapping) or scalar_text(root.get("kind")) not in _SERVING_KINDS:
            continue
        template = _below(root, "spec", "template", "spec")
        for key in ("initContainers", "containers"):
            listed = template.get(key) if isinstance(template, Mapping) else None
            for one in listed.items if isinstance(listed, Sequence) else ():
                words = [_script_of(one.get(name)) for name in ("command", "args")] if isinstance(one, Mapping) else []
                script = " ".join(word for word in words if word)
                if not script:
                    continue
                place = Place(path, one.line)
                if key == "initContainers":
                    migrations = [command for command in commands(script) if migrates(command)]
                    yield from [Startup(place, shown(command.text)) for command in migrations[:1]]
                else:
                    yield from _of_script(repository, script, place, "", serving=True)


def _below(node: Node | None, *keys: str) -> Node | None:
    for key in keys:
        node = node.get(key) if isinstance(node, Mapping) else None
    return node
