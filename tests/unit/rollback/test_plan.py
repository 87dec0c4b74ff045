from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd_actions.engines.protocol import Image, RolledOut, Running
from cicd_actions.github.commits import Commit, Comparison
from cicd_actions.github.history import History, Release
from cicd_actions.github.release_record import Record, Revision, Task
from cicd_actions.roll_out.inputs import Wanted
from cicd_actions.rollback_to_previous_sha.moves import Moved, unproven
from cicd_actions.rollback_to_previous_sha.outcome import revert_commands
from cicd_actions.rollback_to_previous_sha.plan import Facts, Left, Move, Plan, identity, images, leaving, target
from cicd_actions.toolkit import markdown
from cicd_actions.toolkit.errors import Failed, UnusableInput


def sha(number: int) -> str:
    return f"{number:x}".ljust(40, "0")


def digest(number: int) -> str:
    return f"sha256:{number:064x}"


def record(
    at: int, number: int, task: Task = Task.PASSED, *, kind: str = "release", services: Mapping[str, int] | None = None
) -> Record:
    verdict = {Task.PASSED: "pass", Task.QUARANTINED: "fail", Task.DEPLOY: ""}[task]
    images = {name: digest(built) for name, built in (services or {"api": number}).items()}
    return Record(task, "app", "staging", sha(number), images, verdict=verdict, kind=kind, id=at)


def release(of: Record) -> Release:
    return Release(of, dict.fromkeys(of.services, of))


def runs(number: int, label: str = "", **more: int) -> dict[str, Running]:
    return {
        name: Running(name, f"r/{name}@{digest(built)}", digest(built), label, 1, 1)
        for name, built in {"api": number, **more}.items()
    }


def chosen(records: list[Record], now: dict[str, Running], *, to: str = "", current: str = "") -> Release:
    facts = Facts("staging", now, History.of(records))
    return target(facts, leaving(facts, current), to)


def test_target_is_the_newest_good_release_other_than_the_one_to_leave() -> None:
    records = [record(1, 1), record(2, 2), record(3, 3, Task.QUARANTINED)]
    assert chosen(records, runs(3)).sha == sha(2)
    assert chosen(records, runs(9), current=sha(2)).sha == sha(1)
    assert chosen([record(1, 1), record(2, 2)], runs(2)).sha == sha(1)


def test_target_of_a_repeated_rollback_stays_the_same() -> None:
    records = [record(1, 1), record(2, 2), record(3, 3, Task.QUARANTINED)]
    # Moved, and not recorded; and the roll-out that took itself back.
    assert chosen(records, runs(2)).sha == sha(2)
    assert chosen(records, runs(2), current=sha(3)).sha == sha(2)
    done = [*records, record(4, 2, kind="rollback")]
    assert chosen(done, runs(2)).sha == sha(2)
    assert chosen(done, runs(2), current=sha(3)).sha == sha(2)


def test_target_of_a_rollback_that_stopped_half_way_stays_the_same() -> None:
    both = [record(at, at, services={"api": at, "web": at}) for at in (1, 2, 3)]
    assert chosen(both, runs(3, web=3)).sha == sha(2)
    assert chosen(both, runs(2, web=3)).sha == sha(2)
    assert chosen(both, runs(2, web=2)).sha == sha(2)


def test_target_when_something_was_deployed_by_hand_is_the_newest_good_release() -> None:
    records = [record(1, 1), record(2, 2)]
    assert chosen(records, runs(9, sha(9))).sha == sha(2)
    # And it stays so when that rollback was recorded, with whatever verdict.
    assert chosen([*records, record(3, 2, Task.DEPLOY, kind="rollback")], runs(2)).sha == sha(2)


def test_target_of_a_commit_built_twice_can_be_its_good_build() -> None:
    good = record(1, 5, services={"api": 51})
    bad = record(2, 5, Task.QUARANTINED, services={"api": 52})
    for now in (52, 51):
        found = chosen([good, bad], runs(now), current=sha(5))
        assert found.identity == frozenset({("api", digest(51))})


def test_target_is_never_a_release_with_the_same_images_under_another_commit() -> None:
    twin = record(3, 3, services={"api": 2})
    assert chosen([record(1, 1), record(2, 2), twin], runs(2, sha(2))).sha == sha(1)


def test_a_record_of_a_part_is_laid_over_the_ones_before() -> None:
    records = [
        record(1, 1, services={"api": 1, "web": 1}),
        record(2, 2, services={"api": 2}),
        record(3, 3, services={"web": 3}),
    ]
    assert chosen(records, runs(2, web=3)).services == {"api": digest(2), "web": digest(1)}
    mixed = chosen([*records, record(4, 4, Task.QUARANTINED, services={"api": 4})], runs(4, web=3))
    assert mixed.services == {"api": digest(2), "web": digest(3)}
    assert [(part.sha, dict(part.services)) for part in mixed.parts()] == [
        (sha(2), {"api": digest(2)}),
        (sha(3), {"web": digest(3)}),
    ]


def test_a_record_that_names_none_of_the_services_is_refused() -> None:
    records = [record(1, 1), record(2, 2, services={"worker": 2}), record(3, 3, Task.QUARANTINED)]
    with pytest.raises(Failed, match="has none of the services api") as refused:
        chosen(records, runs(3))
    assert "app: shop" in refused.value.fix
    assert chosen(records, runs(3), to=sha(1)).sha == sha(1)
    with pytest.raises(Failed, match="has none of the services api"):
        chosen(records, runs(3), to=sha(2))


def test_leaving_prefers_what_was_told_then_the_records_then_the_labels() -> None:
    facts = Facts("staging", runs(2), History.of([record(1, 1), record(2, 2)]))
    assert leaving(facts, "").sha == sha(2)
    assert leaving(facts, sha(6)) == Left(sha(6))
    assert leaving(Facts("staging", runs(7), facts.history), "").sha == ""
    assert leaving(Facts("staging", runs(7, sha(7)), facts.history), "").sha == sha(7)


def test_target_without_any_is_refused_and_says_why() -> None:
    with pytest.raises(UnusableInput, match="Cannot tell which release runs now"):
        chosen([record(1, 1)], {"api": Running("api")})
    with pytest.raises(Failed, match="first deployment"):
        chosen([], runs(1))
    with pytest.raises(Failed, match="first deployment"):
        chosen([record(1, 1)], runs(1))
    with pytest.raises(Failed, match="quarantined"):
        chosen([record(1, 1, Task.QUARANTINED)], runs(2))
    for history, said in (
        (History(apps=frozenset({"shop"})), "has no record of this application"),
        (History(passed_over=("record 7: it is not signed",)), "proves that its writer may write it"),
    ):
        with pytest.raises(Failed, match=said):
            target(Facts("staging", runs(1), history), Left(sha(1)), "")


numbers = st.integers(1, 3)
histories = st.lists(
    st.tuples(
        st.sampled_from([Task.PASSED, Task.PASSED, Task.QUARANTINED, Task.DEPLOY]),
        st.dictionaries(st.sampled_from(["api", "web"]), numbers, min_size=1),
    ),
    min_size=1,
    max_size=7,
)


@given(histories, st.fixed_dictionaries({"api": numbers, "web": numbers}), st.booleans())
def test_a_rollback_that_is_run_again_moves_nothing(
    line: list[tuple[Task, dict[str, int]]], now: dict[str, int], told: bool
) -> None:
    records = [record(at, at, task, services=services) for at, (task, services) in enumerate(line, 1)]
    current = sha(len(records)) if told else ""
    try:
        to = chosen(records, runs(now["api"], web=now["web"]), current=current)
    except Failed:
        return
    after = runs(0) | {name: Running(name, f"r/{name}@{image}", image) for name, image in to.services.items()}
    after |= {name: each for name, each in runs(now["api"], web=now["web"]).items() if name not in to.services}
    tried = Record(Task.DEPLOY, "app", "staging", to.sha, dict(to.parts()[-1].services), kind="rollback", id=99)
    facts = Facts("staging", runs(now["api"], web=now["web"]), History.of(records))
    by_hand = not told and leaving(facts, "").identity != facts.history.deploys(facts.services)[0].identity
    # What was deployed by hand, without any record, is known from the trail alone: the advice names `to-sha` then.
    for trail in ([tried],) if by_hand else ([], [tried]):
        try:
            again = chosen([*records, *trail], after, current=current)
        except Failed:
            assert by_hand
        else:
            assert again.identity == to.identity


def test_images_come_by_digest_from_the_repositories_of_the_input() -> None:
    of = release(
        Record(
            Task.PASSED, "app", "s", sha(1), {"web": f"old/web:tag@{digest(2)}", "api": digest(1), "job": f"r/job@{digest(3)}"}
        )
    )
    found, without = images(of, [Wanted("api", "new/api"), Wanted("web", "new/web:9"), Wanted("late", "x")], opaque=False)
    assert list(found.items()) == [("api", f"new/api@{digest(1)}"), ("web", f"new/web@{digest(2)}")]
    assert without == ["late"]
    assert images(of, [Wanted("web", "new/web")], opaque=True)[0] == {"web": f"new/web@{digest(2)}"}


def test_opaque_ids_stay_as_they_are_unless_they_name_another_repository() -> None:
    of = release(Record(Task.PASSED, "app", "s", sha(1), {"api": "build-7"}))
    assert images(of, [Wanted("api", "whatever")], opaque=True)[0] == {"api": "build-7"}
    with pytest.raises(Failed, match="has no digest"):
        images(of, [Wanted("api", "whatever")], opaque=False)
    elsewhere = release(Record(Task.PASSED, "app", "s", sha(1), {"api": "evil.test/api:latest"}))
    with pytest.raises(Failed, match="names another repository"):
        images(elsewhere, [Wanted("api", "registry.test/api")], opaque=True)


def test_a_service_is_there_already_unless_the_engine_says_it_is_not_up() -> None:
    image = Image("r/api", digest(1))
    assert Move("api", image, Running("api", "x", digest(1), "", 2, 2)).already
    assert Move("api", image, Running("api", "x", digest(1))).already
    assert Move("api", Image(f"r/api@{digest(1)}", opaque=True), Running("api", f"r/api@{digest(1)}")).already
    assert not Move("api", image, Running("api", "x", digest(1), "", 1, 2)).already
    assert not Move("api", image, Running("api", "x", digest(1), "", 2, 2, settled=False)).already
    assert not Move("api", image, Running("api", "x", digest(1), "", 2, 2, unfinished=True)).already
    assert not Move("api", image, Running("api", "x", digest(2), "", 2, 2)).already
    assert not Move("api", Image("", opaque=True), Running("api")).already


def test_services_that_run_nothing_are_found_whether_they_moved_or_not() -> None:
    there = {name: Running(name, "x", digest(1), "", wanted, wanted) for name, wanted in {"api": 2, "web": 0, "old": 0}.items()}
    moves = tuple(Move(name, Image(f"r/{name}", digest(2 if name == "web" else 1)), now) for name, now in there.items())
    made = Plan(
        "app", "staging", Left(sha(2)), release(record(1, 1)), (*moves, Move("own", Image("id", opaque=True), Running("own")))
    )
    moved = Moved((RolledOut("web", 1.0, replicas=0), RolledOut("own", 1.0, unproven="it reports another")))
    assert unproven(made, moved, allow_empty=False) == ["web runs no replica", "old runs no replica", "own: it reports another"]
    assert unproven(made, moved, allow_empty=True) == ["own: it reports another"]
    assert unproven(made, Moved((RolledOut("web", 1.0, replicas=1),)), allow_empty=False) == ["old runs no replica"]


def test_plan_names_the_images_that_the_registry_lost() -> None:
    pushed, id_only = Image("r/api", digest(1), local=True), Image(digest(2), digest(2), opaque=True, local=True)
    moves = tuple(Move(name, image, Running(name)) for name, image in {"api": pushed, "dev": id_only}.items())
    assert Plan("app", "staging", Left(sha(2)), release(record(1, 1)), moves).local == ["api"]


def test_identity_leaves_out_what_the_engine_cannot_tell() -> None:
    assert identity({"api": Running("api"), "web": Running("web", "build-7")}) == frozenset({("web", "build-7")})


hostile = st.text(max_size=60)


def plan(taken_back: Comparison | None, *, message: str = "", image: str = "") -> Plan:
    return Plan(
        app="app",
        environment="staging",
        left=Left(sha(2)),
        to=release(record(1, 1)),
        moves=(Move("api", Image("r/api", digest(1)), Running("api", image, "", "")),),
        without=("late",),
        taken_back=taken_back,
        stays=(Revision("0002", "expand", message),),
        schema="at 0002",
        unverified=("whether it exists",),
    )


@given(hostile, hostile, hostile)
def test_a_plan_of_hostile_words_is_json_and_markdown(title: str, author: str, message: str) -> None:
    made = plan(Comparison("ahead", (Commit(sha(2), title, author),), 3), message=message, image=title)
    assert json.loads(json.dumps(made.as_json()))["commits-total"] == 3
    text = markdown.render(made.blocks(), lambda given: given, 512 * 1024)
    assert "Migrations that stay applied" in text
    assert "the migrations named above: none is downgraded" in text
    assert "Commits taken back: 3, 1 of them shown" in text


def test_revert_commands_follow_the_first_parents() -> None:
    line = (
        Commit(sha(2), "", "", (sha(1),)),
        Commit(sha(9), "on a branch", "", (sha(1),)),
        Commit(sha(3), "a merge", "", (sha(2), sha(9))),
        Commit(sha(4), "", "", (sha(3),)),
    )
    assert revert_commands(plan(Comparison("ahead", line, 4))).splitlines() == [
        f"git revert --no-edit {sha(4)}",
        f"git revert --no-edit --mainline 1 {sha(3)}",
        f"git revert --no-edit {sha(2)}",
    ]
    assert revert_commands(plan(Comparison("ahead", line[:1], 300))) == f"git revert --no-edit {sha(1)}..{sha(2)}"
