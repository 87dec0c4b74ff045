"""Explains what keeps a run from its database: the URL, the driver, the way there, and the login."""

from __future__ import annotations

from cicd_actions.run_migrations_oneshot.inputs import Inputs
from cicd_actions.run_migrations_oneshot.progress import Progress
from cicd_actions.run_migrations_oneshot.sentences import Explanation, first_line
from cicd_actions.toolkit.verdict import Verdict


def interpolation(_progress: Progress, _inputs: Inputs) -> Explanation:
    return Explanation(
        "env.py gives the URL to Alembic's configuration, which takes a `%` in it for the start of a variable.",
        "The password holds a character that is URL-encoded, such as `%40` for an `@`.",
        'Double the percent sign in env.py:\n\n    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))',
    )


def sql_ascii(_progress: Progress, inputs: Inputs) -> Explanation:
    return Explanation(
        "The database has the encoding SQL_ASCII, so the driver does not know how to read its texts.",
        "A session takes over the database's encoding unless it names another one.",
        f"Name it in {inputs.database_url_env} (psycopg, psycopg2):\n\n    postgresql+psycopg://…/app?client_encoding=utf8",
    )


def sslmode(_progress: Progress, inputs: Inputs) -> Explanation:
    return Explanation(
        "asyncpg does not know `?sslmode=`, which the URL has.",
        "SQLAlchemy hands the URL's parameters to the driver as they are; `sslmode` is libpq's (psycopg, psycopg2).",
        f"Write asyncpg's own parameter in {inputs.database_url_env}:\n\n    postgresql+asyncpg://…/app?ssl=require",
    )


def masked_password(_progress: Progress, _inputs: Inputs) -> Explanation:
    return Explanation(
        "env.py connects with the password `***`.",
        "SQLAlchemy writes it in place of the real one: `str(url)` hides the password.",
        "Write the whole URL in env.py:\n\n    url.render_as_string(hide_password=False)",
    )


def postgres_scheme(_progress: Progress, inputs: Inputs) -> Explanation:
    return Explanation(
        "SQLAlchemy does not know the scheme `postgres://`, which the URL has.",
        "SQLAlchemy 1.4 removed it. Heroku, Render and others still print URLs with it.",
        f"Write `postgresql://` (or `postgresql+asyncpg://`) in {inputs.database_url_env}, or change it in env.py:\n\n"
        '    url = url.replace("postgres://", "postgresql://", 1)',
    )


def unreachable(progress: Progress, inputs: Inputs) -> Explanation:
    said = first_line(progress.problem.text)
    return Explanation(
        f"The database did not answer within the {inputs.wait_for_database:g} s of `wait-for-database`: {said}",
        "It is down or still starting, its name does not resolve in the job's network, or a firewall is in between.",
        f"Check host and port in {inputs.database_url_env}, and the job's networks (`network`, or those of `service`)."
        " If it only starts slowly:\n\n    with:\n      wait-for-database: 2m",
        Verdict.INCONCLUSIVE,
    )


def database_refused(progress: Progress, inputs: Inputs) -> Explanation:
    return Explanation(
        f"The database refused the connection: {first_line(progress.problem.text)}",
        "A wrong user, password or database name, a missing certificate, or a rule in pg_hba.conf. It was not tried again:"
        " the answer stays the same.",
        f"Compare {inputs.database_url_env} in this environment with the one that the running release has.",
    )
