"""A git repository with an Alembic project in two states: what runs now, and a change on top of it."""

from __future__ import annotations

import os
import subprocess
import textwrap
from pathlib import Path

_ENV = """
import os
import sys
from alembic import context
from sqlalchemy import create_engine, pool, text

sys.path.insert(0, os.getcwd())
from models import metadata

engine = create_engine(os.environ["DATABASE_URL"], poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=metadata, {options})
    with context.begin_transaction():
        context.run_migrations()
"""

_ASYNC = """
import asyncio
import os
import sys
from alembic import context
from sqlalchemy import pool
from sqlalchemy.ext.asyncio import create_async_engine

sys.path.insert(0, os.getcwd())
from models import metadata


def migrate(connection):
    context.configure(connection=connection, target_metadata=metadata, {options})
    with context.begin_transaction():
        context.run_migrations()


async def main():
    engine = create_async_engine(os.environ["DATABASE_URL"], poolclass=pool.NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(migrate)


asyncio.run(main())
"""

_REVISION = '''"""{message}"""

import sqlalchemy as sa
from alembic import op

revision = {revision!r}
down_revision = {down!r}
{phase}

def upgrade():
{up}


def downgrade():
{down_body}
'''


class MigrationRepository:
    """`models` is the text of models.py after `import sqlalchemy as sa` and `metadata = sa.MetaData()`."""

    def __init__(
        self, folder: Path, *, asynchronous: bool = False, options: str = "transaction_per_migration=True", env: str = ""
    ) -> None:
        self.folder = folder
        (folder / "migrations/versions").mkdir(parents=True)
        (folder / "alembic.ini").write_text("[alembic]\nscript_location = migrations\n")
        template = env or (_ASYNC if asynchronous else _ENV)
        (folder / "migrations/env.py").write_text(template.replace("{options}", options))
        self.models("")
        self._git("init", "-q", "-b", "main")
        self._last: str | None = None
        self.base = ""

    def models(self, text: str) -> MigrationRepository:
        """Replaces the models."""
        head = "import sqlalchemy as sa\n\nmetadata = sa.MetaData()\n\n"
        (self.folder / "models.py").write_text(head + textwrap.dedent(text))
        return self

    def revision(
        self,
        revision: str,
        up: str,
        down: str = "pass",
        *,
        phase: str = "",
        parent: str | None = "the last one",
    ) -> MigrationRepository:
        """Adds a revision after the last one, or after `parent`."""
        text = _REVISION.format(
            message=f"Do {revision}",
            revision=revision,
            down=self._last if parent == "the last one" else parent,
            phase=f"deploy_phase = {phase!r}" if phase else "",
            up=_body(up),
            down_body=_body(down),
        )
        self.path(revision).write_text(text)
        self._last = revision
        return self

    def path(self, revision: str) -> Path:
        return self.folder / f"migrations/versions/{revision}_of_tests.py"

    def commit(self, message: str = "A change") -> str:
        """Commits everything. The first commit is the base."""
        self._git("add", "-A")
        self._git("-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-q", "--no-gpg-sign", "-m", message)
        commit = self._git("rev-parse", "HEAD").strip()
        self.base = self.base or commit
        return commit

    def _git(self, *words: str) -> str:
        environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}
        done = subprocess.run(["git", *words], cwd=self.folder, env=environment, capture_output=True, text=True, check=True)
        return done.stdout


def _body(text: str) -> str:
    return textwrap.indent(textwrap.dedent(text).strip() or "pass", "    ")
