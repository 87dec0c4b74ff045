"""The inputs of run-migrations-oneshot."""

from __future__ import annotations

from dataclasses import dataclass

from cicd_actions.engines.inputs import EngineInputs
from cicd_actions.toolkit.grammar import boolean, duration, lines, optional, string, variable_name, whole
from cicd_actions.toolkit.inputs import declare
from cicd_actions.toolkit.process import argv


@dataclass(frozen=True, kw_only=True)
class _Own:
    image: str = declare(
        string,
        "The image that is about to be rolled out, by digest or by tag (which is then settled to its digest), or the `command`"
        " engine's own id of it.",
        required=True,
    )
    command: tuple[str, ...] = declare(
        argv,
        "What migrates the database, as a list of words; there is no shell. `alembic upgrade …`, also behind a launcher such"
        " as `uv run`, is watched step by step; any other tool is run as it is.",
        default="alembic upgrade head",
    )
    service: str = declare(
        string,
        "The service whose release this is, such as `api`: the job takes over its networks, environment, secrets and mounts."
        " A service that does not exist yet gives nothing.",
    )
    sha: str = declare(string, "The commit that the image was built from: for reports, labels and `{sha}`.")
    network: tuple[str, ...] = declare(
        lines(string), "Docker and Swarm: the networks to join instead of those of `service`, one per line."
    )
    env: tuple[str, ...] = declare(
        lines(variable_name),
        "Names of variables of this step to pass on to the job, one per line. Their values are masked, and stand in no"
        " argument, label or report.",
    )
    working_directory: str = declare(string, "The folder in the image to run in. Empty: the image's own.")
    database_url_env: str = declare(
        variable_name,
        "The variable that holds the database's URL. It is passed on when this step has it, and its password is masked by"
        " itself too.",
        default="DATABASE_URL",
    )
    timeout: float = declare(duration, "How long the migrations may take, counted from when the lock is held.", default="20m")
    lock_timeout: float = declare(
        duration,
        "PostgreSQL: how long a statement may wait for a table or row that others use. While it waits, everybody else who"
        " wants that table waits behind it, so this is short. `0s`: without end.",
        default="5s",
    )
    lock_retries: int = declare(
        whole(0, 20),
        "PostgreSQL: how often to try again after `lock-timeout`: only for that error, and only when the revision did not"
        " move and no invalid index was left.",
        default="0",
    )
    statement_timeout: float = declare(
        duration,
        "PostgreSQL: how long one statement may take. `0s`: without end, also where the role has a limit.",
        default="0s",
    )
    wait_for_lock: float = declare(duration, "How long to wait for another migration run on the same database.", default="5m")
    wait_for_database: float = declare(
        duration, "How long to wait for a database that does not answer yet. A wrong password is not waited for.", default="30s"
    )
    dry_run: bool = declare(boolean, "Only say what is pending; nothing is changed.", default="false")
    sql: bool = declare(
        boolean,
        "Write the SQL of the pending migrations to a file (the output `sql`), where Alembic can render it without a database"
        " (`alembic upgrade --sql`).",
        default="false",
    )
    backup_command: tuple[str, ...] | None = declare(
        optional(argv),
        "A program of yours that makes a backup. It runs here, not in the image, before anything is applied, and has to end"
        " with 0. The last line that it prints is reported as the backup's place. `{environment}`, `{image}` and `{sha}` are"
        " filled in.",
    )
    allow_contract: bool = declare(
        boolean,
        'Apply migrations that the release which runs now cannot live with (`deploy_phase = "contract"`). Needs a'
        " `backup-command`.",
        default="false",
    )
    expect_single_head: bool = declare(boolean, "Refuse an image whose revision files have more than one head.", default="true")


@dataclass(frozen=True, kw_only=True)
class Inputs(EngineInputs, _Own):
    """Own inputs first, then those of the engine."""
