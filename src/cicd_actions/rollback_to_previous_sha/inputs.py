"""The inputs of rollback-to-previous-sha."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import urlsplit

from cicd_actions.engines.staged_inputs import StagedInputs, StageInputs
from cicd_actions.github.inputs import AttestationInputs, RecordInputs
from cicd_actions.github.release_record import is_sha
from cicd_actions.health_gate.embedded import GateOptions
from cicd_actions.roll_out.inputs import Wanted, services
from cicd_actions.toolkit.grammar import NotUnderstood, argv, boolean, choice, duration, lines, string, variable_name, whole
from cicd_actions.toolkit.inputs import declare, declared


def commit(text: str) -> str:
    """Returns a full commit SHA, or nothing. Raises `NotUnderstood`."""
    found = text.strip().lower()
    if found and not is_sha(found):
        raise NotUnderstood(f"`{found[:80]}` is not a full commit SHA (40 hexadecimal digits)", example="${{ github.sha }}")
    return found


def web_url(text: str) -> str:
    """Returns an `http` or `https` URL, or nothing. GitHub refuses any other as the URL of an environment."""
    url = text.strip()
    if url and (urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname):
        raise NotUnderstood(f"`{url[:200]}` is not the URL of a page", example="https://staging.example.com")
    return url


@dataclass(frozen=True, kw_only=True)
class CheckInputs:
    """What is checked of a release before it is rolled back to."""

    GROUP: ClassVar[str] = "The database, and what could not be checked"

    schema_service: str = declare(
        string,
        "The service whose image holds the Alembic migrations. It is asked whether the release to roll back to knows the"
        " database's revision. Default: only the records are asked.",
    )
    schema_command: tuple[str, ...] = declare(
        argv, "How to start Alembic in that image, without its subcommand: `alembic -c db/alembic.ini`.", default="alembic"
    )
    schema_env: tuple[str, ...] = declare(
        lines(variable_name),
        "Names of the step's environment variables to hand to those jobs, one per line. They have the service's own already.",
    )
    schema_networks: tuple[str, ...] = declare(
        lines(string), "Networks of those jobs, one per line, instead of the service's own."
    )
    schema_working_directory: str = declare(string, "Working directory of those jobs. Default: the image's.")
    allow_unverified: bool = declare(
        boolean,
        "Go on when something could not be checked: whether an image exists, or which migrations are newer."
        " What was checked and is wrong is still refused.",
        default="false",
    )


@dataclass(frozen=True, kw_only=True)
class _Rollback:
    services: tuple[Wanted, ...] = declare(
        services,
        "The services to roll back, one per line and in this order: `service=repository`. The digests come from the records."
        " No other service moves, and no image from another repository. For an id of your own programs such as `shop-3`, write"
        " the service's name twice: `shop=shop`.",
        required=True,
    )
    environment_url: str = declare(web_url, "URL of the environment's page; GitHub shows it beside the deployment.")
    to_sha: str = declare(
        commit,
        "The full SHA of the release to roll back to. Default: the last one that passed its gate here, other than the one to"
        " leave.",
    )
    current_sha: str = declare(
        commit, "The full SHA of the release to leave. Default: the newest deploy, by the records and by what runs."
    )
    github_token: str = declare(
        string,
        "A token with the permissions `deployments: write` and `contents: read`, and `actions: read` without `record-key`.",
        secret=True,
        action_default="${{ github.token }}",
    )
    dry_run: bool = declare(
        boolean,
        "Plan and check everything, and change nothing. Its jobs, if it has to ask an image, only read.",
        default="false",
    )
    allow_empty: bool = declare(
        boolean,
        "Lets the rollback of a service pass that runs no replica. Without it such a rollback is inconclusive, because nothing"
        " proves the image.",
        default="false",
    )
    revert: str = declare(
        choice("", "pull-request"),
        "`pull-request` opens a pull request that reverts the commits which were rolled back, once. It takes the permissions"
        " `contents: write` and `pull-requests: write`. Default: none.",
    )
    plan_file: str = declare(string, "Where to write the plan as JSON. Default: a file in the runner's temporary folder.")
    timeout: float = declare(duration, "How long the rollback may take, its gate not counted.", default="15m")


@dataclass(frozen=True, kw_only=True)
class Inputs(StageInputs, GateOptions, CheckInputs, AttestationInputs, RecordInputs, _Rollback):
    """What is rolled back, where it runs, and how it is verified."""

    environment: str = declare(string, "The environment's name in the records, such as `production`.", required=True)
    abandon_command: tuple[str, ...] | None = declared(StagedInputs, "abandon_command")
    parallelism: int = declare(
        whole(0),
        "Swarm: how many replicas are rolled back at a time; 0 is all at once. The release is known to work, so seconds count."
        " No replica stops before the one in its place is healthy.",
        default="0",
    )
