"""Explains each way in which a run can fail: what happened, the likely cause, and the fix."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cicd_actions.run_migrations_oneshot import connecting, of_django
from cicd_actions.run_migrations_oneshot.inputs import Inputs
from cicd_actions.run_migrations_oneshot.log_lines import at, described
from cicd_actions.run_migrations_oneshot.progress import Progress, objects, text, texts
from cicd_actions.run_migrations_oneshot.sentences import (
    Explanation,
    ended,
    file_of,
    first_line,
    missing_variables,
    place_of,
    removed_files,
    without_url,
)
from cicd_actions.run_migrations_oneshot.sql_states import EXISTS, advice
from cicd_actions.toolkit.verdict import Verdict


def explained(progress: Progress, inputs: Inputs) -> Explanation:
    """Explains a run that ended with the state `refused`, `failed` or `timeout`."""
    missing = progress.problem.missing
    if missing and progress.rule in _BEFORE_THE_FIRST:
        return missing_variables(missing, inputs)
    found = _RULES.get(progress.rule, _unknown)(progress, inputs)
    return without_url(found, inputs) if not progress.url and progress.rule in _BEFORE_THE_FIRST else found


def _heads(progress: Progress, _inputs: Inputs) -> Explanation:
    heads = objects(progress.fields, "heads")
    names = [text(head, "revision") for head in heads]
    if progress.tool == "django":
        return Explanation(
            f"The image has {len(heads)} last migrations in one app: {', '.join(names)}.",
            "Two branches each added a migration after the same one, so their order is not defined.",
            "Merge them in the repository, commit the new file, and release again:\n\n"
            "    python manage.py makemigrations --merge",
        )
    listed = ", ".join(f"{text(head, 'revision')} ({text(head, 'file')})" for head in heads)
    return Explanation(
        f"The image has {len(heads)} heads: {listed}.",
        "Two branches each added a migration after the same one, so their order is not defined.",
        f'Merge them in the repository, commit the new file, and release again:\n\n    alembic merge -m "merge heads"'
        f" {' '.join(names)}\n\nIf you want several heads, allow them:\n\n    with:\n"
        "      command: alembic upgrade heads\n      expect-single-head: false",
    )


def _duplicate(progress: Progress, _inputs: Inputs) -> Explanation:
    files = texts(progress.fields, "files")
    return Explanation(
        f"{len(files)} files declare the same revision {text(progress.fields, 'revision')}: {', '.join(files)}.",
        "A revision file was copied. Alembic keeps only one of them, so the other one never runs.",
        'Give the copy its own revision and set its `down_revision`, or delete it:\n\n    alembic revision -m "…"',
    )


def _dangling(progress: Progress, _inputs: Inputs) -> Explanation:
    names = texts(progress.fields, "missing")
    missing, first = ", ".join(names), next(iter(names), "")
    revision, file = text(progress.fields, "revision"), text(progress.fields, "file")
    name = text(progress.fields, "name") or "down_revision"
    return Explanation(
        f"The image has no revision {missing}, which {revision} ({file}) names as its `{name}`.",
        "The file was never committed, was removed, or `.dockerignore` keeps it out of the image.",
        f"Restore it from the history, or set the `{name}` of {file} to a revision that exists:\n\n"
        f"{removed_files(f'*{first}*')}",
    )


def _syntax(progress: Progress, _inputs: Inputs) -> Explanation:
    found = progress.problem
    return Explanation(
        f"Could not load the revision file {found.file}:{found.line}: {found.kind}: {found.text}.",
        "Every revision file is loaded before what is pending is read, so one that cannot be read stops them all.",
        f"Fix line {found.line} of {found.file}, and release again.",
    )


def _ahead(progress: Progress, _inputs: Inputs) -> Explanation:
    found = texts(progress.fields, "unknown")
    unknown = ", ".join(found)
    return Explanation(
        f"The database is ahead of this image: it is at {unknown}, and the image has no such revision.",
        "An older release is being deployed, or a revision file was removed after it had been applied.",
        "Revert code, but keep revision files: a migration that is safe for the older code needs no rollback. Deploy a"
        " commit that has the file, or restore it from the history:\n\n"
        f"{removed_files(f'*{found[0]}*' if found else '*')}",
    )


def _phase(progress: Progress, _inputs: Inputs) -> Explanation:
    listed = ", ".join(
        f"{text(one, 'revision')} ({text(one, 'file')}) says {text(one, 'phase')!r}"
        for one in objects(progress.fields, "revisions")
    )
    return Explanation(
        f"A `deploy_phase` is neither `expand` nor `contract`: {listed}.",
        fix='    deploy_phase = "expand"    # the release that runs now works with the new schema\n'
        '    deploy_phase = "contract"  # it does not: a column is dropped, renamed, or made NOT NULL',
    )


def _contract(progress: Progress, inputs: Inputs) -> Explanation:
    listed = ", ".join(texts(progress.fields, "revisions"))
    if inputs.allow_contract:
        return Explanation(
            f"A contract migration is pending ({listed}), and there is no backup.",
            "Only a backup restores what a contract migration removes.",
            "Name a program that makes one:\n\n    with:\n      allow-contract: true\n"
            "      backup-command: ./infra/backup.sh {environment}",
        )
    return Explanation(
        f"A contract migration is pending: {listed}. The release that runs now does not work with the new schema.",
        "From the moment it is applied until the roll-out ends, the old release meets a schema it does not know. No older"
        " release can be rolled back to afterwards.",
        "First release code that no longer uses what is dropped. Then allow it for that one deploy, with a backup:\n\n"
        "    with:\n      allow-contract: true\n      backup-command: ./infra/backup.sh {environment}",
    )


def _pooler(progress: Progress, inputs: Inputs) -> Explanation:
    place = ":".join(part for part in (text(progress.fields, "host"), text(progress.fields, "port")) if part)
    return Explanation(
        f"The connection{' to ' + place if place else ''} goes through a pooler, not to PostgreSQL itself.",
        "The backend's pid differs from the one that was sent when connecting. Behind PgBouncer, RDS Proxy and the like, a"
        " session's lock and timeouts land on a connection that others use too, so two runs could migrate at once.",
        f'Give the migration a URL of the database itself (often port 5432, or the provider\'s "direct" or "session"'
        f" address), under the same name:\n\n    env:\n      {inputs.database_url_env}:"
        f" ${{{{ secrets.DIRECT_{inputs.database_url_env} }}}}",
    )


def _lock_held(progress: Progress, inputs: Inputs) -> Explanation:
    who = "; ".join(described(one) for one in progress.holders) or "a session that this role may not see"
    application = progress.fields.get("application") is True
    what = "Another session has held the advisory lock that env.py takes"
    if not application:
        what = "Another migration run has held the lock"
    return Explanation(
        f"{what} for the {inputs.wait_for_lock:g} s of `wait-for-lock`: {who}.",
        "A migration that takes long, or a lost run whose session still lives.",
        "Wait for it, or allow more time:\n\n    with:\n      wait-for-lock: 30m\n\n"
        "If it is lost, end its session, and run this again:\n\n"
        f"    SELECT pg_terminate_backend({progress.holders[0].pid if progress.holders else 'PID'});",
        Verdict.INCONCLUSIVE,
    )


def _connection(_progress: Progress, _inputs: Inputs) -> Explanation:
    return Explanation(
        "The migration did not run on a connection that holds the lock, so it was stopped before its first statement.",
        "env.py makes its connections in another order each time it runs.",
        "Let env.py make one connection for its migrations, always in the same way.",
    )


def _changed(progress: Progress, _inputs: Inputs) -> Explanation:
    files = ", ".join(texts(progress.fields, "files"))
    return Explanation(
        f"A file that was applied has changed since: {files}.",
        "This runner keeps the SHA-256 of each file, because a change to an applied file reaches no database.",
        "Restore the file, and write the change as a new one.",
    )


def _command(_progress: Progress, inputs: Inputs) -> Explanation:
    return Explanation(
        f"The input `command` runs `{' '.join(inputs.command)}`, which does not migrate a database forward.",
        "This action brings a database forward, and proves it. A release is rolled back by its image, not by its schema.",
        "    with:\n      command: python manage.py migrate",
    )


def _replica(_progress: Progress, inputs: Inputs) -> Explanation:
    return Explanation(
        "The database is a replica (`pg_is_in_recovery()`): it cannot be migrated.",
        "The URL names a reader endpoint, or a fail-over has moved the primary.",
        f"Give {inputs.database_url_env} the address of the primary (libpq and asyncpg find it among several hosts by"
        " `target_session_attrs=read-write`).",
    )


def _read_only(_progress: Progress, _inputs: Inputs) -> Explanation:
    return Explanation(
        "The role or the database is read-only (`default_transaction_read_only = on`), so nothing can be migrated.",
        "An administrator set it for this role or database, or the URL's `options` do.",
        "Migrate with the role that owns the tables, or lift it:\n\n"
        "    ALTER ROLE … RESET default_transaction_read_only;\n    ALTER DATABASE … RESET default_transaction_read_only;",
    )


def _dry_run_writes(progress: Progress, _inputs: Inputs) -> Explanation:
    statement = first_line(progress.problem.statement.strip())
    return Explanation(
        f"Could not tell what is pending: env.py writes before the first migration{': ' + statement if statement else ''}.",
        "A dry run looks with a read-only session, which refused this statement.",
        "Move the statement from env.py into a revision, where it runs once and under the lock.",
        Verdict.INCONCLUSIVE,
    )


def _no_right(progress: Progress, _inputs: Inputs) -> Explanation:
    return Explanation(
        f"The role may not read or write Alembic's version table: {first_line(progress.problem.text)}",
        "The table belongs to another role, mostly the one that ran the first migration by hand.",
        "Give it to the role that migrates:\n\n    ALTER TABLE alembic_version OWNER TO …;\n\nor grant what it needs:\n\n"
        "    GRANT SELECT, INSERT, UPDATE, DELETE ON alembic_version TO …;",
    )


def _no_migrations(_progress: Progress, _inputs: Inputs) -> Explanation:
    return Explanation(
        "env.py ran to its end, but never called `context.run_migrations()`.",
        "So what is pending is not known, and nothing was applied.",
        "Compare it with Alembic's template:\n\n    alembic init --template async example",
    )


def _no_alembic(progress: Progress, _inputs: Inputs) -> Explanation:
    python = f"Python {text(progress.fields, 'python')} at {text(progress.fields, 'executable')}"
    packages = {"django": "Django", "flask": "Flask-Migrate", "sql": "PostgreSQL driver"}
    tool = packages.get(text(progress.fields, "tool"), "Alembic")
    program = "python manage.py migrate" if tool == "Django" else "alembic upgrade head"
    return Explanation(
        f"The image has no {tool}.",
        f"Neither the {python} nor the interpreter of the script on PATH can import it.",
        "Install it in the image (not only as a development dependency). If it stands in a separate environment, name it:"
        f"\n\n    with:\n      command: /app/.venv/bin/{program}\n\nIf another tool migrates, name that one as"
        " `command`.",
    )


def _exit(progress: Progress, _inputs: Inputs) -> Explanation:
    who = "The settings, a migration or Django's" if progress.tool == "django" else "env.py, a migration or Alembic's"
    return Explanation(
        f"The migration environment stopped itself: {progress.problem.text}.",
        f"{who} reading of its arguments called for an exit. The log has its own words.",
    )


def _environment(progress: Progress, _inputs: Inputs) -> Explanation:
    found = progress.problem
    kind = f"{found.kind}: " if found.kind else ""
    cause, fix = advice(found.sqlstate, progress.tool)
    causes = {"django": "A migration that cannot be loaded, or the settings.", "sql": "A file that cannot be read."}
    return Explanation(
        f"The migration tool failed before the first migration: {kind}{first_line(found.text)}",
        cause or causes.get(progress.tool, "A revision file that cannot be loaded, env.py, or the settings that it needs."),
        fix or "The last lines of the log show where. The same command fails in the same way on your machine, in that image.",
    )


def _too_long(progress: Progress, _inputs: Inputs) -> Explanation:
    width = progress.fields.get("width")
    named = ", ".join(texts(progress.fields, "revisions"))
    table = text(progress.fields, "table")
    return Explanation(
        f"The version table {table} takes {width} characters of a revision id, and these are longer: {named}.",
        "Alembic makes the column `version_num` 32 characters wide. The migration would run, and fail when it is recorded.",
        "Shorten the id in the file, and in the `down_revision` of the next one; or widen the column first:\n\n"
        f"    ALTER TABLE {table} ALTER COLUMN version_num TYPE varchar(255);",
    )


def _unproven(progress: Progress, _inputs: Inputs) -> Explanation:
    left = ", ".join(texts(progress.fields, "left"))
    if progress.tool == "django":
        return Explanation(
            f"Every migration ran without an error, but the database is at {at(progress.now)}: {left} did not stay.",
            "What ran was never committed, or it went to another database than the one that was read.",
            "Compare `DATABASES` and `DATABASE_ROUTERS` of the settings with the address that this job gets.",
        )
    external = progress.fields.get("external") is True
    return Explanation(
        f"Every migration ran without an error, but the database is at {at(progress.now)}: {left} did not stay.",
        "env.py had begun a transaction before `context.configure`, so Alembic left the commit to it, and nothing committed."
        if external
        else "What ran was never committed, or it went to another database than the one that was read.",
        "Let Alembic own the transaction: execute nothing on the connection before `context.configure(connection=…)`, or"
        " commit it there first:\n\n    connection.execute(…)\n    connection.commit()\n"
        "    context.configure(connection=connection, …)",
    )


def _timeout(progress: Progress, inputs: Inputs) -> Explanation:
    step = progress.step
    return Explanation(
        f"The deadline passed: {'migration ' + step if step else 'the run'} was ended after {inputs.timeout:g} s (`timeout`).",
        ended(progress),
        "Run a backfill in batches, or as a separate job after the roll-out; build an index `CONCURRENTLY`. If it is only"
        " slow:\n\n    with:\n      timeout: 1h",
    )


def _autocommit(progress: Progress, _inputs: Inputs) -> Explanation:
    return Explanation(
        f"Migration {progress.step}{place_of(progress)} failed: `autocommit_block()` cannot leave env.py's transaction.",
        "env.py executed something on the connection before `context.configure`, so Alembic may not commit that transaction.",
        "Commit in env.py before you configure:\n\n    connection.execute(…)\n    connection.commit()\n"
        "    context.configure(connection=connection, transaction_per_migration=True, …)",
    )


def _migration(progress: Progress, inputs: Inputs) -> Explanation:
    found = progress.problem
    cause, fix = advice(found.sqlstate, progress.tool)
    if found.sqlstate == "55P03":
        who = "; ".join(described(one) for one in progress.blockers)
        cause = f"Blocked by {who}." if who else "Another session held a lock that it needs; it is gone by now."
        fix = (
            f"It gave up after {inputs.lock_timeout:g} s, so that others do not queue behind it. Run it when that session is"
            " done, end that session, or let it retry:\n\n    with:\n      lock-retries: 3"
        )
    if progress.partial and found.sqlstate in EXISTS:
        # Marking it as applied would leave out what comes after.
        cause = "An earlier attempt may have left a part of this migration: it does not run in one transaction."
        fix = (
            f"Compare the database with {file_of(progress) or 'the migration'}, statement by statement. Drop what exists of it,"
            " or make each statement safe to repeat, and run this again."
        )
    # The database's errors have a code; the names of the drivers' classes add nothing.
    kind = f"{found.kind}: " if found.kind and not found.sqlstate else ""
    safe = " so that it is safe to run again" if progress.partial else ""
    fix = fix or f"Fix {file_of(progress) or 'the migration'}{safe}, and release again."
    return Explanation(f"Migration {progress.step}{place_of(progress)} failed: {kind}{first_line(found.text)}", cause, fix)


def _unknown(progress: Progress, _inputs: Inputs) -> Explanation:
    return Explanation(f"The run ended with {progress.state} ({progress.rule or 'no reason'}).", verdict=Verdict.INCONCLUSIVE)


_BEFORE_THE_FIRST = {"environment", "exit", "database-unreachable", "database-refused"}

_RULES: Mapping[str, Callable[[Progress, Inputs], Explanation]] = {
    "heads": _heads,
    "duplicate": _duplicate,
    "dangling": _dangling,
    "syntax": _syntax,
    "ahead": _ahead,
    "phase": _phase,
    "contract": _contract,
    "pooler": _pooler,
    "lock-held": _lock_held,
    "changed": _changed,
    "command": _command,
    "connection": _connection,
    "replica": _replica,
    "read-only": _read_only,
    "dry-run-writes": _dry_run_writes,
    "no-right": _no_right,
    "interpolation": connecting.interpolation,
    "sslmode": connecting.sslmode,
    "sql-ascii": connecting.sql_ascii,
    "postgres-scheme": connecting.postgres_scheme,
    "masked-password": connecting.masked_password,
    "database-unreachable": connecting.unreachable,
    "database-refused": connecting.database_refused,
    "no-migrations": _no_migrations,
    "no-alembic": _no_alembic,
    "exit": _exit,
    "environment": _environment,
    "unproven": _unproven,
    "history": of_django.history,
    "squash": of_django.squash,
    "squash-twice": of_django.squash_twice,
    "dependency": of_django.dependency,
    "circle": of_django.circle,
    "receiver": of_django.receiver,
    "too-long": _too_long,
    "timeout": _timeout,
    "autocommit-in-transaction": _autocommit,
    "migration": _migration,
}
