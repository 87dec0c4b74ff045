"""Runs a one-shot job of the release's image, and hears what it says."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from urllib.parse import unquote, urlsplit

from cicd_actions.engines.protocol import Engine, Image, Job, JobEnd, ServiceMissing
from cicd_actions.run_migrations_oneshot import program, proven
from cicd_actions.run_migrations_oneshot.command_line import MigrationCommand
from cicd_actions.run_migrations_oneshot.inputs import Inputs
from cicd_actions.run_migrations_oneshot.journal import Journal
from cicd_actions.run_migrations_oneshot.log_lines import log_line
from cicd_actions.run_migrations_oneshot.progress import Progress, event_in
from cicd_actions.toolkit.errors import Cancelled
from cicd_actions.toolkit.runtime import Runtime

STARTING = 600.0
"""Seconds for what comes before the program: the image is pulled, a node is found."""

GRACE = 4.5
"""Seconds that the program has to end the statement in the database and to read where it stands (it takes 4 at most, and a
fifth of one where the database answers). With the job's removal that is five: GitHub's runner gives a cancelled step 7.5 s
after SIGINT and 2.5 s more after SIGTERM."""


MOST_ANSWER = 10_000
"""Lines of a tool's answer that are kept."""


@dataclass
class Ran:
    """How a job ended (`None`: cancelled) and what it said."""

    progress: Progress
    end: JobEnd | None = None


class Jobs:
    """The jobs of one run of the action: the same image, environment and journal."""

    def __init__(self, inputs: Inputs, runtime: Runtime, engine: Engine, image: Image, journal: Journal) -> None:
        self._inputs = inputs
        self._runtime = runtime
        self._engine = engine
        self._journal = journal
        self._job = Job(
            name="migrate",
            image=image,
            environment=variables(inputs, runtime),
            like=inputs.service,
            networks=inputs.network,
            working_directory=inputs.working_directory,
            service=inputs.service,
            sha=inputs.sha,
            grace=GRACE,
        )
        self.last = Ran(Progress())

    def alembic(self, command: MigrationCommand, *, mode: str, contract: bool) -> Ran:
        """Run the program in the image. The result is also `last` while it runs, and when `Cancelled` passes through."""
        inputs = self._inputs
        nonce = secrets.token_hex(8)
        run_id = self._runtime.variables.get("GITHUB_RUN_ID", "")
        parts = ["run-migrations-oneshot", inputs.sha[:12], f"run {run_id}" if run_id else ""]
        options = program.Options(
            nonce=nonce,
            mode=mode,
            application_name=" ".join(part for part in parts if part)[:63],
            timeout=inputs.timeout,
            lock_timeout=round(inputs.lock_timeout * 1000),
            statement_timeout=round(inputs.statement_timeout * 1000),
            wait_for_lock=inputs.wait_for_lock,
            wait_for_database=inputs.wait_for_database,
            lock_retries=inputs.lock_retries,
            sql=inputs.sql,
            single_head=inputs.expect_single_head,
            contract=contract,
            proven=proven.load(inputs.proven_phases) if inputs.proven_phases else {},
            script=command.script,
            module=command.module,
            tool=command.tool,
            url_variable=inputs.database_url_env,
        )
        self.last = Ran(Progress())
        listener = _Listener(self.last.progress, self._journal, f"cicd-actions:{nonce} ")
        limit = STARTING + inputs.wait_for_database + inputs.wait_for_lock + inputs.timeout + 2 * GRACE
        job = replace(self._job, command=tuple(program.words(command, options)))
        try:
            self.last.end = self._run(job, limit, listener.line)
        except Cancelled:
            # The engine has ended the job; its last words may still be on the way from the reading thread.
            listener.ended.wait(1.0)
            raise
        listener.ended.wait(1.0 if self.last.end.exit_code is not None else 0.0)
        return self.last

    def other(self, words: tuple[str, ...]) -> tuple[JobEnd, str]:
        """Runs a command as it is. Returns how it ended, and what it printed on both streams."""
        # A program that ignores SIGTERM, as most do that are process 1, would outlive a short timeout by all of `GRACE`.
        grace = min(GRACE, self._inputs.timeout / 5)
        return self._heard(replace(self._job, command=words, grace=grace), self._inputs.timeout)

    def answer(self, words: tuple[str, ...]) -> str:
        """Runs a command that only reports, and returns what it printed on both streams."""
        self._journal.line(f"Asking: {' '.join(words)}", own=True)
        return self._heard(replace(self._job, command=words), STARTING)[1]

    def _heard(self, job: Job, limit: float) -> tuple[JobEnd, str]:
        lines: list[str] = []

        def line(_stream: str, text: str) -> None:
            self._journal.line(text)
            if len(lines) < MOST_ANSWER:
                lines.append(text)

        end = self._run(job, limit, line)
        return end, "\n".join(lines)

    def _run(self, job: Job, limit: float, line: Callable[[str, str], None]) -> JobEnd:
        try:
            return self._engine.job(job, self._runtime.deadline(limit), line)
        except ServiceMissing:
            self._journal.line(
                f"There is no service {job.like} yet: the job gets only what `env`, `env-file-variable` and `network` name.",
                own=True,
            )
            return self._engine.job(replace(job, like=""), self._runtime.deadline(limit), line)


class _Listener:
    """Called from the engine's reading threads."""

    def __init__(self, progress: Progress, journal: Journal, prefix: str) -> None:
        self._progress = progress
        self._journal = journal
        self._prefix = prefix
        self._lock = threading.Lock()
        self.ended = threading.Event()

    def line(self, _stream: str, line: str) -> None:
        ordinary, event = event_in(line, self._prefix)
        if ordinary or event is None:
            self._journal.line(ordinary)
        if event is None:
            return
        with self._lock:
            self._progress.take(event)
            told = log_line(event, self._progress)
        if told:
            self._journal.line(told, own=True)
        if self._progress.state:
            self.ended.set()


def variables(inputs: Inputs, runtime: Runtime) -> dict[str, str]:
    """What is passed on to the job; all of it is masked. Raises `UnusableInput` for a name that has no value here."""
    found: dict[str, str] = {}
    if inputs.env_file_variable:
        found |= runtime.environment.file(inputs.env_file_variable, input="env-file-variable")
    if runtime.variables.get(inputs.database_url_env):
        found[inputs.database_url_env] = runtime.environment.secret(inputs.database_url_env, input="database-url-env")
    for name in inputs.env:
        found[name] = runtime.environment.secret(name, input="env")
    # Drivers and servers quote a URL's parts, so the password is a separate secret. (Where the job takes the URL over from
    # the service, it is not known here; the program hides the password in its own words.)
    for password in _passwords(found.get(inputs.database_url_env, "")):
        runtime.redactor.add(password)
    return found


def _passwords(url: str) -> set[str]:
    try:
        password = urlsplit(url).password
    except ValueError:
        return set()
    return {password, unquote(password)} if password else set()
