"""Builds the schema that runs now, by the base's own code, and fills it with two sets of rows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cicd_actions.toolkit.errors import Inconclusive
from cicd_actions.verify_migrations.inputs import Inputs
from cicd_actions.verify_migrations.project import Programs, Tree, broken
from cicd_actions.verify_migrations.rows import Rows
from cicd_actions.verify_migrations.server import BASE, Server
from cicd_actions.verify_migrations.wire import Address, ServerError
from cicd_actions.verify_openapi_client.repository import Repository


@dataclass(frozen=True)
class Base:
    """The schema that runs now, as template databases with tame and hostile rows, and what its code needs."""

    tame: str
    hostile: str
    empty: str
    facts: Mapping[str, Any]
    cached: bool


@dataclass
class BaseSchema:
    """One build. `head` is this change's work tree, `base` the one of the commit that runs now.

    `not_judged` says which tables could not be filled.
    """

    inputs: Inputs
    repo: Repository
    server: Server
    programs: Programs
    head: Tree
    base: Tree
    commit: str
    not_judged: list[str] = field(default_factory=list)

    def build(self) -> Base:
        """Builds the base's schema and its rows, or takes them from the cache. Raises `Inconclusive`."""
        new = self.server.create("new")
        address = self.server.address.at(new)
        if self.inputs.base_install_command:
            self.programs.required(self.base, self.inputs.base_install_command, address, "base-install-command")
        databases = set(self.server.databases(BASE))
        cached = [each for each in sorted(databases) if {f"{each}_t", f"{each}_h"} <= databases]
        if self.inputs.base_command:
            self.programs.required(self.base, self.inputs.base_command, address, "base-command")
        facts: dict[str, Any]
        if self.programs.tool != "alembic":
            facts = self._base_of_other_tool(address, cached)
        else:
            facts = self.programs.python(
                self.base,
                "base",
                address,
                salt=self._salt(),
                prefix=BASE,
                cached=[] if self.inputs.base_command or self.programs.reads_settings_first else cached,
                database=new,
                built=bool(self.inputs.base_command),
                head_folder=str(self.repo.root),
                moved=self._moved,
            )
        if facts.get("elsewhere"):
            raise self._elsewhere()
        _usable(facts)
        kept = BASE + facts["key"]
        if facts["cached"]:
            return Base(f"{kept}_t", f"{kept}_h", kept, facts, cached=True)
        with self.server.connect(new) as connection:
            self.server.recorder.install(connection)
            if facts.get("heads") and not self.inputs.base_command and not self.server.recorder.version_rows(connection):
                raise self._elsewhere()
        filled = {kind: self._filled(new, kind) for kind in ("tame", "hostile")}
        if not self._seeds:  # a seed may change without a trace, so nothing is kept
            self.server.prune(kept)
            new = self.server.keep(new, kept)
            filled = {kind: self.server.keep(database, f"{kept}_{kind[0]}") for kind, database in filled.items()}
        return Base(filled["tame"], filled["hostile"], new, facts, cached=False)

    def _elsewhere(self) -> Inconclusive:
        name = self.inputs.database_url_variable
        return Inconclusive(
            "The base's migrations did not reach the scratch database.",
            cause=f"env.py takes the database's address from elsewhere than {name}, or migrates several databases.",
            fix=f"Read the variable in env.py, or name the one that it reads:\n\n    database-url-variable: {name}",
        )

    @property
    def _seeds(self) -> bool:
        return bool(self.inputs.seed_command or self.inputs.seed_sql)

    def _salt(self) -> str:
        parts = (
            self.server.recorder.salt,
            self.server.version,
            self.inputs.rows,
            self.inputs.command,
            self.inputs.base_command,
        )
        whole = (*parts, self.server.run if self._seeds else "")
        return hashlib.sha256(repr(whole).encode()).hexdigest()

    def _base_of_other_tool(self, address: Address, cached: Sequence[str]) -> dict[str, Any]:
        where = self.base.folder.relative_to(self.base.root).as_posix()
        tree = self.repo.git("rev-parse", f"{self.commit}:{'' if where == '.' else where}").decode().strip()
        key = hashlib.sha256(f"{self._salt()}{tree}".encode()).hexdigest()[:20]
        facts = {"key": key, "cached": BASE + key in cached and not self.inputs.base_command, "models": None}
        if not facts["cached"] and not self.inputs.base_command:
            self.programs.required(self.base, self.inputs.command, address, "command")
        if self.programs.tool:
            asked = self.programs.python(self.base, "models", address, moved=self._moved)
            facts["models"] = asked.get("models")
            facts["no_models"] = str((asked.get("error") or {}).get("text", ""))
        return facts

    @property
    def _moved(self) -> list[str]:
        return [] if self.base.separate else [str(self.repo.root), str(self.base.root)]

    def _filled(self, template: str, kind: str) -> str:
        database = self.server.create(kind, template)
        with self.server.connect(database) as connection:
            rows = Rows(connection, self.server.recorder.catalog(connection), self.inputs.rows)
            problems = rows.fill(hostile=kind == "hostile")
            if self.inputs.seed_sql:
                path = self.head.folder / self.inputs.seed_sql
                try:
                    connection.script(path.read_text("utf-8"))
                except (OSError, ServerError) as error:
                    raise Inconclusive(f"Could not run the file {self.inputs.seed_sql} of `seed-sql`: {error}.") from None
        self.not_judged += [f"Could not make {kind} rows for the table {problem}" for problem in problems]
        if self.inputs.seed_command:
            self.programs.required(self.base, self.inputs.seed_command, self.server.address.at(database), "seed-command")
        return database


def _usable(facts: Mapping[str, Any]) -> None:
    if "error" in facts or "stop" in facts:
        raise broken("the base's schema", facts, "Give the base its environment:\n\n    base-install-command: uv sync --frozen")
    if facts.get("foreign"):
        raise Inconclusive(
            f"The base's models were loaded from this change's files: {', '.join(facts['foreign'][:5])}.",
            cause="The project is installed in the environment, so the base's tree was not used.",
            fix="Give the base an environment:\n\n    base-install-command: uv sync --frozen",
        )
