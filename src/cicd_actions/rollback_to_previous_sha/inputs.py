"""The inputs of rollback-to-previous-sha."""

from __future__ import annotations

from dataclasses import dataclass

from cicd_actions.deployment_record.inputs import web_url
from cicd_actions.engines.inputs import EngineInputs
from cicd_actions.github.release_record import is_sha
from cicd_actions.health_gate.embedded import GateOptions
from cicd_actions.roll_out.inputs import Wanted, services
from cicd_actions.toolkit.grammar import NotUnderstood, boolean, duration, lines, string, variable_name, whole
from cicd_actions.toolkit.inputs import declare
from cicd_actions.toolkit.process import argv


def commit(text: str) -> str:
    """A full commit SHA, or nothing. Raises `NotUnderstood`."""
    found = text.strip().lower()
    if found and not is_sha(found):
        raise NotUnderstood(f"`{found[:80]}` is not a full commit SHA (40 hexadecimal digits)", example="${{ github.sha }}")
    return found


@dataclass(frozen=True, kw_only=True)
class _Way:
    services: tuple[Wanted, ...] = declare(
        services,
        "The services, one per line and in the order in which they go back: `service=repository`. The digests come from the"
        " record of the release to go back to.",
        required=True,
    )
    app: str = declare(string, "The application's name in the records. Empty: the repository.")
    environment_url: str = declare(web_url, "Where the environment is seen; GitHub shows it beside the deployment.")
    to_sha: str = declare(
        commit,
        "The full SHA of the release to go back to. Empty: the last one that passed its gate here and is not the current.",
    )
    current_sha: str = declare(
        commit, "The full SHA of the release to leave. Empty: the one that the running services are labelled with."
    )
    github_token: str = declare(
        string,
        "A token with the permissions `deployments: write` and `contents: read`.",
        secret=True,
        action_default="${{ github.token }}",
    )
    schema_service: str = declare(
        string,
        "The service whose image holds the Alembic migrations. It is asked whether the release to go back to knows the"
        " database's revision. Empty: only the records are asked.",
    )
    schema_command: tuple[str, ...] = declare(
        argv, "How Alembic is started in that image, without its subcommand: `alembic -c db/alembic.ini`.", default="alembic"
    )
    schema_env: tuple[str, ...] = declare(
        lines(variable_name),
        "Names of the step's environment variables to hand to those jobs, one per line. They have the service's own already.",
    )
    schema_networks: tuple[str, ...] = declare(
        lines(string), "Networks of those jobs, one per line, instead of the service's own."
    )
    schema_working_directory: str = declare(string, "Working directory of those jobs. Empty: the image's.")
    dry_run: bool = declare(
        boolean,
        "Plan and check everything, and change nothing. Its jobs, if it has to ask an image, only read.",
        default="false",
    )
    allow_unverified: bool = declare(
        boolean,
        "Go on when something could not be checked before: whether an image exists, or which migrations are newer."
        " What was checked and is wrong is refused all the same.",
        default="false",
    )
    plan_file: str = declare(string, "Where the plan is written as JSON. Empty: a file in the runner's temporary folder.")
    timeout: float = declare(duration, "How long it may take until the release is back, the gate not counted.", default="15m")


@dataclass(frozen=True, kw_only=True)
class Inputs(EngineInputs, GateOptions, _Way):
    """What goes back, where it runs, and how it is gated again."""

    environment: str = declare(string, "The environment's name in the records, such as `production`.", required=True)
    parallelism: int = declare(
        whole(0),
        "Swarm: how many replicas go back at a time; 0 is all at once. What ran before is known to work, seconds count, and no"
        " replica goes before the one in its place is healthy.",
        default="0",
    )
