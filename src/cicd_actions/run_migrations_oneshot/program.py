"""Makes the command that runs the in-image program: `python3 -c TEXT OPTIONS ARGUMENTS`, with nothing to install or mount."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from cicd_actions.run_migrations_oneshot.command_line import MigrationCommand

# In the order in which they import each other.
_STANDARD = (
    *("redaction", "output", "channel", "session", "health", "aside", "problems", "guard", "run", "touched"),
    "interpreter",
)
"""These need the standard library only; they come before the user's folders count. The rest is the tool's."""

_ALEMBIC = ("connections", "scripts", "version_tables", "migrate")

MODULES: Mapping[str, tuple[str, ...]] = {
    "alembic": (*_STANDARD, *_ALEMBIC),
    "flask": (*_STANDARD, *_ALEMBIC),
    "django": (*_STANDARD, "squashes", "django_migrations"),
    "sql": (*_STANDARD, "sql_folder"),
}
"""The modules of each tool's program, in the order in which they import each other. The last one has `main`."""


@dataclass(frozen=True)
class Options:
    """What the program is told. It holds no secret, because it is an argument. Times in seconds, the two timeouts in ms.

    `mode`: `apply`, or `plan` to stop after the preflight. `contract`: contract migrations may be applied. `proven`: phases by
    revision, from the input `proven-phases`. `url_variable`: the
    name of the variable that should hold the database's URL. `module`: the command was `python -m alembic`, which has the
    working directory in front of its path. `tool`: whose program it is, a key of `MODULES`.
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
    proven: Mapping[str, str] = field(default_factory=dict)
    script: str = "alembic"
    module: bool = False
    tool: str = "alembic"
    url_variable: str = "DATABASE_URL"


def text(tool: str = "alembic") -> str:
    """Returns the program: the start, and the other modules as data for it."""
    folder = Path(__file__).parent / "in_image"
    sources = {name: (folder / f"{name}.py").read_text(encoding="utf-8") for name in MODULES[tool]}
    boot = (folder / "boot.py").read_text(encoding="utf-8")
    return f"{boot}\n\nstart({sources!r})\n"


def words(alembic: MigrationCommand, options: Options) -> Sequence[str]:
    """Returns the job's arguments."""
    return (*alembic.launcher, alembic.python, "-c", text(options.tool), json.dumps(asdict(options)), *alembic.arguments)
