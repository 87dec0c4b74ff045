"""A small Alembic project, and a Python environment that has Alembic: what stands in an application's image."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from tests.harness.installing import fetched, uv

ROOT = Path(__file__).resolve().parents[2]
NEWEST = (
    "alembic>=1.16",
    "sqlalchemy>=2.0.40",
    "asyncpg>=0.30",
    "psycopg[binary]>=3.2",
    "psycopg2-binary>=2.9",
    "aiosqlite>=0.20",
    "greenlet",
    "pymysql>=1.1",
)
OLDEST = ("alembic==1.10.*", "sqlalchemy==1.4.*", "asyncpg<0.31", "psycopg2-binary>=2.9", "aiosqlite<0.21", "greenlet")

OTHER_TOOLS = ("django>=4.2", "flask-migrate>=4", "psycopg[binary]>=3.2")
"""What else the program watches."""

_SYNC = """
import os
from alembic import context
from sqlalchemy import create_engine, pool, text

{before}
engine = create_engine(os.environ["DATABASE_URL"], poolclass=pool.NullPool)
if context.is_offline_mode():
    context.configure(url=engine.url, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
else:
    with engine.connect() as connection:
        {on_connection}
        context.configure(connection=connection, {options})
        with context.begin_transaction():
            context.run_migrations()
"""

_ASYNC = """
import asyncio
import os
from alembic import context
from sqlalchemy import pool, text
from sqlalchemy.ext.asyncio import create_async_engine

{before}
engine = create_async_engine(os.environ["DATABASE_URL"], poolclass=pool.NullPool)


def migrate(connection):
    {on_connection}
    context.configure(connection=connection, {options})
    with context.begin_transaction():
        context.run_migrations()


async def main():
    async with engine.connect() as connection:
        await connection.run_sync(migrate)


if context.is_offline_mode():
    context.configure(url=engine.url, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
else:
    asyncio.run(main())
"""

_REVISION = '''"""{message}"""

import os
import sys
import time
import sqlalchemy as sa
from alembic import op

revision = {revision!r}
down_revision = {down!r}
{phase}

def upgrade():
{body}


def downgrade():
    pass
'''


class Project:
    """Files for Alembic in a folder: `alembic.ini`, `migrations/env.py`, and the revisions that are added."""

    def __init__(
        self,
        folder: Path,
        *,
        asynchronous: bool = False,
        before: str = "",
        on_connection: str = "pass",
        per_migration: bool = True,
    ) -> None:
        self.folder = folder
        (folder / "migrations/versions").mkdir(parents=True)
        (folder / "alembic.ini").write_text("[alembic]\nscript_location = migrations\n")
        template = _ASYNC if asynchronous else _SYNC
        options = f"transaction_per_migration={per_migration}"
        env = template.format(before=before, on_connection=on_connection, options=options)
        (folder / "migrations/env.py").write_text(env)
        self._last: str | None = None

    def revision(
        self,
        revision: str,
        body: str,
        *,
        message: str = "",
        phase: str | None = None,
        down: str | tuple[str, ...] | None = "the last one",
    ) -> Project:
        """Add a revision after the last one (or after `down`). `body` are the lines of `upgrade`."""
        self.path(revision).write_text(
            _REVISION.format(
                message=message or f"Do {revision}",
                revision=revision,
                down=self._last if down == "the last one" else down,
                phase=f"deploy_phase = {phase!r}" if phase else "",
                body=textwrap.indent(textwrap.dedent(body).strip(), "    "),
            )
        )
        self._last = revision
        return self

    def path(self, revision: str) -> Path:
        return self.folder / "migrations/versions" / f"{revision}_of_tests.py"


def python_with(requirements: Sequence[str], python: str = "", *, compiled: bool = False) -> Path:
    """The folder `bin` of an environment with these, made once in `.build/`. `python` is a version, empty for this one's.

    Its first use compiles what it imports: of most, a small part. `compiled` is for one that is copied into images.
    """
    python = _interpreter(python) if python else sys.executable
    more = ["--compile-bytecode"] if compiled else []
    key = hashlib.sha256("\n".join((*requirements, *more, python)).encode()).hexdigest()[:12]
    folder = ROOT / ".build/alembic" / key
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Another worker that needs it waits, and does not begin again what the first one makes.
    with folder.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "ready").exists():
            shutil.rmtree(folder, ignore_errors=True)
            fetched(uv(), "venv", "--quiet", "--clear", "--python", python, folder)
            environment = {**os.environ, "VIRTUAL_ENV": str(folder)}
            fetched(uv(), "pip", "install", "--quiet", *more, *requirements, environment=environment)
            (folder / "ready").touch()
    return folder / "bin"


def _interpreter(version: str) -> str:
    """Where that version is here; else the version itself, which uv downloads."""
    kept = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    return str(kept[-1]) if kept else shutil.which(f"python{version}") or version
