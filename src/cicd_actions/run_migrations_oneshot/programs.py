"""Runs the user's programs on the runner: they get the job's variables, and the database's address as libpq reads it."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

from cicd_actions.engines.protocol import Image
from cicd_actions.run_migrations_oneshot.inputs import Inputs
from cicd_actions.run_migrations_oneshot.job import variables
from cicd_actions.run_migrations_oneshot.journal import Journal
from cicd_actions.toolkit.process import Finished, filled, run
from cicd_actions.toolkit.runtime import Runtime


def run_program(
    words: tuple[str, ...],
    inputs: Inputs,
    runtime: Runtime,
    image: Image,
    journal: Journal | None,
    values: Mapping[str, str] | None = None,
) -> Finished:
    """Runs a program and shows its lines in `journal`. Raises `UnusableInput` when it cannot be started."""
    known = {"environment": inputs.environment, "image": image.pinned, "sha": inputs.sha, **(values or {})}
    given = variables(inputs, runtime)
    environment = runtime.environment.for_programs()
    address = libpq_variables(given.get(inputs.database_url_env, ""))
    return run(
        filled(words, known),
        timeout=inputs.timeout,
        env={**address, **environment, **given},
        on_line=(lambda _stream, text: journal.line(text)) if journal else None,
        redactor=runtime.redactor,
    )


def libpq_variables(url: str) -> dict[str, str]:
    """Returns PGHOST and its siblings for a PostgreSQL URL, so that `pg_dump` needs no argument; empty for any other.

    https://www.postgresql.org/docs/current/libpq-envars.html
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return {}
    if not parts.scheme.startswith("postgres"):
        return {}
    found = {
        "PGHOST": parts.hostname or "",
        "PGPORT": str(port or ""),
        "PGUSER": unquote(parts.username or ""),
        "PGPASSWORD": unquote(parts.password or ""),
        "PGDATABASE": unquote(parts.path.lstrip("/")),
    }
    return {name: value for name, value in found.items() if value}


def why(done: Finished) -> str:
    """Returns how a program failed."""
    return "took longer than `timeout`" if done.timed_out else f"failed with exit code {done.exit_code}"


def last_lines(done: Finished) -> str:
    """Returns the last lines of a program's standard error, or of its standard output."""
    return "\n".join((done.stderr or done.stdout).strip().splitlines()[-10:])
