"""Builds what runs now, runs the change on it once, looks at it, downgrades, and upgrades again. It judges nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from cicd_actions.toolkit.background import Background
from cicd_actions.toolkit.findings import Severity
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.verify_migrations import catalog as catalogs
from cicd_actions.verify_migrations import (
    old_code,
    project,
    replay,
    revision_graph,
    round_trip,
    segments,
    traffic,
    without_rows,
)
from cicd_actions.verify_migrations.base_schema import Base, BaseSchema
from cicd_actions.verify_migrations.inputs import Inputs
from cicd_actions.verify_migrations.project import Programs, Tree, broken
from cicd_actions.verify_migrations.rows import Rows, Unfilled, is_version_table, qualified
from cicd_actions.verify_migrations.rules import RULES, Trouble
from cicd_actions.verify_migrations.segments import Segment
from cicd_actions.verify_migrations.server import Server
from cicd_actions.verify_migrations.wire import Address, Connection
from cicd_actions.verify_migrations.without_rows import Gap
from cicd_actions.verify_openapi_client.repository import Repository

_OF_ROWS = frozenset({"22", "23", "P0"})
"""Classes of SQLSTATE with which rows are refused: data, constraints, and what a trigger raises."""


@dataclass
class Evidence:
    """What was seen. `new` are the new revisions in the order of the run; `not_judged` says what could not be seen, and why."""

    new: list[dict[str, Any]] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    not_judged: list[str] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    """The tables that had no rows for some of the new revisions."""
    locks: dict[str, dict[str, str]] = field(default_factory=dict)
    phases: dict[str, tuple[str, str]] = field(default_factory=dict)
    cached: bool = False
    traffic: bool = True
    """Whether the server told what a migration does to the traffic."""


@dataclass
class Verification:
    """One run. `head` is this change's work tree, `base` the one of the commit that runs now."""

    inputs: Inputs
    runtime: Runtime
    repo: Repository
    server: Server
    programs: Programs
    head: Tree
    base: Tree
    commit: str
    found: Evidence = field(default_factory=Evidence)

    def run(self) -> Evidence:
        """Returns the evidence. Raises `Inconclusive` where the check itself could not work."""
        schema = BaseSchema(self.inputs, self.repo, self.server, self.programs, self.head, self.base, self.commit)
        base = schema.build()
        self.found.cached = base.cached
        judge = self._alembic if self.programs.tool == "alembic" else self._other_tool
        judge(base, base.tame)
        return self.found

    # The change, with Alembic

    def _alembic(self, base: Base, template: str) -> None:
        database = self.server.create("head" if template == base.tame else "bare", template)
        address = self.server.address.at(database)
        known = [each["revision"] for each in base.facts["scripts"]]
        options = {"known": known, "several_heads": len(base.facts["heads"]) > 1}
        with self.server.connect(database) as connection:
            before = self.server.recorder.catalog(connection)
            listed = self._statements(connection, before, base.facts["models"])
            failed_before = replay.run(connection, listed)
            counts = {} if self.server.recorder.unseen else _counts(connection, before)
            self.server.recorder.arm(connection)
            first = template == base.tame
            unkind = Background(partial(self._hostile, base, options) if first else dict[str, Any])
            head = self.programs.python(self.head, "upgrade", address, trace=True, **options)
            hostile = unkind.result()
            if "scripts" not in head:
                raise broken("this change's revisions", head)
            if first:
                for trouble in revision_graph.troubles(base.facts, head, self._relative):
                    self._add(trouble)
                fresh = [each for each in head["scripts"] if each["revision"] not in known]
                self.found.new = [{**each, "file": self._relative(each["path"])} for each in fresh]
                if self._refused_rows(head):
                    connection.close()
                    self._alembic(base, base.empty)
                    return
            if self._stopped(head):
                return
            # Where env.py migrates several tenants, a revision runs in each of them.
            steps = list(dict.fromkeys(each["revision"] for each in head["steps"]))
            after = self.server.recorder.catalog(connection)
            parts: list[Segment] = []
            if steps:
                entries = segments.started(self.server.recorder.entries(connection), known)
                parts = segments.cut(entries, before, after, head["statements"])
                self._reached(connection, head)
                self._looked_at(connection, parts, counts, listed, failed_before, base)
                self._without_rows(parts, failed_before, base, empty=not first)
                self._old_tests(base, address)
                self._unkind(hostile, steps)
            self.server.recorder.mark(connection, "after")
            round_ = self.programs.python(self.head, "after", address, steps=steps)
            self._agree(base.facts, round_)
            if steps:
                for each in round_trip.troubles(parts, round_, self.server.recorder.entries(connection)):
                    self._add(each)
        self._phases(parts, base)

    def _hostile(self, base: Base, options: Mapping[str, Any]) -> dict[str, Any]:
        database = self.server.create_apart("unkind", base.hostile)
        return self.programs.python(self.head, "upgrade", self.server.address.at(database), trace=False, **options)

    def _statements(self, connection: Connection, before: Any, models: Any) -> list[replay.Statement]:
        rows = Rows(connection, before, self.inputs.rows)
        return replay.statements(rows, before, models, self.inputs.rows)

    def _refused_rows(self, head: Mapping[str, Any]) -> bool:
        """Returns whether the migration may only refuse rows, which are made up: empty tables show the rest."""
        error = head.get("error")
        running = self._running(head)
        if not error or not running or self.server.recorder.state(error)[:2] not in _OF_ROWS:
            return False
        detail = f" ({error['detail']})" if error.get("detail") else ""
        self._add(
            Trouble(
                "fails-on-data",
                f"{running} fails on orderly rows: {project.first_line(error)}{detail}",
                running,
                line=error.get("line") or 0,
            )
        )
        return True

    def _stopped(self, head: Mapping[str, Any]) -> bool:
        """Returns whether the upgrade did not come to its end, and says so."""
        error = head.get("error")
        if head.get("stop"):
            raise broken("this change's revisions", head)
        if error is None:
            steps = {each["revision"]: at for at, each in enumerate(head.get("steps") or ())}
            self.found.new.sort(key=lambda each: steps.get(each["revision"], len(steps)))
            return bool(head["problems"])
        running = self._running(head)
        # Where it fails on empty tables too, the rows were not the reason.
        same = ("fails-on-data", running)
        self.found.troubles = [each for each in self.found.troubles if (each.rule, each.revision) != same]
        file = next((each["path"] for each in self.found.new if each["revision"] == running), "")
        place = Path(error["file"]) if error.get("file") else Path(file)
        if not running and error.get("missing"):
            raise broken("this change's env.py", head)
        graph = "the graph" if str(error.get("type", "")).endswith("Detected") else "env.py"
        what = f"{running or graph} fails: {error['text']}"
        whole = place if place.is_absolute() else self.head.folder / place
        self._add(
            Trouble(
                "upgrade-fails",
                what,
                running,
                file=str(whole) if file or error.get("file") else "",
                line=error.get("line") or 0,
            )
        )
        self.found.phases = {each["revision"]: ("unknown", "the upgrade failed") for each in self.found.new}
        return True

    @staticmethod
    def _running(head: Mapping[str, Any]) -> str:
        return str(head.get("running") or "")

    def _reached(self, connection: Connection, head: Mapping[str, Any]) -> None:
        found = {segments.version(row) for row in self.server.recorder.version_rows(connection)}
        if found != set(head["ends"]):
            what = f"the database is at {', '.join(sorted(found)) or 'no revision'}, and the head is {', '.join(head['ends'])}"
            self._add(Trouble("head-not-reached", what))

    def _looked_at(
        self,
        connection: Connection,
        parts: list[Segment],
        counts: Mapping[str, int],
        listed: list[replay.Statement],
        failed_before: Mapping[replay.Statement, replay.Refused],
        base: Base,
    ) -> None:
        before, after = parts[0].before, parts[-1].after
        failed_after = replay.run(connection, listed)
        if self.server.recorder.unseen:
            self.found.traffic = False
            self.found.not_judged.append(self.server.recorder.unseen)
        else:
            both = traffic.Counts(counts, _counts(connection, before, after))
            for each in (*traffic.troubles(parts, before, both), *traffic.invalid_before(before, after)):
                self._add(each)
            self.found.locks = {part.revision or "the migration": traffic.strongest(part, before) for part in parts}
        assumed = base.facts["models"] is None
        if assumed:
            why = base.facts.get("no_models") or "the tool's models are not known"
            self.found.not_judged.append(f"Which columns the running release uses is not known: {why}. All of them count.")
        for each in old_code.troubles(parts, listed, failed_before, failed_after, assumed=assumed):
            self._add(each)

    def _old_tests(self, base: Base, address: Address) -> None:
        words = self.inputs.old_tests_command
        if not words:
            return
        done = self.programs.command(self.base, words, address, "old-tests-command")
        if not done.exit_code and not done.timed_out:
            return
        plain = self.server.address.at(self.server.create("tests", base.tame))
        again = self.programs.command(self.base, words, plain, "old-tests-command on the base's schema")
        if again.exit_code or again.timed_out:
            self.found.not_judged.append("The base's own tests fail on the base's own schema too, so they prove nothing.")
            return
        last = " ".join((done.stdout or done.stderr).strip().splitlines()[-1:])
        self._add(
            Trouble("old-tests-fail", f"the base's own tests fail on the new schema: {last}", self.found.new[-1]["revision"])
        )

    def _without_rows(
        self,
        parts: Sequence[Segment],
        failed_before: Mapping[replay.Statement, replay.Refused],
        base: Base,
        *,
        empty: bool,
    ) -> None:
        unseen = bool(self.server.recorder.unseen)
        if not empty:
            self.found.gaps = without_rows.gaps(base.unfilled, failed_before, parts, unseen=unseen)
            self.found.not_judged += [each.sentence for each in self.found.gaps]
            return
        refusing = next((each.revision for each in self.found.troubles if each.rule == "fails-on-data"), "") or "the migration"
        reason = f"{refusing} refuses the generated rows"
        tables = (parts[0].before["tables"] if parts else None) or {}
        every = [Unfilled(oid, catalogs.called(one), reason) for oid, one in tables.items() if not is_version_table(one)]
        self.found.gaps = without_rows.gaps(every, {}, parts, unseen=unseen)
        who = without_rows.listed([part.revision for part in parts])
        self.found.not_judged.append(f"{who} ran on empty tables: {reason}. Add rows with `seed-sql` or `seed-command`.")

    def _unkind(self, hostile: Mapping[str, Any], steps: Sequence[str]) -> None:
        error = hostile.get("error")
        if error and not any(each.rule == "fails-on-data" for each in self.found.troubles):
            running = self._running(hostile)
            self._not_tried(steps, running)
            what = f"{running} fails on rows with NULL, empty, longest or equal values: {project.first_line(error)}"
            detail = f" ({error['detail']})" if error.get("detail") else ""
            self._add(Trouble("fails-on-data", what + detail, running, line=error.get("line") or 0))

    def _not_tried(self, steps: Sequence[str], running: str) -> None:
        left = steps[steps.index(running) + 1 :] if running in steps else ()
        if left:
            what = f"{without_rows.listed(left)} did not run on NULL, empty, longest or equal values: {running} fails on them."
            self.found.not_judged.append(what)

    def _agree(self, base: Mapping[str, Any], round_: Mapping[str, Any]) -> None:
        if "differences" not in round_:
            raise broken("the comparison of models and schema", round_)
        why = round_.get("no_models") or round_.get("uncompared") or base.get("uncompared")
        if why:
            self.found.not_judged.append(f"Models and schema were not compared: {why}.")
            return
        for each in round_["differences"]:
            if each not in base["differences"]:
                self._add(Trouble("models-differ", f"Alembic would still write: {each}", place=each))

    def _phases(self, parts: list[Segment], base: Base) -> None:
        declared = {each["revision"]: each.get("phase", "") for each in self.found.new}
        for part in parts:
            broken = [
                each.what
                for each in self.found.troubles
                if each.revision == part.revision and RULES[each.rule].group == "old-code" and each.level is Severity.ERROR
            ]
            if broken:
                self.found.phases[part.revision] = ("contract", broken[0])
            elif base.facts["models"] is None and not catalogs.additive(part.before, part.after):
                self.found.phases[part.revision] = ("unknown", "the running release's models could not be asked")
            else:
                why = ["every statement of the running release still works"]
                why += [each.short for each in self.found.gaps if part.revision in each.revisions]
                self.found.phases[part.revision] = ("expand", "; ".join(why))
                if declared.get(part.revision) == "contract":
                    self._add(Trouble("contract-unneeded", f"{part.revision} declares `contract`", part.revision))

    # The change, with another tool

    def _other_tool(self, base: Base, template: str, refused: tuple[set[str], str] | None = None) -> None:
        """`refused`: the migrations that ran on orderly rows, and how the one after them refused those."""
        first = template == base.tame
        if first:
            self.found.not_judged.append(
                "The command is not Alembic's: downgrades, and the line and rows of each statement, are not judged."
                " Models are not compared with the schema."
            )
        database = self.server.create("head" if first else "bare", template)
        with self.server.connect(database) as connection:
            before = self.server.recorder.catalog(connection)
            listed = self._statements(connection, before, base.facts["models"])
            failed_before = replay.run(connection, listed)
            counts = {} if self.server.recorder.unseen else _counts(connection, before)
            known = {segments.version(row) for row in self.server.recorder.version_rows(connection)}
            address = self.server.address.at(database)
            asked = self.programs.python(self.head, "models", address, graph=True) if self.programs.tool else {}
            files = {each["revision"]: each for each in asked.get("migrations") or ()}
            if asked.get("problems"):
                for trouble in revision_graph.of_django(asked["problems"], files):
                    self._add(trouble)
                return
            self.server.recorder.arm(connection)
            done = self.programs.command(self.head, self.inputs.command, address, "command")
            recorded = {segments.version(row) for row in self.server.recorder.version_rows(connection)}
            if first and done.exit_code and project.refuses_rows(done):
                connection.close()
                self._other_tool(base, base.empty, (recorded, project.last_words(done)))
                return
            if done.exit_code or done.timed_out:
                self._add(
                    Trouble("upgrade-fails", f"the command failed with exit code {done.exit_code}: {project.last_words(done)}")
                )
                return
            entries = segments.started(self.server.recorder.entries(connection), known)
            parts = segments.cut(entries, before, self.server.recorder.catalog(connection), [])
            parts = segments.joined(parts, {name: each.get("replaces") or () for name, each in files.items()}, known)
            moved = [part for part in parts if part.revision or part.entries or part.before != part.after]
            for part in moved:
                part.revision = part.revision or "the migration"
            nothing = {"phase": "", "message": "", "path": ""}
            self.found.new = [{**files.get(part.revision, nothing), "revision": part.revision} for part in moved]
            steps = [part.revision for part in moved]
            if refused:
                self._fails_on(steps, *refused, "orderly rows")
            self._looked_at(connection, parts, counts, listed, failed_before, base)
            self._without_rows(moved, failed_before, base, empty=not first)
        if first:
            self._hostile_command(base, steps)
        self._phases(moved, base)

    def _hostile_command(self, base: Base, steps: Sequence[str]) -> None:
        database = self.server.create("unkind", base.hostile)
        address = self.server.address.at(database)
        done = self.programs.command(self.head, self.inputs.command, address, "command, hostile rows")
        if done.exit_code:
            with self.server.connect(database) as connection:
                recorded = {segments.version(row) for row in self.server.recorder.version_rows(connection)}
            running = self._fails_on(
                steps, recorded, project.last_words(done), "rows with NULL, empty, longest or equal values"
            )
            self._not_tried(steps, running)

    def _fails_on(self, steps: Sequence[str], recorded: set[str], words: str, rows: str) -> str:
        """Returns the migration that failed; empty where the tool does not record each one by itself."""
        running = next((step for step in steps if step not in recorded), "") if self.programs.tool else ""
        self._add(Trouble("fails-on-data", f"{running or 'the command'} fails on {rows}: {words}", running))
        return running

    def _add(self, trouble: Trouble) -> None:
        file = trouble.file
        if not file and trouble.revision:
            file = next((each.get("path", "") for each in self.found.new if each["revision"] == trouble.revision), "")
        file = self._relative(file) if file else ""
        self.found.troubles.append(replace(trouble, file=file, tool=self.programs.tool))

    def _relative(self, path: str) -> str:
        return self.repo.relative(Path(path)) or Path(path).name


def _counts(connection: Connection, catalog: Any, now: Any = None) -> dict[str, int]:
    """Returns the rows of each table of `catalog`, under the name that it has in `now`; of one that was dropped, the rows of
    the table that was made in its place."""
    there = (now or catalog)["tables"] or {}
    remade = {qualified(table): table for table in there.values() if table["kind"] == "r"}
    wanted = {
        oid: there.get(oid) or remade.get(qualified(table))
        for oid, table in (catalog["tables"] or {}).items()
        if table["kind"] == "r" and not is_version_table(table)
    }
    parts = [f"select {oid}, count(*) from {qualified(table)}" for oid, table in wanted.items() if table]
    if not parts:
        return {}
    return {row[0] or "": int(row[1] or 0) for row in connection.rows(" union all ".join(parts))}
