"""Builds the schema that runs now, by the base's own code, and fills it with two sets of rows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cicd_actions.toolkit.errors import Inconclusive
from cicd_actions.verify_migrations.inputs import Inputs
from cicd_actions.verify_migrations.project import Programs, Tree, broken
from cicd_actions.verify_migrations.rows import Rows, Unfilled
from cicd_actions.verify_migrations.server import BASE, Server
from cicd_actions.verify_migrations.wire import Address, ServerError
from cicd_actions.verify_openapi_client.repository import Repository

_FORM = 2
"""Counts what a kept database holds besides its schema: from 2 on, a note of the tables without rows."""


@dataclass(frozen=True)
class Base:
    """The schema that runs now, as template databases with tame and hostile rows, and what its code needs."""

    tame: str
    hostile: str
    empty: str
    facts: Mapping[str, Any]
    cached: bool
    unfilled: Sequence[Unfilled] = ()
    """The tables without rows."""


@dataclass
class BaseSchema:
    """One build. `head` is this change's work tree, `base` the one of the commit that runs now."""

    inputs: Inputs
    repo: Repository
    server: Server
    programs: Programs
    head: Tree
    base: Tree
    commit: str

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
            noted = [Unfilled(**each) for each in json.loads(self.server.noted(f"{kept}_t") or "[]")]
            return Base(f"{kept}_t", f"{kept}_h", kept, facts, cached=True, unfilled=noted)
        with self.server.connect(new) as connection:
            self.server.recorder.install(connection)
            if facts.get("heads") and not self.inputs.base_command and not self.server.recorder.version_rows(connection):
                raise self._elsewhere()
        filled = {}
        unfilled: dict[str, Unfilled] = {}
        for kind in ("tame", "hostile"):
            filled[kind], without = self._filled(new, kind)
            unfilled = {each.oid: each for each in without} | unfilled
        self.server.note(filled["tame"], json.dumps([asdict(each) for each in unfilled.values()]))
        if not self._seeds:  # a seed may change without a trace, so nothing is kept
            self.server.prune(kept)
            new = self.server.keep(new, kept)
            filled = {kind: self.server.keep(database, f"{kept}_{kind[0]}") for kind, database in filled.items()}
        return Base(filled["tame"], filled["hostile"], new, facts, cached=False, unfilled=list(unfilled.values()))

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
            _FORM,
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
            asked = self.programs.python(self.base, "models", address, moved=self._moved, graph=False)
            facts["models"] = asked.get("models")
            facts["no_models"] = str((asked.get("error") or {}).get("text", ""))
        return facts

    @property
    def _moved(self) -> list[str]:
        return [] if self.base.separate else [str(self.repo.root), str(self.base.root)]

    def _filled(self, template: str, kind: str) -> tuple[str, list[Unfilled]]:
        """Returns a copy with rows, and the tables that have none."""
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
        if self.inputs.seed_command:
            self.programs.required(self.base, self.inputs.seed_command, self.server.address.at(database), "seed-command")
        if problems and self._seeds:
            with self.server.connect(database) as connection:
                problems = [each for each in problems if rows.empty(rows.tables[each.oid].name, connection)]
        return database, problems


def _usable(facts: Mapping[str, Any]) -> None:
    if "error" in facts or "stop" in facts:
        raise broken("the base's schema", facts, "Give the base its environment:\n\n    base-install-command: uv sync --frozen")
    if facts.get("foreign"):
        raise Inconclusive(
            f"The base's models were loaded from this change's files: {', '.join(facts['foreign'][:5])}.",
            cause="The project is installed in the environment, so the base's tree was not used.",
            fix="Give the base an environment:\n\n    base-install-command: uv sync --frozen",
        )
