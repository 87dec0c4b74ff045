"""The schema guard on images in memory, which answer as Alembic does: what it asks, what it refuses, what it cannot know."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import pytest

from cicd_actions.engines.protocol import Engine, EngineUnreachable, Image, ImageMissing, Job, JobEnd, Running
from cicd_actions.github.history import History, Release
from cicd_actions.github.release_record import Record, Revision, Task
from cicd_actions.rollback_to_previous_sha import schema_guard
from cicd_actions.rollback_to_previous_sha.inputs import CheckInputs
from cicd_actions.rollback_to_previous_sha.plan import Facts, Left
from cicd_actions.rollback_to_previous_sha.schema_guard import ONE_JOB, Guard, Question, Schema, SchemaRefused
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import ActionError
from cicd_actions.toolkit.inputs import load
from cicd_actions.toolkit.lines import Line
from cicd_actions.toolkit.runtime import Runtime

Migrations = dict[str, str]
"""By revision, oldest first: the line `deploy_phase = …` of its module, or nothing."""


def sha(number: int) -> str:
    return f"{number:x}".ljust(40, "0")


@dataclass
class Images:
    """An engine whose images hold migrations, by the image's name. `database` is where the database is."""

    images: dict[str, Migrations]
    database: tuple[str, ...] = ()
    ends: dict[str, JobEnd] = field(default_factory=dict)
    """How the job with this subcommand ends instead."""
    jobs: list[Job] = field(default_factory=list)
    limits: list[float] = field(default_factory=list)
    missing: bool = False

    def resolve(self, image: str, deadline: Deadline) -> Image:
        assert deadline.remaining > 0
        if self.missing:
            raise ImageMissing(f"The image {image} does not exist.")
        return Image(image)

    def job(self, job: Job, deadline: Deadline, line: Line) -> JobEnd:
        self.jobs.append(job)
        self.limits.append(deadline.remaining)
        known = self.images[job.image.name]
        word = job.command[0] if job.command[0] == "grep" else job.command[1]
        if word in self.ends:
            line("stderr", "Traceback:")
            line("stderr", "no such host\x1b[31m")
            return self.ends[word]
        if word == "grep":
            for revision, said in known.items():
                if said and f"/app/{revision}.py" in job.command:
                    line("stdout", f"/app/{revision}.py:{said}")
            return JobEnd(0, 1)
        if word == "current":
            for revision in self.database:
                if revision not in known:
                    line("stdout", f"FAILED: Can't locate revision identified by '{revision}'")
                    return JobEnd(255, 1)
                line("stdout", revision)
            return JobEnd(0, 1)
        if word == "show":
            if job.command[2] not in known:
                line("stderr", f"Can't locate revision identified by '{job.command[2]}'")
                return JobEnd(255, 1)
            line("stdout", f"Rev: {job.command[2]}")
            return JobEnd(0, 1)
        names = list(known)
        line("stderr", "Rev: 9999")
        for at in reversed(range(len(names))):
            line("stdout", f"Rev: {names[at]}{' (head)' if at == len(names) - 1 else ''}")
            line("stdout", f"Parent: {names[at - 1] if at else '<base>'}")
            line("stdout", f"Path: /app/{names[at]}.py")
            line("stdout", f"    add {names[at]}")
        return JobEnd(0, 1)


def record(at: int, task: Task = Task.PASSED, *, schema: Sequence[str] = (), **more: object) -> Record:
    verdict = {Task.PASSED: "pass", Task.QUARANTINED: "fail", Task.DEPLOY: ""}[task]
    fields = {"verdict": verdict, "id": at, "schema": tuple(schema), **more}
    return Record(task, "app", "staging", sha(at), {"api": f"sha256:{at:064x}"}, **fields)  # type: ignore[arg-type]


@dataclass
class Case:
    """One rollback from release 2 to release 1, and what its guard says."""

    engine: Images
    records: list[Record]
    now: Running | None = field(default_factory=lambda: Running("api", "new", sha=sha(2)))
    given: dict[str, str] = field(default_factory=lambda: {"schema-service": "api"})
    pending: bool = False
    variables: dict[str, str] = field(default_factory=dict)
    log: io.StringIO = field(default_factory=io.StringIO)

    def answer(self) -> Schema:
        runtime = Runtime(self.variables, self.log, clock=lambda: 5.0)
        to = self.records[0]
        facts = Facts("staging", {"api": Running("api")}, History.of(self.records))
        left = Left(sha(2))
        question = Question(facts, left, Release(to, {"api": to}), {"api": Image("old")}, self.now, self.pending)
        inputs = load(CheckInputs, self.given, runtime.redactor)
        return Guard(inputs, question, cast("Engine", self.engine), Deadline(600, runtime.clock), runtime, {"A": "1"}).answer()


EXPAND = 'deploy_phase = "expand"'
CONTRACT = 'deploy_phase = "contract"'
OLD: Migrations = {"0001": ""}


def images(newest: str = EXPAND, *, database: tuple[str, ...] = ("0002",)) -> Images:
    return Images({"old": OLD, "new": {"0001": "", "0002": newest}}, database)


def judged(*, phase: str = "", schema: Sequence[str] = ("0001",), **more: object) -> list[Record]:
    """Release 1, and the deploy of release 2, which failed and brought 0002."""
    brought = (Revision("0002", phase, "add a column"),)
    return [record(1, schema=schema), record(3, Task.QUARANTINED, revisions=brought, schema=("0002",), **more)]


def words(case: Case) -> list[str]:
    return [" ".join(job.command) for job in case.engine.jobs]


def test_guard_database_where_the_target_left_it_asks_no_image() -> None:
    case = Case(images(), [record(1, schema=("0002",))])
    assert case.answer() == Schema("at 0002, where 100000000000 had left it", database=("0002",))
    assert case.engine.jobs == []


def test_guard_revision_that_the_target_knows_passes() -> None:
    case = Case(Images({"old": {"0001": "", "0002": ""}, "new": {"0001": "", "0002": ""}}, ("0002",)), [record(1)])
    assert case.answer() == Schema("at 0002, which 100000000000 knows", database=("0002",))
    assert words(case) == ["alembic current", "alembic show 0002"]
    assert [job.sha for job in case.engine.jobs] == [sha(2), sha(1)]


def test_guard_several_heads_are_each_asked_for() -> None:
    case = Case(Images({"old": OLD, "new": {"0001": "", "0002": EXPAND}}, ("0001", "0002")), [record(1)])
    assert case.answer().said.startswith("at 0001, 0002, which 100000000000 does not know")
    assert words(case)[1:3] == ["alembic show 0001", "alembic show 0002"]


def test_guard_database_without_a_revision_passes() -> None:
    assert Case(images(database=()), [record(1)]).answer().said == "at no revision, where 100000000000 had left it"


@pytest.mark.parametrize(
    ("module", "recorded", "asked"),
    [
        # The records alone name it; and, where they do not know its phase, the module of the image that runs now.
        ("", "expand", ["alembic show 0002"]),
        (
            EXPAND,
            "",
            [
                "alembic show 0002", "alembic history --verbose", "alembic history --verbose",
                "grep -H -E ^deploy_phase[[:space:]]*[:=] -- /app/0002.py",
            ],
        ),
    ],
)  # fmt: skip
def test_guard_newer_expand_migration_stays(module: str, recorded: str, asked: list[str]) -> None:
    case = Case(images(module), judged(phase=recorded))
    found = case.answer()
    assert [(each.revision, each.phase) for each in found.stays] == [("0002", "expand")]
    assert found.stays[0].message == ("add a column" if len(asked) == 1 else "add 0002")
    assert (found.unverified, found.database) == ("", ("0002",))
    assert found.said == (
        "at 0002, which 100000000000 does not know; everything newer is `expand`, made for older code to live with"
    )
    assert words(case) == asked
    assert [job.sha for job in case.engine.jobs] == [sha(1), sha(1), sha(2), sha(2)][: len(asked)]


def test_guard_newer_contract_migration_is_refused_by_records_and_by_modules() -> None:
    for case, message in (
        (Case(images(), judged(phase="contract")), "add a column"),
        (Case(images(CONTRACT), judged()), "add 0002"),
    ):
        with pytest.raises(SchemaRefused) as refused:
            case.answer()
        assert refused.value.what == (
            f"100000000000 cannot live with the database as it is: 0002 ({message}) is a contract migration that came after it."
        )
        assert refused.value.cause == (
            "A contract migration removes something that older code uses, and no rollback brings data back."
        )
        assert refused.value.fix == "No recorded release is safe to roll back to. Deploy a commit that fixes the problem."


def test_guard_refusal_names_the_newest_release_from_the_floor_on() -> None:
    contract = (Revision("0002", "contract"),)
    records = [
        record(1, schema=("0001",)),
        record(3, revisions=contract, schema=("0002",)),
        record(4, schema=("0002",)),
        record(5, Task.QUARANTINED, schema=("0002",)),
    ]
    with pytest.raises(SchemaRefused, match="0002 is a contract migration") as refused:
        Case(images(), records).answer()
    assert refused.value.fix == f"The newest release that is safe to roll back to:\n\n    with:\n      to-sha: {sha(4)}"
    # The deploy that brought the migration is safe itself.
    with pytest.raises(SchemaRefused) as refused:
        Case(images(), records[:2]).answer()
    assert f"to-sha: {sha(3)}" in refused.value.fix
    # The release to leave is none to roll back to, and neither is one from before the floor.
    for kept in (
        [records[0], record(2, revisions=contract, schema=("0002",))],
        [records[0], record(3, Task.QUARANTINED, revisions=contract, schema=("0002",))],
    ):
        with pytest.raises(SchemaRefused, match="cannot live") as refused:
            Case(images(), kept).answer()
        assert "No recorded release is safe" in refused.value.fix


def test_guard_pending_contract_migration_is_refused_as_it_will_be() -> None:
    case = Case(images(CONTRACT, database=("0001",)), [record(1)], pending=True)
    with pytest.raises(SchemaRefused, match="cannot live with the database as it will be: 0002"):
        case.answer()
    assert (words(case)[0], case.engine.jobs[0].sha) == ("alembic history --verbose", sha(2))
    assert "alembic current" not in words(case)
    assert Case(images(database=("0001",)), [record(1)], pending=True).answer().database == ("0002",)


@pytest.mark.parametrize(
    "records",
    [
        judged(phase="expand", schema=()),
        judged(phase="expand", revisions_dropped=1),
        [*judged(phase="expand"), record(4, Task.DEPLOY, schema=("0002",))],
    ],
)
def test_guard_records_with_a_gap_are_not_enough(records: list[Record]) -> None:
    case = Case(images(), records)
    assert case.answer().stays == (Revision("0002", "expand", "add 0002"),)
    assert "alembic history --verbose" in words(case)
    # The records tell the phase, so no module is asked.
    assert not any(word.startswith("grep") for word in words(case))


def test_guard_records_are_enough_where_each_deploy_has_its_verdict() -> None:
    deploy = record(2, Task.DEPLOY)
    case = Case(images(), [record(1, schema=("0001",)), deploy, *judged(phase="expand", deployment=2)[1:]])
    case.answer()
    assert words(case) == ["alembic show 0002"]


def test_guard_module_of_no_plain_phase_proves_nothing() -> None:
    found = Case(images("deploy_phase = os.environ['P']"), judged()).answer()
    assert found.unverified == (
        "whether 100000000000 can live with the database (nothing says whether 0002 is an expand or a contract migration)"
    )
    assert (found.said, found.database) == ("not known", ("0002",))
    assert [each.revision for each in found.stays] == ["0002"]


@pytest.mark.parametrize(
    ("word", "end", "why"),
    [
        (
            "current",
            JobEnd(1, 2),
            "`alembic current` in the image that runs now ended with 1: Traceback: / no such host\\x1b[31m",
        ),
        ("show", JobEnd(1, 2), "`alembic show` in the image of 100000000000 ended with 1: Traceback: / no such host\\x1b[31m"),
        ("history", JobEnd(1, 2), "`alembic history` ended with 1: Traceback: / no such host\\x1b[31m"),
        ("grep", JobEnd(2, 2), "the migrations' modules could not be read: Traceback: / no such host\\x1b[31m"),
        ("show", JobEnd(None, 2, detail="OOMKilled"), "the job did not end: OOMKilled"),
        ("show", JobEnd(0, 90, timed_out=True), "the job did not end: 90 s were not enough"),
    ],
)
def test_guard_image_without_a_usable_answer_is_unverified(word: str, end: JobEnd, why: str) -> None:
    engine = images()
    engine.ends[word] = end
    found = Case(engine, [record(1)]).answer()
    assert found.unverified == f"whether 100000000000 can live with the database ({why})"
    assert found.said == "not known"


def test_guard_grep_that_finds_nothing_is_an_answer() -> None:
    engine = images()
    engine.ends["grep"] = JobEnd(1, 1)
    assert [each.phase for each in Case(engine, [record(1)]).answer().stays] == ["expand"]


@pytest.mark.parametrize("now", [None, Running("api")])
def test_guard_service_whose_image_is_not_known_is_unverified(now: Running | None) -> None:
    found = Case(images(), [record(1)], now=now).answer()
    assert "(the engine cannot tell which image api runs)" in found.unverified


def test_guard_image_that_is_gone_is_unverified() -> None:
    engine = images()
    engine.missing = True
    for pending in (False, True):
        found = Case(engine, [record(1)], pending=pending).answer()
        assert "(the image that runs now cannot be used: The image new does not exist.)" in found.unverified
        assert found.database == ()


def test_guard_database_ahead_of_every_image_is_unverified() -> None:
    found = Case(images(database=("beef",)), [record(1)]).answer()
    assert found.database == ("beef",)
    assert (
        "(the image that runs now does not know the database's revision either, and the records do not name it)"
        in found.unverified
    )


def test_guard_engine_that_does_not_answer_is_unverified() -> None:
    class Away(Images):
        def job(self, job: Job, deadline: Deadline, line: Line) -> JobEnd:
            raise EngineUnreachable("The engine is away.")

    assert "(The engine is away.)" in Case(Away({}), [record(1)]).answer().unverified


def test_guard_without_a_service_goes_by_the_records_alone() -> None:
    silent = Case(images(), [record(1, schema=("0001",))], given={})
    said = "not asked, because `schema-service` names no service with migrations"
    assert silent.answer() == Schema(said, database=("0001",))
    newer = Case(images(), judged(phase="expand"), given={}).answer()
    assert newer.said == f"{said}; newer by the records: 0002"
    assert [each.revision for each in newer.stays] == ["0002"]
    with pytest.raises(SchemaRefused, match="as it is: 0002"):
        Case(images(), judged(phase="contract"), given={}).answer()


def test_guard_job_is_like_the_service_with_the_variables_that_it_needs() -> None:
    given = {
        "schema-service": "api", "schema-command": "alembic -c db/alembic.ini", "schema-env": "DATABASE_URL",
        "schema-networks": "backend", "schema-working-directory": "/srv",
    }  # fmt: skip
    case = Case(images(), [record(1)], given=given, variables={"DATABASE_URL": "postgresql://db/app"})
    case.answer()
    first = case.engine.jobs[0]
    assert first == Job(
        "schema-guard", Image("new"), ("alembic", "-c", "db/alembic.ini", "current"),
        {"A": "1", "DATABASE_URL": "postgresql://db/app"}, "api", ("backend",), "/srv", "api", sha(2),
    )  # fmt: skip
    assert set(case.engine.limits) == {ONE_JOB}
    assert case.log.getvalue().splitlines()[0] == "Asking new: alembic -c db/alembic.ini current"


def test_guard_image_is_asked_for_its_history_once() -> None:
    case = Case(images(CONTRACT, database=("0001",)), [record(1)], pending=True)
    with pytest.raises(ActionError):
        case.answer()
    asked = [(job.image.name, job.command[1]) for job in case.engine.jobs if job.command[0] == "alembic"]
    assert asked == [("new", "history"), ("old", "show"), ("old", "history")]


def test_guard_variable_that_is_not_set_names_its_input() -> None:
    with pytest.raises(ActionError, match="`schema-env` refers to the environment variable DATABASE_URL"):
        Case(images(), [record(1)], given={"schema-service": "api", "schema-env": "DATABASE_URL"}).answer()


def test_guard_silent_image_is_said_to_have_printed_nothing() -> None:
    class Silent(Images):
        def job(self, job: Job, deadline: Deadline, line: Line) -> JobEnd:
            return JobEnd(1, 1)

    assert "ended with 1: it printed nothing)" in Case(Silent({}), [record(1)]).answer().unverified


TWO = (Revision("0002", "expand", "add"), Revision("0003", "contract", "drop"))


def two(*phases: str) -> Images:
    """An engine whose newest image brings 0002 and 0003, with what their modules say."""
    return Images({"old": OLD, "new": {"0001": "", **dict(zip(("0002", "0003"), phases, strict=True))}}, ("0003",))


def test_guard_names_each_of_two_migrations() -> None:
    both = [Revision(each.revision, "contract", each.message) for each in TWO]
    with pytest.raises(SchemaRefused, match=r"as it is: 0002 \(add\), 0003 \(drop\) is a contract migration"):
        Case(two("", ""), [record(1, schema=("0001",)), record(3, revisions=tuple(both), schema=("0003",))]).answer()
    unsaid = Case(two("deploy_phase = P", "deploy_phase = P"), [record(1)]).answer()
    assert "(nothing says whether 0002, 0003 is an expand or a contract migration)" in unsaid.unverified
    silent = [replace(each, phase="") for each in TWO]
    alone = Case(two("", ""), [record(1), record(3, revisions=tuple(silent))], given={}).answer()
    assert alone.said.endswith("; newer by the records: 0002, 0003")


def test_guard_asks_only_the_modules_whose_phase_the_records_do_not_tell() -> None:
    case = Case(two("", EXPAND), [record(1), record(3, Task.QUARANTINED, revisions=TWO[:1], revisions_dropped=1)])
    assert [(each.revision, each.phase) for each in case.answer().stays] == [("0002", "expand"), ("0003", "expand")]
    assert words(case)[-1].endswith("-- /app/0003.py")
    assert case.log.getvalue().endswith("Asking new: grep -H -E ^deploy_phase[[:space:]]*[:=]\n")


def test_guard_records_are_enough_for_every_head_that_they_name() -> None:
    heads = ("0001", "0002")
    brought = record(3, Task.QUARANTINED, revisions=TWO[:1], schema=heads)
    case = Case(images(database=heads), [record(1, schema=("0001",)), brought])
    case.answer()
    assert words(case) == ["alembic show 0001", "alembic show 0002"]


def test_guard_refusal_names_a_release_of_the_services_alone() -> None:
    brought = record(3, revisions=(Revision("0002", "contract"),), schema=("0002",))
    worker = replace(record(4, schema=("0002",)), services={"worker": f"sha256:{4:064x}"})
    with pytest.raises(SchemaRefused) as refused:
        Case(images(), [record(1, schema=("0001",)), brought, worker]).answer()
    assert f"to-sha: {sha(3)}" in refused.value.fix


def test_guard_shows_the_last_three_lines_of_what_failed_cut() -> None:
    class Talking(Images):
        def job(self, job: Job, deadline: Deadline, line: Line) -> JobEnd:
            for text in ("one", "two", "", "three", "x" * 310):
                line("stderr", text)
            return JobEnd(1, 1)

    shown = f"two / three / {'x' * 310}"
    assert f"ended with 1: {shown[:300]}… (24 more characters))" in Case(Talking({}), [record(1)]).answer().unverified


def test_guard_keeps_a_bounded_number_of_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema_guard, "_MOST_LINES", 1)
    assert Case(images(database=("0001", "0002")), [record(1)]).answer().database == ("0001",)
