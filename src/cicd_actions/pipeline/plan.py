"""`cicd-actions plan`: what would run for an event, and why."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cicd_actions.github.client import GitHub
from cicd_actions.pipeline import caller, changes, planning, rehearse, release_settings
from cicd_actions.pipeline import protection as protected
from cicd_actions.pipeline.event import Event
from cicd_actions.pipeline.planning import Plan
from cicd_actions.pipeline_file import reading
from cicd_actions.pipeline_file.model import Environment, Pipeline, Release
from cicd_actions.toolkit.definition import Action, Output
from cicd_actions.toolkit.errors import Failed, UnusableInput
from cicd_actions.toolkit.grammar import lines, string
from cicd_actions.toolkit.inputs import declare
from cicd_actions.toolkit.json_values import members
from cicd_actions.toolkit.report import Block, Bullets, Code, Heading, Inline, OutputValue, Paragraph, Report, Table
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.toolkit.verdict import Verdict


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """The file, and the event; on GitHub the run tells the event."""

    config: str = declare(string, "Path of the pipeline file.", default=reading.DEFAULT)
    base_config: str = declare(
        string,
        "Path of the base's pipeline file, for a pull request of a fork: runners, containers and releases come from it alone.",
    )
    event: str = declare(string, "Name of the event, such as `push`. Default: the run's event, else `push`.")
    ref: str = declare(string, "Full ref, such as `refs/heads/main`. Default: the run's ref.")
    changed: tuple[str, ...] = declare(lines(string), "Changed files, one per line. Default: git compares the event's commits.")
    github_token: str = declare(
        string,
        "Token with `actions: read`, to read how the release's environments are protected. Without one they are not looked at.",
        secret=True,
    )
    promote: str = declare(
        string, "Name of an environment: deploy the images of this commit that passed in the one before, and build nothing."
    )
    rollback: str = declare(string, "Name of an environment: plan a rollback there instead of a run.")
    stage: str = declare(string, "Name of an environment: plan the end of the stage there instead of a run.")
    rehearse: str = declare(string, "Name of an environment: plan a rehearsal there instead of a run.")


OUTPUTS = (
    Output("jobs", "JSON object: the settings of each lane's job, by the job's name."),
    Output("lanes", "JSON list: the jobs of lanes without a client."),
    Output("specs", "JSON list: the jobs that export an OpenAPI document."),
    Output("clients", "JSON list: the jobs of lanes with a client."),
    Output("base", "Commit that the change starts from; empty when there is none."),
    Output("secrets-doc", "JSON object: whether undocumented secrets fail, and the document."),
    Output("audit", "What a finding of pipeline-audit does: `warn`, `fail` or `off`."),
    Output("scans", "JSON object: the scans of the source; empty for none."),
    Output("required-check", "Status check that the branch's rules have to require; empty where the caller does not tell it."),
    Output("release", "`true` when this run releases its commit."),
    Output("plan", "JSON object: the release, for release.yml."),
    Output("infrastructure", "JSON object: the environments that have infrastructure; empty for none."),
    Output("environment", "JSON object: the settings of the environment to roll back, to rehearse in, or whose stage ends."),
    Output("rehearsal", "JSON object: the release that a rehearsal breaks, and the faults."),
)


def run(inputs: Inputs, runtime: Runtime) -> Report:
    """Plans. Raises `UnusableInput`, `RefusedEvent`, `Unprotected`, and what GitHub's API raises."""
    event = _event(inputs, runtime)
    pipeline = _load(inputs.config, runtime)
    if inputs.rollback:
        return _rollback(pipeline, inputs.rollback, event)
    if inputs.stage:
        return _stage(pipeline, inputs.stage, event)
    if inputs.rehearse:
        return rehearse.plan(pipeline, inputs.rehearse, event)
    trusted: Pipeline | None = None
    if event.fork and inputs.base_config and (runtime.workspace / inputs.base_config).is_file():
        trusted = _load(inputs.base_config, runtime)
    plan = planning.make(pipeline, trusted, event, changes.tracked_files() or [])
    calling = _calling(runtime)
    if plan.release and pipeline.release is not None:
        _refuse_shared_name(inputs.config, pipeline, runtime)
        _refuse_deadlock(calling, plan, event.repository)
        _protected(plan, pipeline.release.protection, inputs, runtime)
    if job := caller.silent(calling):
        plan.notes.append(f"The job `{job}` has `if` or `needs`: while it is skipped, the required check never reports.")
    outputs: dict[str, OutputValue] = {
        "jobs": plan.jobs,
        "lanes": plan.lanes,
        "specs": plan.specs,
        "clients": plan.clients,
        "base": event.base,
        "secrets-doc": plan.secrets_doc,
        "audit": plan.audit,
        "scans": plan.scans,
        "required-check": caller.required_check(calling),
        "release": plan.release,
        "plan": {"release": plan.release, "build": plan.build, "environments": plan.environments},
        "infrastructure": {} if event.fork else release_settings.infrastructure(pipeline, event),
    }
    jobs = len(plan.lanes) + len(plan.specs) + len(plan.clients)
    counted = f"{jobs} job{'' if jobs == 1 else 's'} of lanes"
    headline = f"{counted}: {plan.why_lanes}. Release: {plan.why_release}."
    return Report(Verdict.PASS, headline, outputs, blocks=summary(plan))


def _calling(runtime: Runtime) -> str:
    """Returns the text of the workflow file of this run; empty where it is not there."""
    path = runtime.variables.get("GITHUB_WORKFLOW_REF", "").partition("@")[0].partition("/.github/")[2]
    file = runtime.workspace / ".github" / path
    try:
        return file.read_text("utf-8") if path and file.is_file() else ""
    except (OSError, UnicodeDecodeError):
        return ""


def _refuse_shared_name(config: str, pipeline: Pipeline, runtime: Runtime) -> None:
    """Raises `Failed` for a second pipeline file of a repository that does not say which application it releases."""
    usual = runtime.workspace / reading.DEFAULT
    if not pipeline.app and usual.is_file() and not (runtime.workspace / config).samefile(usual):
        raise Failed(
            f"Refused to release: {config} has no `app`, so its queues, approvals and records are those of {reading.DEFAULT}.",
            cause="Without `app` the application has the repository's name.",
            fix="Name the application of this file, on its top level:\n\n    app: second",
        )


def _refuse_deadlock(calling: str, plan: Plan, repository: str) -> None:
    """Raises `Failed` where the caller holds the queue of a deploy, or of its approval."""
    groups = {f"{kind}-{each['app']}-{each['name']}" for each in plan.environments for kind in ("deploy", "approve")}
    for group in sorted(groups & caller.held(calling, repository)):
        raise Failed(
            f"Refused to release: the calling workflow holds the concurrency group `{group}`, which the deploy needs.",
            cause="GitHub would end the run at once: a deadlock between a workflow and a job that it calls.",
            fix="Give the caller another group:\n\n    concurrency:\n      group: pipeline-${{ github.run_id }}",
        )


class Unprotected(Failed):
    """An environment of the release has no reviewers, or takes deployments from every branch."""


def _protected(plan: Plan, protection: str, inputs: Inputs, runtime: Runtime) -> None:
    """Has GitHub say how the environments are protected. Raises `Unprotected` where the file requires that they are."""
    if protection == "off":
        plan.notes.append("How the environments are protected was not looked at: `protection: off`.")
        return
    if not inputs.github_token:
        plan.notes.append("How the environments are protected was not looked at: there is no token.")
        return
    github = GitHub(inputs.github_token, runtime.variables.get("GITHUB_REPOSITORY", ""), runtime, runtime.deadline(60))
    missing = protected.lacking(github, plan.environments)
    if missing and protection == "require":
        raise Unprotected(
            "Refused to release: " + " ".join(what for what, _ in missing),
            cause="GitHub makes an environment without any rule when a job first names it.",
            fix="\n".join(f"{where}." for _, where in missing)
            + "\nWhere the repository's plan has no such rules, write:\n\n    release:\n      protection: warn",
        )
    plan.notes += [f"{what} {where}." for what, where in missing]


def _load(path: str, runtime: Runtime) -> Pipeline:
    """Returns a pipeline file's pipeline; each mistake is annotated on its line. Raises `UnusablePipeline`."""
    try:
        return reading.load(runtime.workspace / path, path)
    except reading.UnusablePipeline as error:
        if runtime.on_github:
            # The report's own annotation is the tenth.
            for each in error.problems[:9]:
                runtime.command("error", reading.shown(each), file=path, line=each.line, title="pipeline file")
        raise


def _event(inputs: Inputs, runtime: Runtime) -> Event:
    variables = runtime.variables
    name = inputs.event or variables.get("GITHUB_EVENT_NAME") or "push"
    payload = _payload(runtime)
    pair = changes.commits(name, payload)
    repository = variables.get("GITHUB_REPOSITORY", "")
    head = (payload.get("pull_request") or {}).get("head", {}).get("repo") or {}
    return Event(
        name=name,
        ref=inputs.ref or variables.get("GITHUB_REF") or "refs/heads/main",
        sha=variables.get("GITHUB_SHA", ""),
        repository=repository,
        default_branch=(payload.get("repository") or {}).get("default_branch") or ("" if payload else "main"),
        files=inputs.changed or (changes.changed_files(*pair) if pair else None),
        # A fork that was deleted has no repository any more.
        fork=name == "pull_request" and "pull_request" in payload and head.get("full_name") != repository,
        base=changes.left(*pair) if pair else "",
        public=(payload.get("repository") or {}).get("private") is False and not _on_a_server(variables),
        promote=inputs.promote,
        server=_server(variables),
    )


def _on_a_server(variables: Mapping[str, str]) -> bool:
    """Tells whether the run is on an Enterprise Server, which stores no attestations and where nothing is public."""
    host = _server(variables)
    return host != "github.com" and not host.endswith(".ghe.com")


def _server(variables: Mapping[str, str]) -> str:
    return urlsplit(variables.get("GITHUB_SERVER_URL") or "https://github.com").hostname or ""


def _payload(runtime: Runtime) -> Mapping[str, Any]:
    path = runtime.variables.get("GITHUB_EVENT_PATH")
    if not path:
        return {}
    return members(json.loads(Path(path).read_text("utf-8")))


def _rollback(pipeline: Pipeline, name: str, event: Event) -> Report:
    release, environment = _environment(pipeline, name, "plan the rollback of")
    settings = release_settings.settings_of(pipeline, release, environment, "", event)
    return Report(Verdict.PASS, f"Rolls back {name}.", {"environment": settings})


def _stage(pipeline: Pipeline, name: str, event: Event) -> Report:
    release, environment = _environment(pipeline, name, "end the stage in")
    plan = planning.stage(pipeline, release, environment, event)
    outputs: dict[str, OutputValue] = {"environment": plan.environments[0], "plan": {"build": plan.build}}
    return Report(Verdict.PASS, f"Ends the stage in {name}.", outputs)


def _environment(pipeline: Pipeline, name: str, what: str) -> tuple[Release, Environment]:
    """Returns the release and its environment of this name. Raises `UnusableInput`."""
    release = pipeline.release
    known = {each.name: each for each in release.environments} if release else {}
    if release is None or name not in known:
        raise UnusableInput(
            f"Could not {what} `{name}`: the pipeline file has no such environment.",
            fix=f"Choose one of: {', '.join(known) or 'none'}.",
        )
    return release, known[name]


def summary(plan: Plan) -> list[Block]:
    """Returns what would run, and why, for people."""
    rows: list[tuple[Inline, ...]] = []
    for job, settings in plan.jobs.items():
        running = job in {*plan.lanes, *plan.clients}
        checks = ", ".join(each["name"] for each in settings["checks"]) or "none"
        client = f"; client of {settings['client']['of']}" if "client" in settings else ""
        runs = settings["runs-on"] if isinstance(settings["runs-on"], str) else ", ".join(settings["runs-on"])
        rows.append((Code(job), "runs" if running else "skipped", checks + client, Code(runs)))
    blocks: list[Block] = [Table(("lane", "", "checks", "runner"), rows)]
    if plan.release:
        blocks += [
            Heading("Release"),
            Table(("environment", "engine", "services", "approval"), [_row(each) for each in plan.environments]),
        ]
        source = plan.build.get("promote-from")
        built = f"Builds nothing: the digests that passed in {source}." if source else ""
        blocks.append(Paragraph(built or f"Builds once: {', '.join(plan.build['images'])}."))
    if plan.notes:
        blocks.append(Bullets(plan.notes))
    return blocks


def _row(settings: Mapping[str, Any]) -> tuple[Inline, ...]:
    approval = settings.get("approval-environment")
    return (
        settings["name"],
        settings["engine"],
        ", ".join(each["name"] for each in settings["services"]),
        Code(approval) if approval else "none",
    )


ACTION = Action(
    name="plan",
    summary="Shows what the pipeline file runs for an event, and why.",
    inputs=Inputs,
    outputs=OUTPUTS,
    run="cicd_actions.pipeline.plan.run",
    icon="map",
    color="blue",
)
