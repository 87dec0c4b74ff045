"""One run of a folder of SQL files against PostgreSQL: each file once, by name, in a separate transaction."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
import re
import time
from typing import Any, Callable

from cicd_actions.run_migrations_oneshot.in_image import problems, session
from cicd_actions.run_migrations_oneshot.in_image.aside import Aside
from cicd_actions.run_migrations_oneshot.in_image.channel import Channel
from cicd_actions.run_migrations_oneshot.in_image.run import LOCK_REFUSED, Run, Stop, listed, wait_for_lock
from cicd_actions.run_migrations_oneshot.in_image.touched import tables_in_sql

TABLE = "cicd_sql_migrations"
"""Where this runner keeps what was applied: name, SHA-256 of the file, when, seconds."""

_PHASE = re.compile(r"^--\s*deploy_phase:\s*(\S+)", re.MULTILINE)
_NO_TRANSACTION = re.compile(r"^--\s*transaction:\s*none\s*$", re.MULTILINE)


class File:
    """One file. `phase` is empty where the file does not declare one."""

    def __init__(self, folder: str, name: str) -> None:
        self.path = os.path.join(folder, name)
        self.name = name[: -len(".sql")]
        self.text = _read(self.path)
        self.checksum = hashlib.sha256(self.text.encode()).hexdigest()
        declared = _PHASE.search(self.text)
        self.phase = declared[1] if declared else ""
        self.transaction = _NO_TRANSACTION.search(self.text) is None

    def about(self) -> dict[str, str]:
        """Returns the file as it is reported."""
        first = next((line[2:].strip() for line in self.text.splitlines() if line.startswith("--")), "")
        message = "" if first.startswith(("deploy_phase:", "transaction:")) else first
        return {"revision": self.name, "message": message, "phase": self.phase, "file": problems.relative(self.path)}


def _read(path: str) -> str:
    """Returns the text of a file, without the mark that some editors write first. Raises `Stop` where it is not UTF-8."""
    with open(path, "rb") as file:
        data = file.read()
    try:
        path.encode("utf-8")
        return data.decode("utf-8-sig")
    except UnicodeError as error:
        line = data.count(b"\n", 0, error.start) + 1 if isinstance(error, UnicodeDecodeError) else 1
        what = "the file" if isinstance(error, UnicodeDecodeError) else "the name"
        place = {"file": problems.relative(path), "line": line}
        problem = {"type": type(error).__name__, "text": f"{what} is not UTF-8", **place}
        raise Stop("syntax", state="failed", problem=problem) from None


class SqlFolder(Run):
    """`sql FOLDER`."""

    def __init__(self, options: dict[str, Any], arguments: list[str], channel: Channel) -> None:
        super().__init__(options, arguments, channel)
        self._dbapi: Any = None
        self._files: list[File] = []
        self._before: list[str] = []
        self._known = False
        self._done: list[str] = []
        self._step: File | None = None
        self._pids: list[int] = []
        self._invalid: list[str] = []

    def work(self) -> str:
        """Reads the folder and the database, and applies what is pending."""
        driver = _driver()
        self.hello(driver=f"{driver.__name__} {getattr(driver, '__version__', '')}".strip())
        folder = self._arguments[0]
        names = sorted(name for name in os.listdir(folder) if name.endswith(".sql") and not name.endswith(".down.sql"))
        names = [name for name in names if not os.path.isdir(os.path.join(folder, name))]
        self._files = [File(folder, name) for name in names]
        self._dbapi = self.waiting_for_database(self._connect, lambda: False, lambda _error: True)
        self._prepare()
        self._before = self._applied_now(self._dbapi)
        self._known = True
        pending = self._pending(self._dbapi)
        self._channel.say(
            "preflight",
            dialect="postgresql",
            driver=driver.__name__,
            server=session.version_of(self._dbapi),
            at=self._before[-1:],
            heads=[self._files[-1].name] if self._files else [],
            invalid=self._invalid,
        )
        for file in pending:
            self._channel.say("pending", **self.judged(file.about()))
        self._judge(pending)
        if not pending:
            return "up-to-date"
        self.say_health(sorted({table for file in pending for table in tables_in_sql(file.text)}))
        if self._options["mode"] != "apply":
            return "planned"
        self._apply()
        self._prove(pending)
        return "applied" if self._done else "up-to-date"

    def _connect(self) -> Any:
        url = re.sub(r"^(postgres(?:ql)?)\+\w+://", r"\1://", os.environ.get(self._options["url_variable"], ""))
        # The files are UTF-8, also where the database's encoding, which the session would take over, is SQL_ASCII.
        connection = _driver().connect(url, client_encoding="utf8")
        connection.autocommit = True
        return connection

    def _prepare(self) -> None:
        dbapi = self._dbapi
        pid, wire = session.backend_of(dbapi), session.wire_pid(dbapi)
        if wire is not None and wire != pid:
            raise Stop("pooler", host="", port="")
        self._pids = [pid]
        if session.in_recovery(dbapi):
            raise Stop("replica")
        if session.is_read_only(dbapi):
            raise Stop("read-only")
        session.configure(dbapi, self._settings, session.version_of(dbapi))
        self._invalid = session.invalid_indexes(dbapi)

    def _rows(self, dbapi: Any) -> list[tuple[Any, ...]]:
        if session.ask(dbapi, f"SELECT to_regclass('{TABLE}')")[0][0] is None:
            return []
        return session.ask(dbapi, f"SELECT name, checksum FROM {TABLE} ORDER BY name")

    def _applied_now(self, dbapi: Any) -> list[str]:
        return [str(name) for name, _ in self._rows(dbapi)]

    def _pending(self, dbapi: Any) -> list[File]:
        applied = dict(self._rows(dbapi))
        known = {file.name: file for file in self._files}
        unknown = sorted(set(applied) - set(known))
        if unknown:
            raise Stop("ahead", unknown=unknown)
        changed = [file.name for file in self._files if applied.get(file.name, file.checksum) != file.checksum]
        if changed:
            raise Stop("changed", files=[known[name].about()["file"] for name in changed[:20]])
        return [file for file in self._files if file.name not in applied]

    def _judge(self, pending: list[File]) -> None:
        strange = [file.about() for file in pending if file.phase not in {"", "expand", "contract"}]
        if strange:
            raise Stop("phase", revisions=strange[:20])
        contract = [file.name for file in pending if self.judged(file.about())["phase"] == "contract"]
        if contract and not self._options["contract"]:
            raise Stop("contract", revisions=contract[:100])

    def _apply(self) -> None:
        wait_for_lock(self._dbapi, self._channel, self._options["wait_for_lock"], lambda: self._pids)
        self._channel.say("lock", pid=self._pids[0])
        self.count_time()
        self.watch(lambda work: Aside(lambda: self._on_fresh(work)))
        session.tell(
            self._dbapi,
            f"CREATE TABLE IF NOT EXISTS {TABLE} (name text PRIMARY KEY, checksum text NOT NULL,"
            " applied_at timestamptz NOT NULL DEFAULT now(), seconds double precision NOT NULL)",
        )
        pending = self._pending(self._dbapi)
        if self._applied_now(self._dbapi) != self._before:
            self._channel.say("moved", at=self._applied_now(self._dbapi)[-1:], left=len(pending))
        self._judge(pending)
        for file in pending:
            attempt = 0
            while not self._one(file, attempt):
                attempt += 1

    def _one(self, file: File, attempt: int) -> bool:
        """Applies one file. Returns false where it is to be tried again."""
        session.configure(self._dbapi, self._settings, session.version_of(self._dbapi))
        self._step = file
        self._channel.say("start", revision=file.name)
        started = time.monotonic()
        values = f"'{file.name.replace(chr(39), chr(39) * 2)}', '{file.checksum}'"
        record = f"INSERT INTO {TABLE} (name, checksum, seconds) VALUES ({values}, "
        try:
            if file.transaction:
                session.tell(self._dbapi, "BEGIN")
            session.tell(self._dbapi, file.text)
            session.tell(self._dbapi, f"{record}{time.monotonic() - started:.3f})")
            if file.transaction:
                session.tell(self._dbapi, "COMMIT")
        except Exception as error:
            if file.transaction:
                with contextlib.suppress(Exception):
                    session.tell(self._dbapi, "ROLLBACK")
            locked = problems.sqlstate(error) in LOCK_REFUSED
            if attempt >= int(self._options["lock_retries"]) or not locked or not file.transaction:
                raise
            pause = self.pause_before_retry(attempt)
            said = problems.words(error)
            self._channel.say("retry", revision=file.name, seconds=pause, problem=said, kept=list(self._done))
            time.sleep(pause)
            return False
        self._step = None
        self._done.append(file.name)
        self._channel.say("done", revision=file.name, seconds=round(time.monotonic() - started, 3))
        return True

    def _prove(self, pending: list[File]) -> None:
        has = set(self.fresh(self._applied_now, 10.0))
        left = [file.name for file in pending if file.name not in has]
        if left:
            raise Stop("unproven", state="failed", left=left[:100])
        with contextlib.suppress(Exception):
            self.fresh(self.say_load, 10.0)

    # The end

    def about(self, error: BaseException) -> dict[str, Any]:
        """Returns the rule and the problem of an error."""
        if self._step is None:
            return {"rule": problems.rule_before_the_first(error), "problem": problems.described(error, [])}
        found = problems.described(error, [])
        found["file"] = problems.relative(self._step.path)
        position = getattr(getattr(error, "diag", None), "statement_position", None)
        if position:
            found["line"] = self._step.text[: int(position)].count("\n") + 1
        return {"rule": "migration", "problem": found}

    def step(self) -> Any:
        """Returns the file that runs, `None` between two."""
        return self._step

    def went_on_with(self, step: Any) -> None:
        """The file that ran when the end began."""
        self._step = step

    def pids(self) -> list[int]:
        """Returns the database's process that serves this run."""
        return self._pids

    def fresh(self, work: Callable[[Any], Any], seconds: float) -> Any:
        """Returns `work(dbapi)` on a fresh connection."""
        return Aside(lambda: self._on_fresh(work)).result(seconds)

    def _on_fresh(self, work: Callable[[Any], Any]) -> Any:
        connection = self._connect()
        try:
            return work(connection)
        finally:
            connection.close()

    def read_now(self, fields: dict[str, Any], seconds: float) -> None:
        """Adds where the database is now, and what stayed of the files."""
        if self._step is not None:
            fields["step"], fields["partial"] = self._step.name, not self._step.transaction
        if not self._known:
            return
        try:
            now = self.fresh(self._applied_now, seconds)
            fields["at"] = now[-1:]
            for piece in listed([name for name in self._done if name in set(now)]):
                self._channel.say("applied", revisions=piece)
            left = self.fresh(session.invalid_indexes, seconds)
            fields["invalid"] = [name for name in left if name not in self._invalid][:20]
        except Exception as error:  # the database may be what failed
            fields["unread"] = problems.words(error)


def _driver() -> Any:
    """Returns the driver that the image has. Raises `ImportError`."""
    try:
        return importlib.import_module("psycopg")
    except ImportError:
        return importlib.import_module("psycopg2")


def main(options: dict[str, Any], arguments: list[str], channel: Channel) -> None:
    """Called by `interpreter.start`."""
    SqlFolder(options, arguments, channel).main()
