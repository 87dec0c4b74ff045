"""Says of each way a run can end: what happened, the likely cause, and what to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from cicd_actions.run_migrations_oneshot.heard import Heard, objects, text, texts
from cicd_actions.run_migrations_oneshot.inputs import Inputs
from cicd_actions.run_migrations_oneshot.narration import at, described
from cicd_actions.toolkit.verdict import Verdict


@dataclass(frozen=True)
class Explanation:
    """`what` is one sentence; `fix` may hold indented lines of shell, Python or YAML."""

    what: str
    cause: str = ""
    fix: str = ""
    verdict: Verdict = Verdict.FAIL


def explained(heard: Heard, inputs: Inputs) -> Explanation:
    """Of a run that ended with the state `refused`, `failed` or `timeout`."""
    found = _RULES.get(heard.rule, _unknown)(heard, inputs)
    return _without_url(found, inputs) if not heard.url and heard.rule in _BEFORE_THE_FIRST else found


def ended(heard: Heard) -> str:
    """What became of the sessions in the database of a run that was ended early; empty where it had none."""
    if heard.terminated or not heard.sessions:
        return "Its session in the database was ended." if heard.terminated else ""
    pids = ", ".join(map(str, heard.sessions))
    return (
        f"Its session in the database (pid {pids}) could not be ended, and may still work and hold its locks:"
        f" `SELECT pg_terminate_backend({heard.sessions[-1]})`."
    )


def _first(text: str) -> str:
    """The first line: what a driver or a validator says after it is shown apart."""
    return (text.splitlines() or [""])[0]


def _without_url(found: Explanation, inputs: Inputs) -> Explanation:
    """The same, with the likeliest cause where the job was told of no database."""
    name = inputs.database_url_env
    return replace(
        found,
        cause=f"The job has no variable {name}: this step has none or an empty one; `env-file-variable` and `service`"
        " bring none. A secret that does not exist, or that is not visible here (a job without its `environment:`), is empty.",
        fix=f"    env:\n      {name}: ${{{{ secrets.{name} }}}}\n\nIf the application reads a variable of another name:\n\n"
        "    with:\n      database-url-env: OTHER_NAME",
    )


def _heads(heard: Heard, _inputs: Inputs) -> Explanation:
    heads = objects(heard.fields, "heads")
    names = [text(head, "revision") for head in heads]
    listed = ", ".join(f"{text(head, 'revision')} ({text(head, 'file')})" for head in heads)
    return Explanation(
        f"The image has {len(heads)} heads: {listed}.",
        "Two branches each added a migration after the same one; which comes first is not said.",
        f'Merge them in the repository, commit the new file, and release again:\n\n    alembic merge -m "merge heads"'
        f" {' '.join(names)}\n\nIf several heads are meant to be, say so:\n\n    with:\n"
        "      command: alembic upgrade heads\n      expect-single-head: false",
    )


def _ahead(heard: Heard, _inputs: Inputs) -> Explanation:
    unknown = ", ".join(texts(heard.fields, "unknown"))
    return Explanation(
        f"The database is ahead of this image: it is at {unknown}, and the image has no such revision.",
        "An older release is being deployed, or a revision file was removed after it had been applied.",
        "Revert code, but keep revision files: a migration that is safe for the older code needs no way back. Deploy a"
        " commit that has the file, or bring it back from the history:\n\n"
        f"    git log --diff-filter=D --name-only --all -- '*{texts(heard.fields, 'unknown')[:1][0] if unknown else ''}*'",
    )


def _phase(heard: Heard, _inputs: Inputs) -> Explanation:
    listed = ", ".join(
        f"{text(one, 'revision')} ({text(one, 'file')}) says {text(one, 'phase')!r}"
        for one in objects(heard.fields, "revisions")
    )
    return Explanation(
        f"A `deploy_phase` is neither `expand` nor `contract`: {listed}.",
        fix='    deploy_phase = "expand"    # the release that runs now can live with it\n'
        '    deploy_phase = "contract"  # it cannot: a column is dropped, renamed, or made NOT NULL',
    )


def _contract(heard: Heard, inputs: Inputs) -> Explanation:
    listed = ", ".join(texts(heard.fields, "revisions"))
    if inputs.allow_contract:
        return Explanation(
            f"A contract migration is pending ({listed}), and there is no backup.",
            "What a contract migration takes away comes back from a backup only.",
            "Name a program that makes one:\n\n    with:\n      allow-contract: true\n"
            "      backup-command: ./infra/backup.sh {environment}",
        )
    return Explanation(
        f"A contract migration is pending: {listed}. The release that runs now cannot live with it.",
        "From the moment it is applied until the roll-out is over, the old release meets a schema it does not know; and no"
        " older release can be rolled back to afterwards.",
        "First let a release run that no longer uses what is dropped. Then allow it for that one deploy, with a backup:\n\n"
        "    with:\n      allow-contract: true\n      backup-command: ./infra/backup.sh {environment}",
    )


def _pooler(heard: Heard, inputs: Inputs) -> Explanation:
    place = ":".join(part for part in (text(heard.fields, "host"), text(heard.fields, "port")) if part)
    return Explanation(
        f"The connection{' to ' + place if place else ''} goes through a pooler, not to PostgreSQL itself.",
        "Its backend's pid is not the one that was sent when connecting. Behind PgBouncer, RDS Proxy and the like a session's"
        " lock and timeouts land on a connection that others use too, so two runs could migrate at once.",
        f'Give the migration a URL of the database itself (often port 5432, or the provider\'s "direct" or "session"'
        f" address), under the same name:\n\n    env:\n      {inputs.database_url_env}:"
        f" ${{{{ secrets.DIRECT_{inputs.database_url_env} }}}}",
    )


def _lock_held(heard: Heard, inputs: Inputs) -> Explanation:
    who = "; ".join(described(one) for one in heard.holders) or "a session that is not shown to this role"
    return Explanation(
        f"Another migration run has held the lock for the {inputs.wait_for_lock:g} s of `wait-for-lock`: {who}.",
        "A migration that takes long, or a run that was lost and whose session lives on.",
        "Wait for it. If it is lost, end its session, and run this again:\n\n"
        f"    SELECT pg_terminate_backend({heard.holders[0].pid if heard.holders else 'PID'});",
        Verdict.INCONCLUSIVE,
    )


def _connection(_heard: Heard, _inputs: Inputs) -> Explanation:
    return Explanation(
        "The migration did not run on a connection that holds the lock, so it was stopped before its first statement.",
        "env.py makes its connections in another order each time it runs.",
        "Let env.py make one connection for its migrations, always in the same way.",
    )


def _unreachable(heard: Heard, inputs: Inputs) -> Explanation:
    said = _first(heard.problem.text)
    return Explanation(
        f"The database did not answer within the {inputs.wait_for_database:g} s of `wait-for-database`: {said}",
        "It is down or still starting, its name does not resolve in the job's network, or a firewall is in between.",
        f"Look at host and port in {inputs.database_url_env}, and at the job's networks (`network`, or those of `service`)."
        " If it only starts slowly:\n\n    with:\n      wait-for-database: 2m",
        Verdict.INCONCLUSIVE,
    )


def _database_refused(heard: Heard, inputs: Inputs) -> Explanation:
    return Explanation(
        f"The database does not let the migration in: {_first(heard.problem.text)}",
        "A wrong user, password or database name, a missing certificate, or a rule in pg_hba.conf. It was not tried again:"
        " the answer stays the same.",
        f"Compare {inputs.database_url_env} in this environment with the one that the running release has.",
    )


def _no_migrations(_heard: Heard, _inputs: Inputs) -> Explanation:
    return Explanation(
        "env.py ran to its end, but never called `context.run_migrations()`.",
        "Nothing can be said of what is pending, so nothing was applied.",
        "Compare it with Alembic's template:\n\n    alembic init --template async example",
    )


def _no_alembic(heard: Heard, _inputs: Inputs) -> Explanation:
    python = f"Python {text(heard.fields, 'python')} at {text(heard.fields, 'executable')}"
    return Explanation(
        "The image has no Alembic.",
        f"Neither the {python} nor the interpreter of an `alembic` on PATH can import it.",
        "Install it in the image (not only as a development dependency). If it stands in an environment of its own, name it:"
        "\n\n    with:\n      command: /app/.venv/bin/alembic upgrade head\n\nIf another tool migrates, name that one as"
        " `command`.",
    )


def _exit(heard: Heard, _inputs: Inputs) -> Explanation:
    return Explanation(
        f"The migration environment stopped itself: {heard.problem.text}.",
        "env.py, a migration, or Alembic's reading of its arguments called for an exit; its own words are in the log.",
    )


def _environment(heard: Heard, _inputs: Inputs) -> Explanation:
    kind = f"{heard.problem.kind}: " if heard.problem.kind else ""
    return Explanation(
        f"Alembic failed before the first migration: {kind}{_first(heard.problem.text)}",
        "A revision file that cannot be loaded, env.py, or the settings that it needs.",
        "The last lines of the log show where. The same command fails in the same way on your machine, in that image.",
    )


def _unproven(heard: Heard, _inputs: Inputs) -> Explanation:
    left = ", ".join(texts(heard.fields, "left"))
    own = heard.fields.get("external") is True
    return Explanation(
        f"Every migration ran without an error, but the database is at {at(heard.now)}: {left} did not stay.",
        "env.py had begun a transaction of its own before `context.configure`, so Alembic left the commit to it, and nobody"
        " committed."
        if own
        else "What ran was never committed, or it went to another database than the one that was read.",
        "Let Alembic own the transaction: execute nothing on the connection before `context.configure(connection=…)`, or"
        " commit it there first:\n\n    connection.execute(…)\n    connection.commit()\n"
        "    context.configure(connection=connection, …)",
    )


def _timeout(heard: Heard, inputs: Inputs) -> Explanation:
    step = heard.step
    return Explanation(
        f"The time is over: {'migration ' + step if step else 'the run'} was ended after {inputs.timeout:g} s (`timeout`).",
        ended(heard),
        "A backfill belongs into batches, or into a job of its own after the roll-out; an index is built `CONCURRENTLY`. If"
        " it is only slow:\n\n    with:\n      timeout: 1h",
    )


def _migration(heard: Heard, inputs: Inputs) -> Explanation:
    found = heard.problem
    cause, fix = _STATES.get(found.sqlstate, ("", ""))
    if found.sqlstate == "55P03":
        who = "; ".join(described(one) for one in heard.blockers)
        cause = f"Blocked by {who}." if who else "Another session held a lock that it needs; it is gone by now."
        fix = (
            f"It gave up after {inputs.lock_timeout:g} s, so that nobody had to queue behind it. Run it when that session is"
            " done, end that session, or let it try again by itself:\n\n    with:\n      lock-retries: 3"
        )
    known = heard.pending.get(heard.step)
    file = found.file or (known.file if known else "")
    where = f" ({file}{':' + str(found.line) if found.line else ''})" if file else ""
    # The database's errors have a code; the names of the drivers' classes say nothing on top.
    kind = f"{found.kind}: " if found.kind and not found.sqlstate else ""
    safe = " so that it is safe to run again" if heard.partial else ""
    fix = fix or f"Mend {file or 'the migration'}{safe}, and release again."
    return Explanation(f"Migration {heard.step}{where} failed: {kind}{_first(found.text)}", cause, fix)


def _unknown(heard: Heard, _inputs: Inputs) -> Explanation:
    return Explanation(f"The run ended with {heard.state} ({heard.rule or 'no reason'}).", verdict=Verdict.INCONCLUSIVE)


_BEFORE_THE_FIRST = {"environment", "exit", "database-unreachable", "database-refused"}

_RULES: Mapping[str, Callable[[Heard, Inputs], Explanation]] = {
    "heads": _heads,
    "ahead": _ahead,
    "phase": _phase,
    "contract": _contract,
    "pooler": _pooler,
    "lock-held": _lock_held,
    "connection": _connection,
    "database-unreachable": _unreachable,
    "database-refused": _database_refused,
    "no-migrations": _no_migrations,
    "no-alembic": _no_alembic,
    "exit": _exit,
    "environment": _environment,
    "unproven": _unproven,
    "timeout": _timeout,
    "migration": _migration,
}

_STATES: Mapping[str, tuple[str, str]] = {
    # https://www.postgresql.org/docs/current/errcodes-appendix.html
    "53100": (
        "The database's disk is full.",
        "Make room first (a table's rewrite needs its size again, and so does an index); then run it again.",
    ),
    "53400": (
        "A limit that the server's configuration sets was reached, such as `temp_file_limit`.",
        "Raise it for the role of the migration (`ALTER ROLE … SET …`), or work in batches.",
    ),
    "53200": ("The database is out of memory.", "Lower `maintenance_work_mem` for this migration, or work in batches."),
    "57014": ("The statement took longer than `statement-timeout`.", "Work in batches, or raise `statement-timeout`."),
    "57P01": ("The database's administrator, or a fail-over, ended the session.", "Run it again once the database is up."),
    "40P01": ("It waited for another session, and that one for it.", "Nothing of the failed step stays; run it again."),
    "42501": (
        "The role of the migration may not do this.",
        "Grant it what it needs, or migrate as the owner of the tables:\n\n    ALTER TABLE … OWNER TO …;",
    ),
    "42P07": (
        "It is there already: made by hand, by an earlier attempt outside a transaction, or by another tool.",
        "Compare it with the migration. If it is what the migration would make, tell Alembic so: `alembic stamp REVISION`.",
    ),
    "42701": (
        "The column is there already: made by hand, by an earlier attempt outside a transaction, or by another tool.",
        "Compare it with the migration. If it is what the migration would make, tell Alembic so: `alembic stamp REVISION`.",
    ),
    "23505": (
        "Rows that are there already break the new rule.",
        "Mend the data in a migration before this one, in batches; then add the rule.",
    ),
    "23502": (
        "Rows that are there already have no value in this column.",
        "Add it as nullable, fill it in batches, and set NOT NULL in a later release.",
    ),
    "23514": (
        "Rows that are there already break the check.",
        "Add it NOT VALID, mend the data, and VALIDATE it in a later migration.",
    ),
    "23503": (
        "Rows that are there already refer to nothing.",
        "Add the key NOT VALID, mend the data, and VALIDATE it in a later migration.",
    ),
    "25001": (
        "The statement cannot run in a transaction.",
        (
            "Put it into Alembic's block for such statements:\n\n    with op.get_context().autocommit_block():\n"
            '        op.create_index("ix_items_name", "items", ["name"], postgresql_concurrently=True)'
        ),
    ),
}
