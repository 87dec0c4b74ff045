"""Builds what runs now, runs the change on it once, looks at it, downgrades, and upgrades again. It judges nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from cicd_actions.toolkit.background import Background
from cicd_actions.toolkit.findings import Severity
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.verify_migrations import catalog as catalogs
from cicd_actions.verify_migrations import old_code, replay, revision_graph, segments, trace, traffic
from cicd_actions.verify_migrations.base_schema import Base, BaseSchema
from cicd_actions.verify_migrations.inputs import Inputs
from cicd_actions.verify_migrations.project import Programs, Tree, broken
from cicd_actions.verify_migrations.rows import Rows, is_version_table, qualified
from cicd_actions.verify_migrations.rules import RULES, Trouble
from cicd_actions.verify_migrations.segments import Segment
from cicd_actions.verify_migrations.server import Server
from cicd_actions.verify_migrations.wire import Address, Connection
from cicd_actions.verify_openapi_client.repository import Repository


@dataclass
class Evidence:
    """What was seen. `new` are the new revisions in the order of the run; `not_judged` says what could not be seen, and why."""

    new: list[dict[str, Any]] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    not_judged: list[str] = field(default_factory=list)
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
        self.found.not_judged += schema.not_judged
        self.found.cached = base.cached
        if self.programs.tool != "alembic":
            self._other_tool(base)
        else:
            self._alembic(base, base.tame)
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
                self._old_tests(base, address)
                self._unkind(hostile)
            self.server.recorder.mark(connection, "after")
            round_ = self.programs.python(self.head, "after", address, steps=steps)
            self._agree(base.facts, round_)
            if steps:
                self._back_and_forth(connection, parts, round_)
        self._phases(parts, base)

    def _hostile(self, base: Base, options: Mapping[str, Any]) -> dict[str, Any]:
        database = self.server.create_apart("unkind", base.hostile)
        return self.programs.python(self.head, "upgrade", self.server.address.at(database), trace=False, **options)

    def _statements(self, connection: Connection, before: Any, models: Any) -> list[replay.Statement]:
        rows = Rows(connection, before, self.inputs.rows)
        return replay.statements(rows, before, models, self.inputs.rows)

    def _refused_rows(self, head: Mapping[str, Any]) -> bool:
        """Returns whether the migration only refuses rows, which are made up: empty tables show the rest."""
        error = head.get("error")
        running = self._running(head)
        if not error or not running or self.server.recorder.state(error)[:2] not in {"22", "23"}:
            return False
        detail = f" ({error['detail']})" if error.get("detail") else ""
        self._add(
            Trouble(
                "fails-on-data",
                f"{running} fails on orderly rows: {error['text']}{detail}",
                running,
                line=error.get("line") or 0,
            )
        )
        self.found.not_judged.append(
            f"{running} refuses the generated rows, so the tables were empty. Give it rows by `seed-sql`."
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
        file = next((each["path"] for each in self.found.new if each["revision"] == running), "")
        place = Path(error["file"]) if error.get("file") else Path(file)
        if not running and error.get("missing"):
            raise broken("this change's env.py", head)
        what = f"{running or 'env.py'} fails: {error['text']}"
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
        if found != set(head["heads"]):
            what = f"the database is at {', '.join(sorted(found)) or 'no revision'}, and the head is {', '.join(head['heads'])}"
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
            for each in (*traffic.troubles(parts, before, both), *self._invalid_before(before, after)):
                self._add(each)
            self.found.locks = {part.revision or "the migration": traffic.strongest(part, before) for part in parts}
        assumed = base.facts["models"] is None
        if assumed:
            why = base.facts.get("no_models") or "the tool's models are not known"
            self.found.not_judged.append(f"Which columns the running release uses is not known: {why}. All of them count.")
        for each in old_code.troubles(parts, listed, failed_before, failed_after, assumed=assumed):
            self._add(each)

    @staticmethod
    def _invalid_before(before: Any, after: Any) -> list[Trouble]:
        return [
            Trouble(
                "invalid-index",
                f"the index {one['name']} of {catalogs.called(table)} was invalid before, and still is",
                place=catalogs.called(table),
                severity=Severity.WARNING,
            )
            for oid, table in (before["tables"] or {}).items()
            for index, one in (table["indexes"] or {}).items()
            if not one["valid"]
            and table["kind"] != "p"
            and not ((after["tables"].get(oid) or {}).get("indexes") or {}).get(index, {"valid": True})["valid"]
        ]

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

    def _unkind(self, hostile: Mapping[str, Any]) -> None:
        error = hostile.get("error")
        if error and not any(each.rule == "fails-on-data" for each in self.found.troubles):
            running = self._running(hostile)
            what = f"{running} fails on rows with NULL, empty, longest or equal values: {error['text']}"
            detail = f" ({error['detail']})" if error.get("detail") else ""
            self._add(Trouble("fails-on-data", what + detail, running, line=error.get("line") or 0))

    def _agree(self, base: Mapping[str, Any], round_: Mapping[str, Any]) -> None:
        if "differences" not in round_:
            raise broken("the comparison of models and schema", round_)
        if round_.get("no_models"):
            self.found.not_judged.append(f"Models and schema were not compared: {round_['no_models']}.")
            return
        for each in round_["differences"]:
            if each not in base["differences"]:
                self._add(Trouble("models-differ", f"Alembic would still write: {each}", place=each))

    def _back_and_forth(self, connection: Connection, parts: list[Segment], round_: Mapping[str, Any]) -> None:
        by_revision = {part.revision: part for part in parts}
        failed = round_.get("downgrade_failed", "")
        if round_.get("downgrade_error"):
            error = round_["downgrade_error"]
            rule = "downgrade-missing" if error["not_implemented"] else "downgrade-fails"
            self._add(self._down(rule, f"the downgrade of {failed} fails: {error['text']}", by_revision.get(failed)))
        downgraded = round_.get("downgraded") or ()
        done = {each["revision"]: each["statements"] for each in downgraded}
        rest = _after_mark(self.server.recorder.entries(connection))
        missing = False
        moves = [each for each in rest if each.kind == "revision"]
        tenants = len(done) < len(downgraded)
        if tenants:  # the schema is whole again only when the last one is back
            back = [each for each in moves if not any(_has(each, step) for step in done)]
            last = len(downgraded) // len(done)
            moves = back[last - 1 : last]
            done = dict([list(done.items())[-1]])
        moved = iter(moves)
        for revision, count in done.items():
            part = by_revision.get(revision)
            snapshot = next((each.catalog for each in moved if not _has(each, revision)), None)
            if part is None or snapshot is None:
                continue
            wrong = catalogs.differences(part.before, snapshot)
            if wrong:
                listed = "; ".join(wrong[:5]) + (f"; and {len(wrong) - 5} more" if len(wrong) > 5 else "")
                rule = "downgrade-differs" if count else "downgrade-missing"
                self._add(self._down(rule, f"after the downgrade of {revision}: {listed}", part))
                missing = not count
                break  # what an older one finds is a consequence
        # A missing downgrade explains it. Where there is one, what it leaves is in the way of the next deploy.
        if round_.get("error") and not missing:
            again = round_.get("running") or parts[-1].revision
            self._add(Trouble("upgrade-again-fails", f"{again} fails after its downgrade: {round_['error']['text']}", again))

    def _down(self, rule: str, what: str, part: Segment | None) -> Trouble:
        soft = part is not None and catalogs.additive(part.before, part.after)
        return Trouble(rule, what, part.revision if part else "", severity=Severity.NOTICE if soft else None)

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
                self.found.phases[part.revision] = ("expand", "every statement of the running release still works")
                if declared.get(part.revision) == "contract":
                    self._add(Trouble("contract-unneeded", f"{part.revision} declares `contract`", part.revision))

    # The change, with another tool

    def _other_tool(self, base: Base) -> None:
        self.found.not_judged.append(
            "The command is not Alembic's: downgrades, and the line and rows of each statement, are not judged."
            " Models are not compared with the schema."
        )
        database = self.server.create("head", base.tame)
        with self.server.connect(database) as connection:
            before = self.server.recorder.catalog(connection)
            listed = self._statements(connection, before, base.facts["models"])
            failed_before = replay.run(connection, listed)
            counts = {} if self.server.recorder.unseen else _counts(connection, before)
            known = {segments.version(row) for row in self.server.recorder.version_rows(connection)}
            self.server.recorder.arm(connection)
            done = self.programs.command(self.head, self.inputs.command, self.server.address.at(database), "command")
            if done.exit_code or done.timed_out:
                last = " ".join((done.stderr or done.stdout).strip().splitlines()[-1:])
                self._add(Trouble("upgrade-fails", f"the command failed with exit code {done.exit_code}: {last}"))
                return
            entries = segments.started(self.server.recorder.entries(connection), known)
            parts = segments.cut(entries, before, self.server.recorder.catalog(connection), [])
            moved = [part for part in parts if part.revision or part.entries or part.before != part.after]
            for part in moved:
                part.revision = part.revision or "the migration"
            known_files = self._files(database) if moved and self.programs.tool else {}
            nothing = {"phase": "", "message": "", "path": ""}
            self.found.new = [{**known_files.get(part.revision, nothing), "revision": part.revision} for part in moved]
            self._looked_at(connection, parts, counts, listed, failed_before, base)
        hostile = self.server.create("unkind", base.hostile)
        unkind = self.programs.command(self.head, self.inputs.command, self.server.address.at(hostile), "command, hostile rows")
        if unkind.exit_code:
            last = " ".join((unkind.stderr or unkind.stdout).strip().splitlines()[-1:])
            self._add(Trouble("fails-on-data", f"the command fails on rows with NULL, empty, longest or equal values: {last}"))
        self._phases(moved, base)

    def _files(self, database: str) -> dict[str, dict[str, Any]]:
        """Returns this change's migration files by revision, as the tool tells them."""
        asked = self.programs.python(self.head, "models", self.server.address.at(database))
        return {each["revision"]: each for each in asked.get("migrations") or ()}

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


def _after_mark(entries: Any) -> list[trace.Entry]:
    listed = list(entries)
    at = next((at for at, entry in enumerate(listed) if entry.kind == "mark"), len(listed))
    return listed[at + 1 :]


def _has(entry: trace.Entry, revision: str) -> bool:
    return any(segments.version(row) == revision for row in entry.objects)
