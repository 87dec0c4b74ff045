"""Makes the command that runs the in-image program: `python3 -c TEXT OPTIONS ARGUMENTS`, with nothing to install or mount."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from cicd_actions.run_migrations_oneshot.command_line import AlembicCommand

# In the order in which they import each other.
MODULES = ("channel", "session", "aside", "connections", "scripts", "problems", "guard", "places", "migrate")


@dataclass(frozen=True)
class Options:
    """What the program is told. It holds no secret, because it is an argument. Times in seconds, the two timeouts in ms.

    `mode`: `apply`, or `plan` to stop after the preflight. `contract`: contract migrations may be applied. `url_variable`: the
    name of the variable that should hold the database's URL.
    """

    nonce: str
    mode: str
    application_name: str
    timeout: float
    lock_timeout: int
    statement_timeout: int
    wait_for_lock: float
    wait_for_database: float
    lock_retries: int
    sql: bool
    single_head: bool
    contract: bool
    script: str = "alembic"
    url_variable: str = "DATABASE_URL"


def text() -> str:
    """The program: the start, and the other modules as data for it."""
    folder = Path(__file__).parent / "in_image"
    sources = {name: (folder / f"{name}.py").read_text(encoding="utf-8") for name in MODULES}
    boot = (folder / "boot.py").read_text(encoding="utf-8")
    return f"{boot}\n\nstart({sources!r})\n"


def words(alembic: AlembicCommand, options: Options) -> Sequence[str]:
    """The job's arguments."""
    return (*alembic.launcher, alembic.python, "-c", text(), json.dumps(asdict(options)), *alembic.arguments)
