"""What the repository's own workflows do: the commands they run, the containers they start, the images they build."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from cicd_actions.pipeline.detection.model import Repository, joined
from cicd_actions.pipeline_audit import commands as known_commands
from cicd_actions.pipeline_audit import known_actions, shell
from cicd_actions.pipeline_audit.effects import Kind
from cicd_actions.toolkit.grammar import argv, fits
from cicd_actions.toolkit.json_values import members

_WORKFLOW = re.compile(r"\.github/workflows/[^/]+\.ya?ml")
_ON_A_CHANGE = frozenset({"push", "pull_request", "merge_group", "workflow_call"})
_COMPLICATED = re.compile(r"[|&;<>$`\\]")
_TESTS = re.compile(r"\b(?:pytest|unittest|manage\.py (?:test|migrate|check)|alembic|tox|nox|coverage)\b|\btests?\b")
"""What a line has that runs tests of Python, or prepares them."""

_INSTALLS = re.compile(r"(?:python3? -m )?pip3? install (.+)")
_RUN_BY = (
    r"(?:(?:uv|poetry|pdm|pipenv) run (?:--?[\w-]+(?:[= ](?!-)[\w.:/-]+)? )*?)?"
    r"(?:coverage run (?:--?[\w-]+(?:=\S+)? )*)?(?:python3? (?:-m )?)?"
)


@dataclass(frozen=True)
class Command:
    """A line that a workflow runs on a change, and where."""

    text: str
    folder: str
    file: str


@dataclass(frozen=True)
class Variable:
    """A variable that a workflow sets for its tests, and where they run."""

    name: str
    value: str
    folder: str
    file: str


@dataclass(frozen=True)
class Container:
    """A container that a job starts beside it, and the folders in which the job's commands run."""

    name: str
    image: str
    port: int
    env: dict[str, str]
    folders: frozenset[str]
    file: str


@dataclass(frozen=True)
class Build:
    """An image that a workflow builds."""

    dockerfile: str
    context: str
    target: str
    repository: str
    platforms: tuple[str, ...]
    args: tuple[str, ...]
    file: str


@dataclass
class Standing:
    """Everything that the workflows show. `deploys` are the lines of all workflows, each with its file and its runner;
    `platforms` are where they deploy to, each with its file.
    """

    commands: list[Command] = field(default_factory=list)
    containers: list[Container] = field(default_factory=list)
    variables: list[Variable] = field(default_factory=list)
    expressions: list[Variable] = field(default_factory=list)
    """Variables of the tests whose values only a run knows."""

    builds: list[Build] = field(default_factory=list)
    environments: list[str] = field(default_factory=list)
    deploys: list[tuple[str, str, tuple[str, ...]]] = field(default_factory=list)
    platforms: list[tuple[str, str]] = field(default_factory=list)
    node: str = ""
    python: str = ""

    def arguments(self, tool: str, folder: str) -> tuple[str, str]:
        """Returns the arguments with which a workflow runs a tool in a folder, and the workflow's file; empty for none."""
        pattern = re.compile(rf"{_RUN_BY}{re.escape(tool)}((?: .*)?)")
        for each in self.commands:
            match = pattern.fullmatch(each.text)
            if match and each.folder == folder and not _COMPLICATED.search(each.text) and fits(argv, each.text):
                return match[1].strip(), each.file
        return "", ""

    def installed(self, folder: str) -> dict[str, str]:
        """Returns the distributions that workflows install by name in a folder, each with the workflow's file."""
        found: dict[str, str] = {}
        for each in self.commands:
            match = _INSTALLS.fullmatch(each.text)
            words = match[1].split() if match and each.folder == folder and not _COMPLICATED.search(each.text) else []
            for before, word in zip(["", *words], words, strict=False):
                name = re.match(r"[A-Za-z0-9][\w.-]*(?=$|[\[=<>!~])", word.strip("\"'"))
                if name and not re.fullmatch(r"-[a-z]|--(?:requirement|constraint|editable|index-url|target)", before):
                    found.setdefault(re.sub(r"[-_.]+", "-", name[0].lower()), each.file)
        return found


def read(repository: Repository) -> Standing:
    """Returns what the workflows show."""
    standing = Standing()
    for path in repository.files:
        if _WORKFLOW.fullmatch(path):
            _workflow(standing, path, repository.yaml(path))
    return standing


def _workflow(standing: Standing, path: str, document: dict[str, Any]) -> None:
    triggers = document.get("on")
    names = {triggers} if isinstance(triggers, str) else set(triggers) if isinstance(triggers, (list, dict)) else set()
    for job in members(document.get("jobs")).values():
        if not isinstance(job, dict):
            continue
        environment = job.get("environment")
        name = environment.get("name") if isinstance(environment, dict) else environment
        if isinstance(name, str) and "${{" not in name and name not in standing.environments:
            standing.environments.append(name)
        asked, places = job.get("runs-on"), set()
        runner = tuple(str(label) for label in (asked if isinstance(asked, list) else [asked]))
        for step in job.get("steps") or []:
            if not isinstance(step, dict):
                continue
            uses, given = str(step.get("uses") or ""), {name: str(text) for name, text in members(step.get("with")).items()}
            remote = given.get("script", "") if "ssh" in uses else ""
            standing.platforms += [(where, path) for where in _platforms(uses, given, str(step.get("run") or ""), remote)]
            standing.deploys += [(f"ssh: {line}", path, runner) for line in _lines(remote)]
            if uses.startswith("docker/build-push-action@"):
                standing.builds += _build(members(step.get("with")), path)
            standing.node = standing.node or _newest(step, job, "node-version", r"v?(\d+)")
            standing.python = standing.python or _newest(step, job, "python-version", r"(3\.\d+)")
            folder = _folder(step, job, document)
            for line in _lines(str(step.get("run") or "")):
                command = _command(line, folder, path)
                places.add(command.folder)
                standing.deploys.append((line, path, runner))
                if names & _ON_A_CHANGE:
                    standing.commands.append(command)
                    if _TESTS.search(command.text):
                        for each in _variables((document, job, step), command.folder, path):
                            (standing.expressions if "${{" in each.value else standing.variables).append(each)
        for label, service in members(job.get("services")).items():
            standing.containers += _container(label, service, frozenset(places), path)


def _platforms(uses: str, given: dict[str, str], script: str, remote: str) -> Iterator[str]:
    """Yields where a step deploys to, by its action, its script, and the script that it runs over SSH."""
    effects = [*known_actions.effects_of(uses, given)]
    for command in shell.commands(script):
        effects += known_commands.effects_of(command)
    yield from (effect.what for effect in effects if effect.kind is Kind.DEPLOY and effect.sure)
    if remote:
        yield "a server over SSH"


def _newest(step: dict[str, Any], job: dict[str, Any], key: str, form: str) -> str:
    """Returns the version that a step sets up; of a matrix the newest. Empty for none."""
    given = str(members(step.get("with")).get(key) or "")
    listed: Any = given.splitlines()
    if match := re.fullmatch(r"\$\{\{ *matrix\.([\w-]+) *\}\}", given):
        listed = members(members(job.get("strategy")).get("matrix")).get(match[1])
    found = [match[1] for each in (listed if isinstance(listed, list) else ()) if (match := re.match(form, str(each)))]
    return max(found, key=lambda version: [int(part) for part in version.split(".")], default="")


def _variables(above: tuple[dict[str, Any], ...], folder: str, path: str) -> Iterator[Variable]:
    """Yields what a step's command finds set."""
    found = {str(name): value for each in above for name, value in members(each.get("env")).items()}
    for name, value in found.items():
        if isinstance(value, (str, int, float)):
            yield Variable(name, str(value).lower() if isinstance(value, bool) else str(value), folder, path)


def _folder(step: dict[str, Any], job: dict[str, Any], document: dict[str, Any]) -> str:
    found = step.get("working-directory")
    for above in (job, document):
        found = found or members(members(above.get("defaults")).get("run")).get("working-directory")
    return joined(str(found or "."), "")


def _lines(script: str) -> Iterator[str]:
    for line in script.replace("\\\n", " ").splitlines():
        text = " ".join(line.split())
        if text and not text.startswith("#"):
            yield text


def _command(line: str, folder: str, path: str) -> Command:
    """Returns a command; `cd apps/api && …` is a command of that folder."""
    match = re.fullmatch(r"cd ([\w./-]+) && (.+)", line)
    return Command(match[2], joined(folder, match[1]), path) if match else Command(line, folder, path)


def _container(label: str, service: Any, folders: frozenset[str], path: str) -> Iterator[Container]:
    facts = members(service)
    image = facts.get("image") if facts else service
    if not isinstance(image, str) or "${{" in image:
        return
    listed = facts.get("ports") or []
    port = re.search(r"(?<![0-9])([0-9]+)(?:/tcp)?$", str(listed[0])) if isinstance(listed, list) and listed else None
    env = {str(key): str(value) for key, value in members(facts.get("env")).items() if "${{" not in str(value)}
    yield Container(label, image, int(port[1]) if port else 0, env, folders, path)


def _build(given: dict[str, Any], path: str) -> Iterator[Build]:
    texts = {key: str(value) for key, value in given.items()}
    context = texts.get("context", ".")
    if "${{" in context + texts.get("file", "") or context.startswith("http"):
        return
    tag = next(iter(re.split(r"[\s,]+", texts.get("tags", "").strip())), "")
    repository = tag.partition("@")[0]
    repository = repository[: repository.rfind(":")] if ":" in repository.rpartition("/")[2] else repository
    yield Build(
        joined(texts["file"], "") if "file" in texts else joined(context, "Dockerfile"),
        joined(context, ""),
        texts.get("target", ""),
        "" if "${{" in repository else repository.lower(),
        tuple(re.findall(r"(?<![a-z0-9])[a-z0-9]+/[a-z0-9]+(?:/v[0-9]+)?", texts.get("platforms", ""))),
        tuple(re.findall(r"(?m)^[ \t]*([A-Za-z_]\w*)=", texts.get("build-args", ""))),
        path,
    )
