"""The inputs of run-migrations-oneshot."""

from __future__ import annotations

from dataclasses import dataclass

from cicd_actions.engines.inputs import EngineInputs
from cicd_actions.toolkit.grammar import argv, boolean, duration, lines, optional, string, variable_name, whole
from cicd_actions.toolkit.inputs import declare


@dataclass(frozen=True, kw_only=True)
class _Own:
    image: str = declare(
        string,
        "The image to roll out, by digest or by tag (which is resolved to its digest), or the `command` engine's own id of it.",
        required=True,
    )
    command: tuple[str, ...] = declare(
        argv,
        "The command that migrates the database, as a list of words. Watched step by step: `alembic upgrade …`,"
        " `flask db upgrade`, `manage.py migrate` and `sql FOLDER`, also behind a launcher or in `sh -c`; Prisma and"
        " golang-migrate are checked before and after; any other tool runs unwatched.",
        default="alembic upgrade head",
    )
    service: str = declare(
        string,
        "The service whose release this is, such as `api`: the job takes over its networks, environment, secrets and mounts."
        " A service that does not exist yet contributes nothing.",
    )
    sha: str = declare(string, "The commit that the image was built from: for reports, labels and `{sha}`.")
    network: tuple[str, ...] = declare(
        lines(string), "Docker and Swarm: the networks to join instead of those of `service`, one per line."
    )
    env: tuple[str, ...] = declare(
        lines(variable_name),
        "Names of variables of this step to pass on to the job, one per line. Their values are masked and never appear in an"
        " argument, label or report.",
    )
    working_directory: str = declare(string, "The folder in the image to run in. Default: the image's own.")
    database_url_env: str = declare(
        variable_name,
        "The variable that holds the database's URL. It is passed on when this step has it; its password is masked too.",
        default="DATABASE_URL",
    )
    timeout: float = declare(duration, "The deadline of the migrations, counted from when the lock is held.", default="20m")
    lock_timeout: float = declare(
        duration,
        "PostgreSQL: how long a statement may wait for a table or row that others use; everybody who wants that table queues"
        " behind it. `0s`: no limit.",
        default="5s",
    )
    lock_retries: int = declare(
        whole(0, 20),
        "PostgreSQL: retries of each migration after `lock-timeout` or a deadlock, with a growing pause. It retries only when"
        " the failed migration left nothing behind.",
        default="0",
    )
    statement_timeout: float = declare(
        duration,
        "PostgreSQL: how long one statement may take. `0s`: no limit, also where the role has one.",
        default="0s",
    )
    wait_for_lock: float = declare(
        duration,
        "How long to wait for another migration run on the same database, and for an advisory lock that env.py takes.",
        default="5m",
    )
    wait_for_database: float = declare(
        duration,
        "How long to wait for a database that does not answer yet. A wrong password fails at once.",
        default="30s",
    )
    dry_run: bool = declare(boolean, "Report what is pending, in a read-only session; nothing is changed.", default="false")
    sql: bool = declare(
        boolean,
        "Write the SQL of the pending migrations to a file (the output `sql`), where Alembic can render it without a database"
        " (`alembic upgrade --sql`).",
        default="false",
    )
    backup_command: tuple[str, ...] | None = declare(
        optional(argv),
        "A program of yours that makes a backup, run on the runner before anything is applied. The last line that it prints is"
        " the backup's place; `{environment}`, `{image}` and `{sha}` are filled in.",
    )
    restore_check_command: tuple[str, ...] | None = declare(
        optional(argv),
        "A program of yours that proves the backup can be restored, such as `pg_restore --list {backup}`. It must exit with 0;"
        " `{backup}` is the backup's place.",
    )
    schema_command: tuple[str, ...] | None = declare(
        optional(argv),
        "A program that prints the database's schema, such as `pg_dump --schema-only`, run on the runner before and after."
        " The report shows the difference; PGHOST, PGUSER and the like are set from the database's URL.",
    )
    allow_contract: bool = declare(
        boolean,
        'Apply migrations that the running release does not work with (`deploy_phase = "contract"`). Needs a `backup-command`.',
        default="false",
    )
    proven_phases: str = declare(
        string,
        "A file with the phases that `verify-migrations` proved: its report, or its output `phases`. A revision is a contract"
        " where the proof or the module says so. It is an expand where the proof says so and the module says nothing.",
    )
    expect_single_head: bool = declare(boolean, "Refuse an image whose revision files have more than one head.", default="true")


@dataclass(frozen=True, kw_only=True)
class Inputs(EngineInputs, _Own):
    """Own inputs first, then those of the engine."""
