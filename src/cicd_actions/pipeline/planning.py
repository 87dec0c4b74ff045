"""Turns the pipeline file and an event into what runs: jobs, images, services, environments, each with the reason."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cicd_actions.pipeline import changes, release_settings, scans
from cicd_actions.pipeline.event import REFUSED, RELEASING, Event, RefusedEvent
from cicd_actions.pipeline.release_settings import runner, without_nothing
from cicd_actions.pipeline.toolchains import install, toolchain
from cicd_actions.pipeline_file import backing, rules
from cicd_actions.pipeline_file.lanes import Client, Lane
from cicd_actions.pipeline_file.model import Environment, Migrate, Pipeline, Release
from cicd_actions.pipeline_file.rules import versions
from cicd_actions.toolkit.errors import Failed, UnusableInput
from cicd_actions.toolkit.grammar import argv
from cicd_actions.verify_migrations.inputs import DATABASES

HOSTED = ("ubuntu-latest",)


@dataclass
class Plan:
    """What runs. `jobs` holds the settings of each job of a lane by its name; the lists name those that run."""

    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    lanes: list[str] = field(default_factory=list)
    specs: list[str] = field(default_factory=list)
    clients: list[str] = field(default_factory=list)
    why_lanes: str = ""
    release: bool = False
    why_release: str = ""
    complete: bool = False
    build: dict[str, Any] = field(default_factory=dict)
    environments: list[dict[str, Any]] = field(default_factory=list)
    secrets_doc: dict[str, str] = field(default_factory=dict)
    audit: str = ""
    scans: dict[str, Any] = field(default_factory=dict)
    """The scans of the source; empty for none."""
    notes: list[str] = field(default_factory=list)


def make(pipeline: Pipeline, trusted: Pipeline | None, event: Event, files: Sequence[str]) -> Plan:
    """Returns the plan of a run. *files* are the tracked files of the commit.

    *trusted* is the file of the base, `None` where the base has none: for a fork's pull request, runners, containers and
    releases come from it alone. Raises `RefusedEvent`.
    """
    if event.name in REFUSED:
        raise RefusedEvent(
            f"Could not plan a run on {event.name}: GitHub hands secrets to it, and the lanes run the code of a change.",
            fix="Run the pipeline on pull requests instead:\n\n    on:\n      pull_request:",
        )
    documented = {"check": pipeline.secrets_doc.check, "document": pipeline.secrets_doc.document or ""}
    plan = Plan(secrets_doc=documented, audit=pipeline.audit)
    migrate = pipeline.release.migrate if pipeline.release else None
    if event.fork:
        pipeline = of_fork(pipeline, trusted, plan.notes)
    touched, plan.why_lanes = changes.lanes(pipeline, event.name, event.files)
    if event.promote:
        touched, plan.why_lanes = set(), "a promotion deploys what was verified before"
    for name, lane in pipeline.lanes.items():
        for job, settings in _jobs(pipeline, name, lane, event, files):
            plan.jobs[job] = settings
            if migrate and job == _first_job(name, lane) and (found := migrations(lane, migrate, settings["install"])):
                settings["migrations"] = found
            if name in touched:
                (plan.clients if lane.client else plan.lanes).append(job)
    wanted = {lane.client.of for name, lane in pipeline.lanes.items() if lane.client and name in touched}
    plan.specs = [_first_job(name, pipeline.lanes[name]) for name in pipeline.lanes if name in wanted]
    plan.complete = bool(event.promote) or (bool(pipeline.lanes) and touched == set(pipeline.lanes))
    plan.scans = scans.of_source(pipeline, list(plan.jobs.values()), event.base)
    _release(plan, pipeline, event)
    return plan


def of_fork(pipeline: Pipeline, trusted: Pipeline | None, notes: list[str]) -> Pipeline:
    """Returns the file of a fork's pull request with the runners, the containers and the release of the base's file."""
    lanes: dict[str, Lane] = {}
    for name, lane in pipeline.lanes.items():
        base = trusted.lanes.get(name) if trusted else None
        if base is None:
            notes.append(f"The base does not have the lane `{name}`: it runs on a hosted runner, without containers.")
        lanes[name] = dataclasses.replace(
            lane,
            runs_on=(base.runs_on or (trusted.runs_on if trusted else HOSTED)) if base else HOSTED,
            backing=base.backing if base else {},
            container=base.container if base else None,
        )
    notes.append("A fork's pull request: runners and containers come from the base's file, and nothing is released.")
    runs_on = trusted.runs_on if trusted else HOSTED
    return dataclasses.replace(pipeline, lanes=lanes, runs_on=runs_on, images={}, services={}, release=None)


def _jobs(pipeline: Pipeline, name: str, lane: Lane, event: Event, files: Sequence[str]) -> list[tuple[str, dict[str, Any]]]:
    """Returns the jobs of a lane, each with its settings: one for each version."""
    python, node = toolchain(lane, files, "python"), toolchain(lane, files, "node")
    common: dict[str, Any] = {
        "lane": name,
        "directory": lane.directory,
        "runs-on": runner(lane.runs_on or pipeline.runs_on),
        "timeout-minutes": int(lane.timeout_minutes),
        "install": install(lane, [each for each in (python, node) if each]),
        "prepare": list(lane.prepare),
        "env": dict(lane.env),
        # A list, because the order of an object's keys is lost on the way through expressions.
        "checks": [{"name": label, **without_nothing(dataclasses.asdict(test))} for label, test in lane.checks.items()],
        "container": lane.container or "",
        "services": {label: backing.container(each) for label, each in lane.backing.items()},
        "backing": {label: backing.port(each) for label, each in lane.backing.items()},
    }
    if lane.openapi:
        common["openapi"] = lane.openapi
    if lane.client:
        common["client"] = _client(lane.client, pipeline, event)
    for language, found in (("python", python), ("node", node)):
        if found:
            common[f"{language}-manager"], common[f"{language}-lock"] = found.manager, found.lock
            common[f"{language}-manager-version"] = found.version
    if node:
        common["package-json"] = f"{node.folder}/package.json".removeprefix("./")
    pythons = lane.python.version if lane.python else ("",)
    nodes = lane.node.version if lane.node else ("",)
    pairs = [(one, other) for one in pythons for other in nodes]
    names = [f"{name}-{version}" if version else name for version in versions(lane)]
    return [(job, {**common, "job": job, "python": one, "node": other}) for job, (one, other) in zip(names, pairs, strict=True)]


def _first_job(name: str, lane: Lane) -> str:
    version = versions(lane)[0]
    return f"{name}-{version}" if version else name


def _client(client: Client, pipeline: Pipeline, event: Event) -> dict[str, Any]:
    source = pipeline.lanes[client.of]
    # Where the comparison can fail the lane, a base that could not be exported must fail it too.
    compares = bool({"breaking", "generated-symbol"} & set(client.fail_on)) or any("error" in rule for rule in client.rules)
    return {
        "of": client.of,
        "spec": _first_job(client.of, source),
        "path": "\n".join(client.path),
        "generate": client.generate,
        "fail-on": "\n".join(client.fail_on),
        "rules": "\n".join(client.rules),
        "acknowledge": client.acknowledge or "",
        "export-hint": f"(cd {source.directory} && {source.openapi})",
        "needs-base": compares and bool(event.base),
    }


def migrations(lane: Lane, migrate: Migrate, installs: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Returns how verify-migrations runs in a lane; empty where the lane does not prepare a database as a release does.

    That lane is known by a command of its `prepare` that ends with the command of `release.migrate`.
    """
    wanted = argv(migrate.command or "")
    command = next((each for each in lane.prepare if wanted and argv(each)[-len(wanted) :] == wanted), "")
    named = [name for name, text in lane.env.items() if text.startswith(DATABASES)]
    variable = "DATABASE_URL" if "DATABASE_URL" in named else named[0] if len(named) == 1 else ""
    if not command or not variable or lane.client or migrate.verify == "off":
        return {}
    own = [each["run"] for each in installs if each["directory"] == lane.directory]
    return {
        "check": migrate.verify or "fail",
        "command": command,
        "variable": variable,
        "base-install-command": own[0] if len(own) == 1 else shlex.join(["sh", "-ec", "\n".join(own)]) if own else "",
    }


def _release(plan: Plan, pipeline: Pipeline, event: Event) -> None:
    """Decides whether the run releases its commit, and fills in how."""
    release = pipeline.release
    if release is None:
        plan.why_release = "a fork's pull request releases nothing" if event.fork else "the file has no `release`"
    elif event.promote:
        _promote(plan, pipeline, release, event)
    elif event.name not in RELEASING:
        plan.why_release = f"{event.name} never releases"
    elif not event.is_one_of(release.refs):
        plan.why_release = "this branch or tag is not named in `release.refs`"
    elif not plan.complete:
        plan.why_release = "no lane had to run: there is nothing to release"
    else:
        plan.environments = release_settings.environments(pipeline, release, event)
        plan.release = bool(plan.environments)
        names = " → ".join(each["name"] for each in plan.environments)
        plan.why_release = f"to {names}" if names else "no environment takes this branch or tag"
        plan.build = release_settings.build(pipeline, event, plan.environments)


def _promote(plan: Plan, pipeline: Pipeline, release: Release, event: Event) -> None:
    """Plans the deploy to one environment alone. Raises `UnusableInput`, and `Failed` where event or ref do not fit."""
    names = [each.name for each in release.environments]
    if event.promote not in names:
        raise UnusableInput(
            f"Could not promote to `{event.promote}`: the pipeline file has no such environment.",
            fix=f"Choose one of: {', '.join(names)}.",
        )
    environment = release.environments[names.index(event.promote)]
    before = rules.before(release, environment)
    if not before:
        raise UnusableInput(f"Could not promote to `{environment.name}`: no environment comes before it.")
    if event.name != "workflow_dispatch":
        raise Failed(f"Refused to promote on {event.name}: only `workflow_dispatch` promotes.")
    takes = environment.refs is None or event.is_one_of(environment.refs)
    if not takes or not event.is_one_of(release.refs):
        raise Failed(
            f"Refused to promote {event.ref} to `{environment.name}`: neither `release.refs` nor the environment's `refs` may"
            " leave it out.",
            fix="Run the workflow from another branch or tag, or add the ref to both lists.",
        )
    plan.environments = [release_settings.settings_of(pipeline, release, environment, before, event)]
    plan.release = True
    plan.why_release = f"promotes what passed in {before} to {environment.name}"
    plan.build = release_settings.build(pipeline, event, plan.environments)


def stage(pipeline: Pipeline, release: Release, environment: Environment, event: Event) -> Plan:
    """Plans the end of the stage in an environment: what promotes it is a deploy of the same release, without what ran by then.

    Raises `Failed` for an event that gives no such right.
    """
    if event.name != "workflow_dispatch":
        raise Failed(f"Refused to end a stage on {event.name}: only `workflow_dispatch` does.")
    settings = release_settings.settings_of(pipeline, release, environment, rules.before(release, environment), event)
    settings.pop("after-migrate", None)
    if "infrastructure" in settings:
        # Applied by then: only its outputs are read.
        settings["infrastructure"] |= {"directory": "", "applied-in": settings["infrastructure"]["directory"]}
    settings["promote"] = "staged"
    plan = Plan(release=True, why_release=f"ends the stage in {environment.name}", environments=[settings])
    plan.build = {"staged-in": environment.name, **release_settings.recorded(pipeline, settings)}
    return plan
