"""The inputs of verify-migrations."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from fnmatch import fnmatchcase

from cicd_actions.toolkit import grammar
from cicd_actions.toolkit.grammar import NotUnderstood
from cicd_actions.toolkit.inputs import declare
from cicd_actions.verify_migrations.rules import CLASSES

DATABASES = ("postgres", "mysql", "mariadb", "sqlite")
"""How the URLs of databases begin that the action can judge."""


class Level(IntEnum):
    """How much a finding counts: not at all, as a warning, or as a failure."""

    OFF = 0
    WARN = 1
    ERROR = 2


@dataclass(frozen=True)
class Setting:
    """One line of the input `rules`. `rule` and `place` may have `*`; an empty place is everywhere."""

    rule: str
    place: str
    level: Level

    def holds(self, rule: str, place: str) -> bool:
        """Returns whether it is about a finding of that rule at that place (`table` or `table.column`)."""
        whole = place.replace("#", ".")
        here = not self.place or fnmatchcase(whole, self.place) or fnmatchcase(whole.partition(".")[0], self.place)
        return fnmatchcase(rule, self.rule) and here


def setting(line: str) -> Setting:
    """Reads `RULE: LEVEL` or `RULE at TABLE: LEVEL`. Raises `NotUnderstood`."""
    found = re.fullmatch(r"\s*(\S+?)(?:\s+at\s+(\S+?))?\s*:\s*(off|warn|error)\s*", line)
    if not found:
        what = f"`{line}` is not `RULE: LEVEL` or `RULE at TABLE: LEVEL` (off, warn, error)"
        raise NotUnderstood(what, example="blocking-index-drop at audit_log: warn")
    return Setting(found[1], found[2] or "", Level[found[3].upper()])


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Holds what the caller wants. Paths start from `working_directory`."""

    command: tuple[str, ...] = declare(
        grammar.argv,
        "The command that migrates the database, as words without a shell: `alembic upgrade head`, also behind a launcher such"
        " as `uv run`. Of any other tool, only what the server sees is judged.",
        default="alembic upgrade head",
    )
    working_directory: str = declare(
        grammar.string, "The folder where commands run and paths start, from the workspace.", default="."
    )
    database_url_variable: str = declare(
        grammar.variable_name,
        "The variable that holds the URL of the scratch server, whose role needs to be a superuser. The action makes databases"
        " there, and drops them. With a `mysql`, `mariadb` or `sqlite` URL, locks are not judged.",
        default="DATABASE_URL",
    )
    allow_other_data: bool = declare(
        grammar.boolean,
        "`true` accepts a server whose databases have rows already, such as one that tests used.",
        default="false",
    )
    base_ref: str = declare(
        grammar.string,
        "The commit, branch or tag that runs now. Default on GitHub: the base of the pull request or merge group, or the commit"
        " before the push.",
    )
    base_install_command: tuple[str, ...] | None = declare(
        grammar.optional(grammar.argv),
        "A command that installs the base's environment in a separate work tree, such as `uv sync --frozen`. Default: the"
        " base's code runs in the environment of this change.",
    )
    base_command: tuple[str, ...] | None = declare(
        grammar.optional(grammar.argv),
        "A command that builds the base's schema in an empty database. Default: the base's own `command`.",
    )
    rows: int = declare(grammar.whole(1, 10_000), "Generated rows for each table.", default="100")
    seed_command: tuple[str, ...] | None = declare(
        grammar.optional(grammar.argv), "A command that adds rows to the base's schema, run in the base's work tree."
    )
    seed_sql: str = declare(grammar.string, "A file of SQL that adds rows to the base's schema, from `working-directory`.")
    old_tests_command: tuple[str, ...] | None = declare(
        grammar.optional(grammar.argv),
        "A command that runs the base's own tests against the migrated database, in the base's work tree. It must not migrate.",
    )
    table_sizes: str = declare(
        grammar.string,
        'A JSON file with the rows of each table in production, such as `{"users": 1200000}`. Locks on tables with fewer than'
        " 10,000 rows warn.",
    )
    fail_on: tuple[str, ...] = declare(
        grammar.lines(grammar.choice(*CLASSES)),
        "The classes that fail, one a line: " + ", ".join(f"`{name}`" for name in CLASSES) + ". The rest warns.",
        default="\n".join(CLASSES),
    )
    rules: tuple[Setting, ...] = declare(
        grammar.lines(setting),
        "The level of single rules, one a line: `RULE: LEVEL` or `RULE at TABLE: LEVEL`, where the level is `off`, `warn` or"
        " `error`. The last line that matches wins.",
    )
    acknowledge: str = declare(
        grammar.string,
        "A YAML list of accepted findings, each with `fingerprint`, `reason`, and optionally `expires` (the last day).",
    )
    comment: bool = declare(
        grammar.boolean,
        "`true` keeps one comment on the pull request up to date. Needs `pull-requests: write`; else the summary has it.",
        default="false",
    )
    github_token: str = declare(grammar.string, "The token for the comment.", secret=True, action_default="${{ github.token }}")
    report: str = declare(grammar.string, "Where to write the JSON report. Default: a file in the runner's temporary folder.")
    timeout: float = declare(grammar.duration, "The timeout of the whole action.", default="10m")
