"""What a schema cannot say of the pipeline file: names that have to exist, commands that have to split, refused variables."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from cicd_actions.deployment_record import freeze
from cicd_actions.engines.staged_protocol import WITHOUT_PROXY
from cicd_actions.health_gate.inputs import KEYS
from cicd_actions.pipeline_file import backing
from cicd_actions.pipeline_file.kinds import COMMAND, ENV
from cicd_actions.pipeline_file.lanes import Client, Lane
from cicd_actions.pipeline_file.model import Environment, Infrastructure, Pipeline, Release, Settings, effective
from cicd_actions.pipeline_file.shape import Kind, Listed, Named, Object, Path, Reading, Short, keys
from cicd_actions.roll_out import strategy
from cicd_actions.toolkit.grammar import NotUnderstood, Parser, argv, fits, is_whole, nearest
from cicd_actions.toolkit.inputs import declarations

REFUSED_ENV = re.compile(r"PATH|LD_.*|DYLD_.*|BASH_ENV|NODE_OPTIONS|PYTHON.*|GITHUB_.*|RUNNER_.*|ACTIONS_.*", re.IGNORECASE)
"""Variables that steer the runner, the shell or the interpreters of a job instead of the lane's own commands."""

STAGE_COMMANDS = ("stage-command", "prepare-command", "weigh-command", "promote-command", "abandon-command")
"""What the engine `command` needs for a release that stands beside the old one."""

MOST_BUILDERS = 4
"""Images with a separate runner: release.yml has as many outputs for the digests of that job's matrix."""

LONGEST_JOB = 360
"""Minutes that a job may take: https://docs.github.com/actions/reference/limits"""

PLACEHOLDER = re.compile(r"\{([a-z0-9][a-z0-9_-]*)(\.host|\.port)?\}")
"""The address of a container, its host alone, or its port alone."""


def check(pipeline: Pipeline, reading: Reading) -> None:
    """Notes every problem of a file whose shape is right."""
    _everywhere(pipeline, (), reading)
    for name, lane in pipeline.lanes.items():
        _lane(pipeline, name, lane, reading)
    jobs = [f"{name}-{version}" for name, lane in pipeline.lanes.items() for version in versions(lane) if version]
    for name in set(jobs) & set(pipeline.lanes):
        reading.wrong(("lanes", name), "another lane has a job of this name, for one of its versions")
    for name in [name for name, image in pipeline.images.items() if image.runs_on][MOST_BUILDERS:]:
        what = f"{MOST_BUILDERS} images have a runner already, and that is the most"
        reading.wrong(("images", name, "runs-on"), what, "build: {runs-on: a-label}")
    for name, service in pipeline.services.items():
        _exists(service.image, pipeline.images, ("services", name, "image"), "image", "images", reading)
        _targets(service.health or (), ("services", name, "health"), reading)
    if pipeline.release is not None:
        _release(pipeline, pipeline.release, reading)


def versions(lane: Lane) -> list[str]:
    """Returns what tells the jobs of a lane apart: nothing for one job, else a version, or two joined by a hyphen."""
    pythons = lane.python.version if lane.python else ("",)
    nodes = lane.node.version if lane.node else ("",)
    if len(pythons) * len(nodes) == 1:
        return [""]
    several = [one for one in (pythons, nodes) if len(one) > 1]
    if len(several) == 1:
        return list(several[0])
    return [f"{python}-{node}" for python in pythons for node in nodes]


def _lane(pipeline: Pipeline, name: str, lane: Lane, reading: Reading) -> None:
    path = ("lanes", name)
    _backing(lane, path, reading)
    for label, test in lane.checks.items():
        if test.minimum_coverage is not None and not test.coverage:
            reading.wrong((*path, "checks", label, "minimum-coverage"), "it needs `coverage`", "coverage: coverage.xml")
    if lane.openapi is not None and "{spec}" not in lane.openapi:
        reading.wrong((*path, "openapi"), "it does not say where to write the document", f"openapi: {lane.openapi} {{spec}}")
    if lane.client is not None:
        _client(pipeline, lane.client, (*path, "client"), reading)


def _backing(lane: Lane, path: Path, reading: Reading) -> None:
    for label, each in lane.backing.items():
        here = (*path, "backing", label)
        if backing.port(each) is None:
            reading.wrong(
                here, f"no port is known for the image `{each.image}`", f"{label}: {{image: {each.image}, port: 9000}}"
            )
        if each.health and backing.UNQUOTABLE.search(each.health):
            what = "the runner cannot hand it over: it has a double quote, a backslash, `$`, a backtick or a line break"
            reading.wrong((*here, "health"), what, "health: curl -f http://localhost:9000/health")
    for variable, text in lane.env.items():
        for found, _ in PLACEHOLDER.findall(text):
            if found not in lane.backing:
                known = ", ".join(lane.backing) or "none"
                what = f"`{{{found}}}` stands for no container of this lane's `backing` ({known})"
                reading.wrong((*path, "env", variable), what, f"backing:\n  {found}: postgres:17")


def _client(pipeline: Pipeline, client: Client, path: Path, reading: Reading) -> None:
    _exists(client.of, pipeline.lanes, (*path, "of"), "lane", "lanes", reading)
    other = pipeline.lanes.get(client.of)
    if other is not None and other.openapi is None:
        fix = f"lanes:\n  {client.of}:\n    openapi: uv run --frozen python scripts/export_openapi.py {{spec}}"
        reading.wrong((*path, "of"), f"the lane `{client.of}` has no `openapi`", fix)
    if "{spec}" not in client.generate:
        reading.wrong((*path, "generate"), "it does not name the document `{spec}`", f"generate: {client.generate} {{spec}}")


def _release(pipeline: Pipeline, release: Release, reading: Reading) -> None:
    path: Path = ("release",)
    if not pipeline.services:
        reading.wrong(path, "there is nothing to release: `services` is empty", "services:\n  api: {image: api}")
    names = [each.name for each in release.environments]
    for number, environment in enumerate(release.environments):
        here = (*path, "environments", str(number))
        if environment.name in names[:number]:
            reading.wrong((*here, "name"), f"the environment `{environment.name}` stands above already")
        if environment.after:
            _exists(environment.after, names[:number], (*here, "after"), "environment before it", "environments", reading)
        _environment(pipeline, release, environment, here, reading)
    _settings(pipeline, release, path, reading)


def _settings(pipeline: Pipeline, settings: Settings, path: Path, reading: Reading) -> None:
    """Checks the keys of the release, or those that an environment overrides."""
    for key in ("health", "urls"):
        for service in getattr(settings, key) or ():
            _exists(service, pipeline.services, (*path, key, service), "service", "services", reading)
    for service, targets in (settings.health or {}).items():
        _targets(targets, (*path, "health", service), reading)
    for number, text in enumerate(settings.freeze or ()):
        here = (*path, "freeze", str(number))
        _parsed(freeze.window, text, here if here in reading.lines else (*path, "freeze"), reading)
    if settings.steps is not None:
        _parsed(strategy.steps, "\n".join(settings.steps), (*path, "steps"), reading)
    if settings.freeze_override is not None:
        _parsed(freeze.override, settings.freeze_override, (*path, "freeze-override"), reading)
    if settings.migrate is not None and settings.migrate.service is not None:
        _exists(settings.migrate.service, pipeline.services, (*path, "migrate", "service"), "service", "services", reading)


def waiting(found: Mapping[str, Any]) -> int:
    """Returns the minutes that the strategy of an environment may wait, beside the roll-out itself.

    Raises `NotUnderstood`.
    """
    if found.get("strategy", "rolling") == "rolling":
        return 0
    known = declarations(strategy.StrategyInputs)
    steps = known["steps"].read("\n".join(found.get("steps", ()))) if found["strategy"] == "canary" else ()
    bake: float = known["bake"].read(found.get("bake", ""))
    seconds: float = sum(step.within for step in steps) + bake
    return math.ceil(seconds / 60)


def before(release: Release, environment: Environment) -> str:
    """Returns the environment in which a release must have passed before; empty for none."""
    names = [each.name for each in release.environments]
    at = names.index(environment.name)
    return environment.after if environment.after is not None else names[at - 1] if at else ""


def _following(release: Release, environment: Environment, path: Path, reading: Reading) -> None:
    """Refuses environments that would start while the release still waits to be promoted in the one before."""
    for other in release.environments:
        if before(release, other) == environment.name and other.start != "manual":
            what = f"`{other.name}` cannot follow `{environment.name}`, where `promote: manual` leaves the release waiting"
            reading.wrong(path, what, f"- name: {other.name}\n  start: manual")


def _strategy(name: str, found: Mapping[str, Any], path: Path, reading: Reading) -> None:
    chosen = found.get("strategy", "rolling")
    if chosen == "rolling":
        if found.get("promote") == "manual":
            what = f"`promote: manual` of `{name}` needs a release that stands beside the old one"
            reading.wrong((*path, "promote"), what, "strategy: blue-green")
        return
    here = (*path, "strategy")
    engine = found.get("engine", "command")
    alone = engine in {"swarm", "docker"} and not found.get("proxy")
    counts = engine != "kubernetes" and not alone
    if chosen == "canary" and engine != "docker" and not counts and not found.get("requests-query"):
        what = f"`canary` of `{name}` needs `requests-query` and `errors-query`, because the engine counts no requests"
        reading.wrong(here, what, "proxy: proxy" if alone else "strategy: blue-green")
    missing = [key for key in STAGE_COMMANDS if not found.get(key)]
    if engine == "command" and missing:
        fix = "\n".join(f"{key}: ./infra/stage.sh {key.partition('-')[0]} {{service}} {{image}}" for key in missing)
        reading.wrong(here, f"`{chosen}` of `{name}` needs {', '.join(f'`{key}`' for key in missing)}", fix)
    if alone and chosen != WITHOUT_PROXY[engine]:
        what = f"`{chosen}` of `{name}` needs `proxy`: without one, `{engine}` can only do `{WITHOUT_PROXY[engine]}`"
        reading.wrong(here, what, "proxy: proxy")
    if (migrate := found.get("migrate")) is not None and migrate.allow_contract:
        what = f"`{chosen}` of `{name}` runs two releases on one database, and the old one breaks by `allow-contract`"
        reading.wrong(here, what, "strategy: rolling")
    try:
        minutes = waiting(found)
    except NotUnderstood:
        return  # said of the key itself
    if found.get("timeout-minutes", LONGEST_JOB) < minutes or minutes >= LONGEST_JOB:
        what = f"the steps and the bake of `{name}` may take {minutes} minutes, longer than the job"
        reading.wrong(here, what, f"timeout-minutes: {min(minutes + 45, LONGEST_JOB)}")


def _parsed(parse: Parser[Any], text: str, path: Path, reading: Reading) -> None:
    try:
        parse(text)
    except NotUnderstood as error:
        reading.wrong(path, str(error), f'"{error.example}"')


def _environment(pipeline: Pipeline, release: Release, environment: Environment, path: Path, reading: Reading) -> None:
    """Checks what only shows once the keys of the environment and of the release are put together."""
    _settings(pipeline, environment, path, reading)
    found = effective(release, environment)
    if found.get("engine", "command") == "command" and not found.get("roll-out-command"):
        fix = "roll-out-command: ./infra/roll-out.sh {service} {image} {sha} {environment}"
        reading.wrong(path, f"the engine `command` of `{environment.name}` needs `roll-out-command`", fix)
    migrate = found.get("migrate")
    if migrate is None and found.get("after-migrate"):
        fix = "migrate: {service: api, command: alembic upgrade head}"
        reading.wrong(path, f"`after-migrate` of `{environment.name}` needs `migrate`, whose image it runs", fix)
    if migrate is not None:
        for key, example in (("service", "api"), ("command", "alembic upgrade head")):
            if getattr(migrate, key) is None:
                reading.wrong((*path, "migrate"), f"`migrate` of `{environment.name}` needs `{key}`", f"{key}: {example}")
        if migrate.allow_contract and not migrate.backup_command:
            what = "`allow-contract` needs `backup-command`: a contract migration cannot be rolled back"
            reading.wrong((*path, "migrate"), what, "backup-command: ./infra/backup.sh {environment}")
    if (infrastructure := found.get("infrastructure")) is not None:
        _infrastructure(environment.name, infrastructure, (*path, "infrastructure"), reading)
    _strategy(environment.name, found, path, reading)
    if found.get("promote") == "manual":
        _following(release, environment, path, reading)
    if found.get("approval-environment") == environment.name:
        what = "the approval environment is the deploy's own: a job that waits for a reviewer would hold the deploy's lock"
        reading.wrong((*path, "approval-environment"), what, f"approval-environment: {environment.name}-approval")


def _infrastructure(name: str, found: Infrastructure, path: Path, reading: Reading) -> None:
    if found.directory is None:
        reading.wrong(path, f"`infrastructure` of `{name}` needs `directory`", "directory: infra")
    for key in ("plan", "show", "apply"):
        command = getattr(found, key)
        if command is not None and "{plan}" not in command:
            what = f"`{key}` of `{name}` does not name the file of the plan, `{{plan}}`"
            reading.wrong((*path, key), what, f"{key}: {command} {{plan}}")


def _targets(targets: tuple[Mapping[str, str], ...], path: Path, reading: Reading) -> None:
    for number, target in enumerate(targets):
        here = path if (*path, str(number)) not in reading.lines else (*path, str(number))
        if "path" in target and ("url" in target or "command" in target):
            reading.wrong(
                (*here, "path"), "`path` belongs to the service's own URL; a target has one of `path`, `url`, `command`"
            )
        for key, text in target.items():
            parse = KEYS[key].parse if key in KEYS else None
            try:
                if parse is not None and text.strip():
                    parse(text)
            except NotUnderstood as error:
                fix = f"{key}: {error.example}" if parse is not None and fits(parse, error.example) else ""
                reading.wrong((*here, key), str(error), fix)
        if target.get("check-version", "true") not in {"true", "false"}:
            reading.wrong((*here, "check-version"), "it is neither `true` nor `false`", "check-version: false")


def _exists(name: str, known: Any, path: Path, what: str, key: str, reading: Reading) -> None:
    if name in known:
        return
    meant = nearest(name, known)
    hint = f"did you mean `{meant}`?" if meant else f"`{key}` has {', '.join(known) or 'none'}"
    reading.wrong(path, f"there is no {what} `{name}`; {hint}", f"{path[-1]}: {meant}" if meant and path[-1] != name else "")


def _everywhere(value: Any, path: Path, reading: Reading) -> None:
    """Checks each command and each `env` of the file, wherever it stands."""
    for name, each in keys(type(value)).items():
        found = getattr(value, name.replace("-", "_"))
        if found is not None:
            _walk(each.kind, found, (*path, name), reading)


def _walk(kind: Kind[Any], value: Any, path: Path, reading: Reading) -> None:
    if kind is COMMAND:
        _command(value, path, reading)
    elif kind is ENV:
        _variables(value, path, reading)
    elif isinstance(kind, Listed) and isinstance(value, tuple):
        for number, item in enumerate(value):
            here = (*path, str(number))
            _walk(kind.of, item, here if here in reading.lines else path, reading)
    elif isinstance(kind, Named):
        for name, item in value.items():
            _walk(kind.of, item, (*path, name), reading)
    elif isinstance(kind, (Object, Short)):
        short = isinstance(kind, Short) and not any(each[: len(path)] == path and each != path for each in reading.lines)
        for name, item in _fields(value):
            _walk(item, getattr(value, name.replace("-", "_")), path if short else (*path, name), reading)


def _fields(value: Any) -> Iterator[tuple[str, Kind[Any]]]:
    for name, each in keys(type(value)).items():
        if getattr(value, name.replace("-", "_")) is not None:
            yield name, each.kind


def _command(text: str, path: Path, reading: Reading) -> None:
    try:
        argv(text)
    except NotUnderstood as error:
        fix = f"{path[-1]}: {error.example}" if fits(argv, error.example) and not is_whole(path[-1]) else ""
        reading.wrong(path, str(error), fix)


def _variables(env: Mapping[str, str], path: Path, reading: Reading) -> None:
    for name in env:
        if REFUSED_ENV.fullmatch(name):
            what = f"the variable {name} is refused: it steers the runner, a shell or an interpreter instead of the command"
            reading.wrong((*path, name), what, f"APP_{name}: …")
