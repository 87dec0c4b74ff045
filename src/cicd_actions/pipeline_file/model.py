"""The definition of the pipeline file: every key, its kind, its meaning and its default.

The parser, the JSON Schema and the documentation are made from these classes. A new key is a new field here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cicd_actions.engines.protocol import ENGINES
from cicd_actions.health_gate.inputs import KEYS
from cicd_actions.pipeline_file.checks import Scans, SecretsDoc
from cicd_actions.pipeline_file.kinds import (
    BUILD_ARGS,
    COMMAND,
    COMMANDS,
    DURATION,
    ENV,
    ENVIRONMENT,
    FREEZE,
    GLOB,
    NAME,
    PATH,
    REF,
    REPOSITORY,
    RUNNER,
    STEP,
    URL,
    VARIABLE,
    WORD,
)
from cicd_actions.pipeline_file.lanes import Lane
from cicd_actions.pipeline_file.shape import Choice, Flag, Listed, Named, Number, Object, Text, Texts, key


@dataclass(frozen=True)
class Image:
    """An image of the release. It is built once, and every environment runs the same digest."""

    repository: str = key(REPOSITORY, "Repository, without a tag.", required=True)
    dockerfile: str = key(PATH, "Dockerfile. Default: `Dockerfile`.", "Dockerfile")
    context: str = key(PATH, "Build context. Default: `.`", ".")
    target: str | None = key(NAME, "Stage of the Dockerfile.")
    build_args: Mapping[str, str] = key(BUILD_ARGS, "Build arguments. `{sha}` stands for the commit.", {})
    build_secrets: tuple[str, ...] = key(
        Listed(VARIABLE),
        "Names of the secret BUILD_ENV, a dotenv file: the build may mount them, and `command` has them as variables.",
        (),
    )
    platforms: tuple[str, ...] = key(
        Listed(Text("a platform", r"[a-z0-9]+/[a-z0-9]+(?:/v[0-9]+)?", "linux/amd64"), 1), "Platforms.", ("linux/amd64",)
    )
    tags: tuple[str, ...] = key(
        Listed(Text("a tag", r"[A-Za-z0-9_{][A-Za-z0-9_.{}-]{0,127}", "main")), "More tags; `{sha}` stands for the commit.", ()
    )
    runs_on: tuple[str, ...] | None = key(
        RUNNER, "Runner that builds it in a separate job, for arm64 or a GPU. At most four images. Default: `build.runs-on`."
    )
    command: str | None = key(
        COMMAND,
        "Program that builds the image instead of Docker: `{name}`, `{image}` and `{sha}` are filled in. It prints"
        ' `{"digest": "sha256:…"}` as its last line.',
    )


@dataclass(frozen=True)
class Build:
    """How images are built."""

    runs_on: tuple[str, ...] | None = key(RUNNER, "Runner. Default: the file's `runs-on`.")
    timeout_minutes: float = key(Number(1, 360, whole=True), "Time limit of the job. Default: 30.", 30)
    registry: str = key(
        Text("a registry's host", r"[a-z0-9][a-z0-9.:-]*", "ghcr.io"), "Registry to log in to. Default: `ghcr.io`.", "ghcr.io"
    )
    attest: str = key(
        Choice("auto", "true", "false"),
        "Attest each image's provenance, and let no other image be deployed. Default: `auto`, in public repositories.",
        "auto",
    )
    sbom: bool = key(Flag(), "Attest an SBOM (CycloneDX) of each image whose provenance is attested. Default: `true`.", True)
    registry_username: str | None = key(WORD, "User of the registry. Default: the user who started the run.")


_TARGET = {
    "path": "Path that is probed; it is joined to the service's URL. Default: `/`",
    **{name: each.help for name, each in KEYS.items() if name != "expect-version"},
    "check-version": "`false` where the answer does not tell a version. Default: `true` with `version-from`.",
}
HEALTH = Listed(Texts("Target", _TARGET, "a target of health-gate, and its keys"), 1, 20)


@dataclass(frozen=True)
class Service:
    """A service of the release. Several may share an image."""

    image: str = key(NAME, "Image of `images` that it runs.", required=True)
    health: tuple[Mapping[str, str], ...] | None = key(
        HEALTH, "How health-gate verifies it: one target, or a list. Default: the service is verified by the roll-out alone."
    )


@dataclass(frozen=True)
class Migrate:
    """How the database is migrated: once, as a job of the new image, before the roll-out."""

    service: str | None = key(NAME, "Service whose image brings the migrations.")
    command: str | None = key(COMMAND, "Command of the job.")
    timeout: str | None = key(DURATION, "Deadline of the migrations, once they hold the lock. Default: 20m.")
    schema_command: str | None = key(
        Text("a command, or empty text", r"[\s\S]*", "alembic"),
        "How to start Alembic in the image. Empty text, for other tools, asks the records alone. Default: `alembic`.",
    )
    allow_contract: bool | None = key(
        Flag(), "Apply migrations that the running release cannot live with. It needs `backup-command`. Default: `false`."
    )
    backup_command: str | None = key(COMMAND, "Command that makes a backup of `{environment}` before anything is migrated.")
    verify: str | None = key(
        Choice("fail", "warn", "off"),
        "What verify-migrations does in the lane that prepares a database with `command`: fails it, warns, or does not run."
        " Default: `fail`.",
    )


@dataclass(frozen=True)
class Infrastructure:
    """What an environment stands on: planned before the approval, applied before the migration."""

    directory: str | None = key(PATH, "Folder of its code; `{environment}` is filled in. Default: none; it is needed.")
    tool: str | None = key(
        Choice("terraform", "tofu", "pulumi"), "Tool whose commands are the defaults below. Default: `terraform`."
    )
    prepare: tuple[str, ...] | None = key(
        COMMANDS, "Commands that run first, such as `terraform init -backend-config={environment}.hcl`. Default: the tool's."
    )
    plan: str | None = key(
        COMMAND, "Command that saves a plan as `{plan}`; exit code 2 stands for changes. Default: the tool's."
    )
    show: str | None = key(
        COMMAND, "Command that prints the plan `{plan}` as JSON; Terraform's form, or Pulumi's. Default: the tool's."
    )
    apply: str | None = key(COMMAND, "Command that applies the plan `{plan}` and asks nothing. Default: the tool's.")
    output: str | None = key(COMMAND, "Command that prints the outputs as JSON. Default: the tool's.")
    drift: str | None = key(
        COMMAND, "Command that plans a refresh as `{plan}`; exit code 2 stands for drift. Default: the tool's."
    )
    outputs: Mapping[str, str] | None = key(
        ENV, "Variables of the deploy's programs, smoke tests and gate, each with the output that it holds."
    )
    allow_destroy: tuple[str, ...] | None = key(
        Listed(WORD),
        "Addresses that a plan may destroy or replace, such as `aws_instance.old`; a `*` at the end stands for the rest."
        " Default: none.",
    )
    timeout: str | None = key(DURATION, "Deadline of each command. Default: 30m.")


@dataclass(frozen=True)
class Gate:
    """The pace of the health gate."""

    timeout: str | None = key(DURATION, "Deadline of the gate. Default: 5m.")
    stable_for: str | None = key(DURATION, "Time for which every answer must stay right. Default: 0s.")


@dataclass(frozen=True)
class Settings:
    """How a release runs. An environment overrides each of these keys."""

    runs_on: tuple[str, ...] | None = key(RUNNER, "Runner that reaches the environment. Default: the file's `runs-on`.")
    timeout_minutes: float | None = key(
        Number(1, 360, whole=True), "Time limit of a deploy, its rollback included. Default: 45."
    )
    engine: str | None = key(
        Choice(*ENGINES),
        "Where releases run: `swarm`, `kubernetes` (experimental), `docker`, or `command` (your programs). Default: `command`.",
    )
    stack: str | None = key(WORD, "Swarm's stack or the Compose project; `{environment}` is filled in.")
    parallelism: float | None = key(
        Number(0, 10000, whole=True), "Replicas of a Swarm service that are replaced at a time; 0 is all at once. Default: 1."
    )
    monitor: str | None = key(DURATION, "Time that a replica must stay up before it counts as arrived. Default: 5s.")
    context: str | None = key(WORD, "Context of the kubeconfig; `{environment}` is filled in.")
    namespace: str | None = key(WORD, "Namespace in Kubernetes; `{environment}` is filled in.")
    roll_out_command: str | None = key(COMMAND, "Engine `command`: replaces `{service}` in `{environment}` by `{image}`.")
    running_command: str | None = key(COMMAND, "Engine `command`: prints what runs in `{environment}` as JSON.")
    image_command: str | None = key(COMMAND, "Engine `command`: tells whether `{image}` exists.")
    job_command: str | None = key(COMMAND, "Engine `command`: runs a one-shot job of `{service}` from `{image}`.")
    stage_command: str | None = key(COMMAND, "Engine `command`: prints the stages in `{environment}` as JSON.")
    prepare_command: str | None = key(COMMAND, "Engine `command`: starts `{image}` beside `{service}`, without traffic.")
    weigh_command: str | None = key(
        COMMAND, "Engine `command`: gives the stage of `{service}` `{percent}` percent of the traffic."
    )
    promote_command: str | None = key(COMMAND, "Engine `command`: makes the stage of `{service}` the service itself.")
    abandon_command: str | None = key(COMMAND, "Engine `command`: removes the stage of `{service}`, from any phase.")
    roll_out_timeout: str | None = key(DURATION, "Deadline of the roll-out, and of the rollback. Default: 10m.")
    strategy: str | None = key(
        Choice("rolling", "blue-green", "canary"),
        "How traffic moves to a release. Without `proxy`, Swarm does only `canary`, and Docker only `blue-green`."
        " Default: `rolling`.",
    )
    proxy: str | None = key(WORD, "Service of HAProxy that divides the traffic, such as `proxy`.")
    proxy_socket: str | None = key(WORD, "Path of its runtime socket in its container. Default: /tmp/haproxy.sock.")
    proxy_control: str | None = key(
        WORD, "Swarm with several nodes: the stack's network and the port on which the proxy takes its weights: `control:9990`."
    )
    route: str | None = key(
        WORD, "Kubernetes: the HTTPRoute that divides the traffic. Default: the share is that of ready pods."
    )
    steps: tuple[str, ...] | None = key(
        Listed(STEP, 1, 10), "Steps of a canary, such as `10% 1000 requests within 30m`. Default: 10 % and 50 %."
    )
    bake: str | None = key(
        DURATION, "Time for which the old release stands beside a new one with all of the traffic. Default: 10m."
    )
    promote: str | None = key(
        Choice("automatic", "manual"),
        "`manual`: the deploy ends with the release beside the old one, until stage.yml ends the stage. Default: `automatic`.",
    )
    stage_lasts: str | None = key(DURATION, "Time for which a stage may wait to be promoted. Default: 24h.")
    on_inconclusive: str | None = key(
        Choice("abandon", "hold", "promote"), "What a step does at its limit without a verdict. Default: `abandon`."
    )
    prometheus: str | None = key(URL, "Prometheus that the queries ask. Default: none.")
    latency_query: str | None = key(
        WORD,
        "Query of the buckets of latencies; `{service}` stands for `NAME-next` and `NAME`, `{sha}` for each release's commit.",
    )
    requests_query: str | None = key(
        WORD, "Query of the counters of all requests, instead of the proxy's. Kubernetes needs it for a canary."
    )
    errors_query: str | None = key(WORD, "The same for the requests that failed.")
    stage_targets: str | None = key(
        Text("targets of health-gate, as a block of text", r"[\s\S]*\S[\s\S]*"),
        "What must be right before a staged release gets traffic; `{SERVICE.address}` stands for each of its replicas.",
    )
    infrastructure: Infrastructure | None = key(
        Object(Infrastructure, "a mapping"), "What the environment stands on, planned and applied with it. Default: none."
    )
    migrate: Migrate | None = key(Object(Migrate, "a mapping"), "Migration of the database. Default: none.")
    after_migrate: str | None = key(
        COMMAND, "Command of a second job of the same image, after the migration and before the roll-out, such as seed data."
    )
    gate: Gate | None = key(Object(Gate, "a mapping"), "Pace of the health gate.")
    smoke: tuple[str, ...] | None = key(
        COMMANDS,
        "Commands that test the release on the runner once the gate passed; `{environment}` and `{sha}` are filled in, and"
        " API_URL tells where the service `api` answers. One that fails rolls the release back.",
    )
    smoke_timeout: str | None = key(
        DURATION, "Deadline of all smoke tests; one that does not end is inconclusive. Default: 10m."
    )
    health: Mapping[str, tuple[Mapping[str, str], ...]] | None = key(
        Named(HEALTH, NAME), "By service: how it is verified, instead of the service's own `health`."
    )
    urls: Mapping[str, str] | None = key(
        Named(URL, NAME), "By service: where it answers. Default: the environment's variable `API_URL` for the service `api`."
    )
    url: str | None = key(URL, "Page that GitHub shows beside the deployment. Default: the first of `urls`.")
    approval_environment: str | None = key(
        ENVIRONMENT, "GitHub environment whose reviewers approve before the deploy takes its lock. Default: no approval."
    )
    approval_lasts: str | None = key(DURATION, "How long an approval counts. Default: 24h.")
    require_rollback: str | None = key(
        Choice("true", "false", "recorded"),
        "Deploy only what could be rolled back. `recorded`: once a release is recorded there. Default: `recorded`.",
    )
    freeze: tuple[str, ...] | None = key(
        Listed(FREEZE),
        "Times in which nothing is deployed: `CRON to CRON in ZONE: why`. Rollbacks pass through. Default: none.",
    )
    freeze_override: str | None = key(
        Text("until TIME: why", r"until +\S+: +.*\S", '"until 2026-12-24T18:00:00+01:00: a fix for the outage"'),
        "Deploys through every freeze until that time; the record keeps the reason.",
    )
    records_refs: tuple[str, ...] | None = key(
        Listed(REF),
        "Without the secret RECORD_KEY: refs whose runs may write records. Default: the default branch and the run's ref.",
    )
    require_attestation: str | None = key(
        Choice("true", "false"), "Deploy and roll back only to images that the build attested. Default: where it attests."
    )
    signer_workflow: str | None = key(
        Text(
            "a workflow file with its repository",
            r"[^/\s]+/[^/\s]+/\.github/workflows/[^/\s@]+",
            "org/ci/.github/workflows/build.yml",
        ),
        "Workflow that attests the images. Default: the `release.yml` that runs.",
    )
    allow_older: bool | None = key(Flag(), "Deploy a commit that is behind the running one. Default: `false`.")
    allow_unverified: bool | None = key(Flag(), "Roll back also when something could not be checked before. Default: `false`.")
    allow_empty: bool | None = key(Flag(), "Let a service pass that runs no replica. Default: `false`, which is inconclusive.")
    audit_url: str | None = key(URL, "Where each record is POSTed as one JSON line.")
    deploy_env: tuple[str, ...] | None = key(
        Listed(VARIABLE), "Names that the secret DEPLOY_ENV must hold: what the deploy's programs need."
    )
    release_env: tuple[str, ...] | None = key(
        Listed(VARIABLE), "Names that the secret RELEASE_ENV must hold: what the release's jobs and services need."
    )


@dataclass(frozen=True)
class Environment(Settings):
    """One environment of the release."""

    name: str = key(ENVIRONMENT, "GitHub environment; it holds the secrets.", "", required=True)
    refs: tuple[str, ...] | None = key(Listed(REF), "Refs that go on to this environment. Default: all that are released.")
    after: str | None = key(
        Text("the name of an environment, or empty text", r"|[A-Za-z0-9][A-Za-z0-9._ -]{0,99}", "staging"),
        "Environment in which the same digests must have passed; empty text for none. Default: the one before.",
    )
    start: str = key(
        Choice("automatic", "manual"),
        "`manual`: only a dispatch promotes a commit to it; the environments after it wait too. Default: `automatic`.",
        "automatic",
    )
    rehearse: bool = key(
        Flag(),
        "Let rehearsal.yml roll broken releases out there; never in production. Default: `false`.",
        False,
    )


@dataclass(frozen=True)
class Release(Settings):
    """When and where commits are released."""

    refs: tuple[str, ...] = key(
        Listed(REF), "Refs that are released; `*` matches slashes too. Default: the default branch.", ()
    )
    environments: tuple[Environment, ...] = key(
        Listed(Object(Environment, "a mapping"), 1, 4, alone=False),
        "Environments, in this order; at most four.",
        (),
        required=True,
    )
    protection: str = key(
        Choice("require", "warn", "off"),
        "What an environment that takes deployments from every branch does, and an approval environment without required"
        " reviewers. Default: `require` refuses the release.",
        "require",
    )


DOCUMENTATION = (
    "**/*.md", "docs/**", "LICENSE", ".editorconfig", ".github/ISSUE_TEMPLATE/**", ".github/CODEOWNERS",
)  # fmt: skip


@dataclass(frozen=True)
class Pipeline:
    """The whole file."""

    version: str = key(Choice("1"), "Version of the format: 1.", required=True)
    lanes: Mapping[str, Lane] = key(
        Named(Object(Lane, "a mapping"), NAME, 50), "Lanes: what is tested, side by side.", required=True
    )
    app: str | None = key(NAME, "Name of the application in queues and records. Default: the repository's.")
    runs_on: tuple[str, ...] = key(RUNNER, "Runner of every job that names none. Default: `ubuntu-latest`.", ("ubuntu-latest",))
    documentation: tuple[str, ...] = key(
        Listed(GLOB), "Files that no lane needs. A change of nothing else runs no lane.", DOCUMENTATION
    )
    secrets_doc: SecretsDoc = key(Object(SecretsDoc, "a mapping"), "Check of the secrets' documentation.", SecretsDoc())
    audit: str = key(
        Choice("warn", "fail", "off"), "What a critical or overdue finding of pipeline-audit does. Default: `warn`.", "warn"
    )
    scans: Scans | None = key(Object(Scans, "a mapping"), "Security scans; `{}` for the usual ones. Default: none.")
    deploys: bool | None = key(Flag(), "Whether this repository deploys, for pipeline-audit. Default: what its workflows show.")
    images: Mapping[str, Image] = key(Named(Object(Image, "a mapping"), NAME, 50), "Images of the release.", {})
    build: Build = key(Object(Build, "a mapping"), "How images are built.", Build())
    services: Mapping[str, Service] = key(
        Named(Object(Service, "a mapping"), NAME, 100), "Services: what is deployed, rolled out in this order.", {}
    )
    release: Release | None = key(Object(Release, "a mapping"), "The release. Default: nothing is released.")


def effective(release: Release, environment: Environment) -> dict[str, Any]:
    """Returns the settings of an environment by key: its own ones, and the release's where it says nothing.

    Mappings are merged one level deep, so that an environment changes one key of `migrate` and keeps the others.
    """
    found: dict[str, Any] = {}
    for each in dataclasses.fields(Settings):
        here, above = getattr(environment, each.name), getattr(release, each.name)
        value = above if here is None else here
        if here is not None and above is not None:
            if isinstance(here, Mapping):
                value = {**above, **here}
            elif dataclasses.is_dataclass(here):
                given = {name: text for name, text in vars(here).items() if text is not None}
                value = dataclasses.replace(above, **given)
        if value is not None:
            found[each.name.replace("_", "-")] = value
    return found
