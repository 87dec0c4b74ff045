"""Guards the database's schema: can the release to roll back to live with the database as it is, or as it will be?

A rollback never downgrades a database. So the image to roll back to is asked whether it knows the database's revision.
Migrations that it does not know have to be `expand`, which older code can live with by definition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cicd_actions.engines.protocol import Engine, Image, Job, Running
from cicd_actions.github.history import Release, phases
from cicd_actions.github.release_record import Record, Revision, Task
from cicd_actions.rollback_to_previous_sha import alembic
from cicd_actions.rollback_to_previous_sha.inputs import CheckInputs
from cicd_actions.rollback_to_previous_sha.plan import Facts, Left
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import ActionError, Failed
from cicd_actions.toolkit.printable import shortened, visible
from cicd_actions.toolkit.runtime import Runtime

ONE_JOB = 90.0
"""Seconds that one question to an image may take, the start of its container included."""

_MOST_LINES = 100_000


class SchemaRefused(Failed):
    """A migration is newer than the code to roll back to, and that code cannot live with it."""

    title = "Refused by the schema guard"


class NotAsked(Exception):
    """An image gave no usable answer; the text says why."""


@dataclass(frozen=True)
class Schema:
    """The answer. `stays` are the migrations that the code to roll back to does not know, oldest first; `said` tells how it is
    known; `unverified` says what could not be found out. `database` are the database's revisions."""

    said: str
    stays: tuple[Revision, ...] = ()
    unverified: str = ""
    database: tuple[str, ...] = ()


@dataclass(frozen=True)
class Question:
    """What is asked. `images` are those to roll back to, `now` is what `schema-service` runs.

    With `pending`, `now` is what it is about to run, and the database is taken as it will be after that image's migrations.
    """

    facts: Facts
    left: Left
    release: Release
    images: Mapping[str, Image]
    now: Running | None
    pending: bool = False


@dataclass
class Guard:
    """Answers one question about one database."""

    inputs: CheckInputs
    asked: Question
    engine: Engine
    deadline: Deadline
    runtime: Runtime
    release: Mapping[str, str] = field(default_factory=dict, repr=False)
    _told: dict[tuple[str, ...], list[str]] = field(default_factory=dict, init=False, repr=False)

    @property
    def to(self) -> Record:
        """The record of the release to roll back to that brought the migrations."""
        return self.asked.release.sources.get(self.inputs.schema_service, self.asked.release.record)

    def answer(self) -> Schema:
        """Returns what is known. Raises `SchemaRefused` for a contract migration that the target does not know."""
        if not self.inputs.schema_service:
            return self._by_records_alone()
        database: tuple[str, ...] = ()
        try:
            database = self._heads() if self.asked.pending else self.asked.facts.history.database() or self._ask_database()
            return self._judge(database)
        except NotAsked as why:
            said = f"whether {self.to.sha[:12]} can live with the database ({why})"
            return Schema(said="not known", stays=self._recorded(), unverified=said, database=database)

    def _by_records_alone(self) -> Schema:
        newer = self._recorded()
        self._refuse_contract(newer)
        said = "not asked, because `schema-service` names no service with migrations"
        return Schema(
            f"{said}; newer by the records: {', '.join(each.revision for each in newer)}" if newer else said,
            newer,
            "",
            self.asked.facts.history.database(),
        )

    def _judge(self, database: tuple[str, ...]) -> Schema:
        at = ", ".join(database) or "no revision"
        if set(database) <= set(self.to.schema):
            return Schema(f"at {at}, where {self.to.sha[:12]} had left it", database=database)
        unknown = [revision for revision in database if not self._target_knows(revision)]
        if not unknown:
            return Schema(f"at {at}, which {self.to.sha[:12]} knows", database=database)
        newer = self._newer(database)
        self._refuse_contract(newer)
        unsaid = [each.revision for each in newer if each.phase != "expand"]
        if unsaid:
            raise NotAsked(f"nothing says whether {', '.join(unsaid)} is an expand or a contract migration")
        said = (
            f"at {at}, which {self.to.sha[:12]} does not know; everything newer is `expand`, made for older code to live with"
        )
        return Schema(said, tuple(newer), database=database)

    def _recorded(self) -> tuple[Revision, ...]:
        found = {each.revision: each for record in self.asked.facts.history.since(self.to) for each in record.revisions}
        return tuple(found.values())

    def _newer(self, database: tuple[str, ...]) -> list[Revision]:
        """Returns what the target does not know, oldest first, with the phases that records or the current image tell."""
        recorded = self._recorded()
        if self._records_are_whole(database, recorded):
            return list(recorded)
        service = self.inputs.schema_service
        known = alembic.history(self._said(self.asked.images[service], self.to.sha, "history", "--verbose"))
        current = alembic.history(self._said(self._current_image(), self._current_sha, "history", "--verbose"))
        newer = alembic.newer(database, current, known)
        if newer is None:
            raise NotAsked(
                "the image that runs now does not know the database's revision either, and the records do not name it"
            )
        told = phases(self.asked.facts.history.records)
        unsaid = [each.path for each in newer if each.revision not in told and each.path]
        in_modules = self._phases_in(unsaid) if unsaid else {}
        return [
            Revision(each.revision, told.get(each.revision) or in_modules.get(each.path, ""), each.message) for each in newer
        ]

    def _records_are_whole(self, database: tuple[str, ...], recorded: Sequence[Revision]) -> bool:
        """Tells whether the records name every migration since the target: each deploy has its verdict, and nothing was cut."""
        since = self.asked.facts.history.since(self.to)
        ended = {record.deployment for record in since}
        begun = [record for record in self.asked.facts.history.records if record.task is Task.DEPLOY and record.id > self.to.id]
        return (
            bool(self.to.schema)
            and all(record.id in ended for record in begun)
            and not any(record.revisions_dropped for record in since)
            and all(each.phase for each in recorded)
            and set(database) <= {each.revision for each in recorded} | set(self.to.schema)
        )

    def _refuse_contract(self, newer: Sequence[Revision]) -> None:
        contract = [each for each in newer if each.phase == "contract"]
        if not contract:
            return
        safe = self._newest_safe({each.revision for each in contract})
        names = ", ".join(f"{each.revision}{f' ({each.message})' if each.message else ''}" for each in contract)
        fix = (
            f"The newest release that is safe to roll back to:\n\n    with:\n      to-sha: {safe.sha}"
            if safe
            else "No recorded release is safe to roll back to. Deploy a commit that fixes the problem."
        )
        raise SchemaRefused(
            f"{self.to.sha[:12]} cannot live with the database as it {'will be' if self.asked.pending else 'is'}:"
            f" {names} is a contract migration that came after it.",
            cause="A contract migration removes something that older code uses, and no rollback brings data back.",
            fix=fix,
        )

    def _newest_safe(self, contract: set[str]) -> Release | None:
        """Returns the newest good release from the floor on: the deploy that brought the last of the contract migrations."""
        brought = {
            each.revision: record.id
            for record in self.asked.facts.history.outcomes
            for each in record.revisions
            if each.revision in contract
        }
        if set(brought) != contract:
            return None
        floor = max(brought.values())
        for release in self.asked.facts.history.good(self.asked.facts.services):
            if release.record.id >= floor and not self.asked.left.is_of(release):
                return release
        return None

    # Questions to images

    def _ask_database(self) -> tuple[str, ...]:
        """Returns the database's revisions, asked with the image that runs now."""
        lines, code = self._job(self._current_image(), self._current_sha, (*self.inputs.schema_command, "current"))
        ahead = alembic.lost(text for _, text in lines)
        if ahead:
            return (ahead,)
        if code != 0:
            raise NotAsked(f"`alembic current` in the image that runs now ended with {code}: {_last(lines)}")
        return alembic.current(text for stream, text in lines if stream == "stdout")

    def _heads(self) -> tuple[str, ...]:
        """Returns the revisions that the image to be deployed leads to."""
        known = alembic.history(self._said(self._current_image(), self._current_sha, "history", "--verbose"))
        parents = {parent for each in known.values() for parent in each.parents}
        return tuple(revision for revision in known if revision not in parents)

    def _target_knows(self, revision: str) -> bool:
        image = self.asked.images[self.inputs.schema_service]
        lines, code = self._job(image, self.to.sha, (*self.inputs.schema_command, "show", revision))
        if code == 0:
            return alembic.shows((text for _, text in lines), revision)
        if alembic.lost(text for _, text in lines):
            return False
        raise NotAsked(f"`alembic show` in the image of {self.to.sha[:12]} ended with {code}: {_last(lines)}")

    def _phases_in(self, paths: Sequence[str]) -> dict[str, str]:
        words = ("grep", "-H", "-E", "^deploy_phase[[:space:]]*[:=]", "--", *paths)
        lines, code = self._job(self._current_image(), self._current_sha, words)
        if code not in {0, 1}:  # 1: no module says anything
            raise NotAsked(f"the migrations' modules could not be read: {_last(lines)}")
        return alembic.deploy_phases((text for stream, text in lines if stream == "stdout"), paths)

    def _said(self, image: Image, sha: str, *words: str) -> list[str]:
        key = (image.pinned, *words)
        if key not in self._told:
            lines, code = self._job(image, sha, (*self.inputs.schema_command, *words))
            if code != 0:
                raise NotAsked(f"`alembic {words[0]}` ended with {code}: {_last(lines)}")
            self._told[key] = [text for stream, text in lines if stream == "stdout"]
        return self._told[key]

    @property
    def _current_sha(self) -> str:
        return self.asked.now.sha if self.asked.now else ""

    def _current_image(self) -> Image:
        if self.asked.now is None or not self.asked.now.image:
            raise NotAsked(f"the engine cannot tell which image {self.inputs.schema_service} runs")
        try:
            return self.engine.resolve(self.asked.now.image, self.deadline)
        except ActionError as error:
            raise NotAsked(f"the image that runs now cannot be used: {error.what}") from None

    def _job(self, image: Image, sha: str, command: tuple[str, ...]) -> tuple[list[tuple[str, str]], int | None]:
        lines: list[tuple[str, str]] = []

        def keep(stream: str, text: str) -> None:
            if len(lines) < _MOST_LINES:
                lines.append((stream, text))

        service = self.inputs.schema_service
        job = Job(
            name="schema-guard",
            image=image,
            command=command,
            environment={
                **self.release,
                **{name: self.runtime.environment.secret(name, input="schema-env") for name in self.inputs.schema_env},
            },
            like=service,
            networks=self.inputs.schema_networks,
            working_directory=self.inputs.schema_working_directory,
            service=service,
            sha=sha,
        )
        self.runtime.log(f"Asking {image.name or service}: {' '.join(command[:4])}")
        try:
            end = self.engine.job(job, Deadline(self.deadline.timeout(ONE_JOB), self.runtime.clock), keep)
        except ActionError as error:
            raise NotAsked(error.what) from None
        if end.timed_out or end.exit_code is None:
            raise NotAsked(f"the job did not end: {end.detail or f'{end.seconds:.0f} s were not enough'}")
        return lines, end.exit_code


def _last(lines: Sequence[tuple[str, str]]) -> str:
    said = [text for _, text in lines if text.strip()][-3:]
    return shortened(visible(" / ".join(said)), 300) or "it printed nothing"
