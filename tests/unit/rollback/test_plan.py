from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd_actions.engines.protocol import Engine, EngineUnreachable, Image, RolledOut, Running, Target
from cicd_actions.github.commits import Commit, Comparison
from cicd_actions.github.history import History, Release
from cicd_actions.github.release_record import Record, Revision, Run, Task
from cicd_actions.roll_out.inputs import Wanted
from cicd_actions.rollback_to_previous_sha.moves import Moved, moves, unproven
from cicd_actions.rollback_to_previous_sha.outcome import revert_commands
from cicd_actions.rollback_to_previous_sha.plan import Facts, Left, Move, Plan, identity, images, leaving, target
from cicd_actions.toolkit import markdown
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import Failed, UnusableInput
from cicd_actions.toolkit.runtime import Runtime
from tests.harness.golden import Golden


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


def test_promise_a_rollback_moves_only_the_services_and_repositories_of_its_input() -> None:
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


def whole() -> Plan:
    """A plan that has something to say of everything."""
    services = {"api": digest(1), "web": digest(2)}
    run = Run("5", url="https://github.com/org/app/actions/runs/5")
    to = Record(Task.PASSED, "app", "staging", sha(1), services, verdict="pass", id=7, run=run, at="2026-05-01T10:00:00Z")
    return Plan(
        app="app",
        environment="staging",
        left=Left(sha(2)),
        to=release(to),
        moves=(
            Move("api", Image("r/api", digest(1), local=True), Running("api", "x", digest(3), "", 1, 1), sha(1)),
            Move("web", Image("r/web", digest(2)), Running("web", "x", digest(2), "", 1, 1), sha(6)),
        ),
        without=("late",),
        taken_back=Comparison("ahead", (Commit(sha(2), "A title", "Ann"), Commit(sha(3), "Another", "Bob")), 3),
        stays=(Revision("0002", "expand", "add"), Revision("0003")),
        schema="at 0003",
        database=("0003",),
        unverified=("whether it exists",),
    )


def test_plan_as_json_names_everything_in_full() -> None:
    assert whole().as_json() == {
        "schema": 1,
        "app": "app",
        "environment": "staging",
        "from": {"sha": sha(2), "services": {"api": digest(3), "web": digest(2)}},
        "to": {
            "sha": sha(1),
            "services": {"api": f"r/api@{digest(1)}", "web": f"r/web@{digest(2)}"},
            "commits": {"api": sha(1), "web": sha(6)},
            "record": 7,
            "run": "https://github.com/org/app/actions/runs/5",
            "at": "2026-05-01T10:00:00Z",
        },
        "already-there": ["web"],
        "commits-taken-back": [{"sha": sha(2), "title": "A title"}, {"sha": sha(3), "title": "Another"}],
        "commits-total": 3,
        "migrations-that-stay": [
            {"revision": "0002", "phase": "expand", "message": "add"},
            {"revision": "0003", "phase": "", "message": ""},
        ],
        "database": "at 0003",
        "not-undone": [
            "the migrations named above: none is downgraded",
            "what the release wrote: rows, files, messages that were sent, caches",
            "configuration and secrets that were changed beside the release",
            "the service late: the release to roll back to has none",
        ],
        "unverified": ["whether it exists"],
    }
    bare = replace(whole(), taken_back=None).as_json()
    assert (bare["commits-taken-back"], bare["commits-total"]) == ([], None)
    assert not whole().done


def test_plan_for_people_is_the_kept_one(golden: Golden) -> None:
    none_taken_back = Comparison("identical", (), 0)
    all_shown = Comparison("ahead", (Commit(sha(2), "A title", "Ann"),), 1)
    bare = Plan("app", "staging", Left(), release(record(1, 1)), (Move("api", Image("r/api", digest(1)), Running("api")),))
    plans = (whole(), bare, replace(bare, taken_back=none_taken_back), replace(bare, taken_back=all_shown))
    golden.hold(
        "rollback-to-previous-sha/plans",
        "\n".join(markdown.render(each.blocks(), lambda text: text, 512 * 1024) for each in plans),
    )


def refused(history: History, *, to: str = "", left: Left | None = None, services: str = "api") -> Failed:
    facts = Facts("staging", {name: Running(name) for name in services.split()}, history)
    with pytest.raises(Failed) as caught:
        target(facts, left or Left(sha(9)), to)
    return caught.value


OR_STOP = (
    "Deploy a commit that fixes the problem, or stop the services. `deployment-record` with `phase: adopt` records a release"
    " that ran there before, as long as it runs."
)


@pytest.mark.parametrize(
    ("history", "what", "cause", "fix"),
    [
        (
            History(),
            "this is the first deployment to staging that is recorded.",
            "A rollback deploys only a release that passed its gate, and no other one did.",
            OR_STOP,
        ),
        (
            replace(History.of([record(1, 9)]), apps=frozenset({"shop", "blog"})),
            "this is the first deployment to staging that is recorded.",
            (
                "A rollback deploys only a release that passed its gate, and no other one did. The app blog, shop has"
                " records here too. Check the input `app`."
            ),
            OR_STOP,
        ),
        (
            History(apps=frozenset({"shop", "blog"})),
            "staging has no record of this application.",
            "It has records of the app blog, shop.",
            "    with:\n      app: blog",
        ),
        (
            replace(History.of([record(1, 1, Task.QUARANTINED)]), passed_over=("a", "b", "c", "d", "e")),
            "every other release recorded in staging is quarantined.",
            (
                "A release is quarantined when it failed its gate, until it passes one again. These do not count: a; b; c"
                " (and 2 more)."
            ),
            "Deploy a commit that fixes the problem.",
        ),
        (
            History(passed_over=("record 7: it names no workflow run",)),
            "no record in staging proves that its writer may write it.",
            "These do not count: record 7: it names no workflow run.",
            (
                "See why:\n\n    uses: org/cicd-actions/deployment-record@<full commit sha>\n    with:\n"
                "      phase: verify-record\n      environment: staging"
            ),
        ),
        (
            History(passed_over=("record 7: it is not signed", "b", "c")),
            "no record in staging proves that its writer may write it.",
            "These do not count: record 7: it is not signed; b; c.",
            (
                "See why:\n\n    uses: org/cicd-actions/deployment-record@<full commit sha>\n    env:\n"
                "      RECORD_KEY: ${{ secrets.RECORD_KEY }}\n    with:\n"
                "      phase: verify-record\n      environment: staging\n      record-key: RECORD_KEY"
            ),
        ),
    ],
)
def test_target_that_does_not_exist_says_why_and_what_to_do(history: History, what: str, cause: str, fix: str) -> None:
    error = refused(history)
    assert (error.what, error.cause, error.fix) == (f"Cannot roll back: {what}", cause, fix)


def test_target_by_signature_names_the_key() -> None:
    assert "record-key: RECORD_KEY" in refused(History(passed_over=("record 7: its signature does not fit",))).fix


def test_target_that_is_named_and_cannot_be_used_says_which_could() -> None:
    good = [record(at, at) for at in range(1, 8)]
    bad = replace(record(8, 8, Task.QUARANTINED), reason="api answers 503.")
    choose = "\n".join(f"    to-sha: {sha(at)}" for at in (7, 6, 5, 4, 3))
    error = refused(History.of([*good, bad]), to=sha(8))
    assert error.what == f"Cannot roll back to {sha(8)[:12]}: it is quarantined in staging, because it failed its gate there."
    assert error.cause == "api answers 503. It stays quarantined until it passes a gate there."
    assert error.fix == f"Choose another one:\n\n{choose}"
    silent = refused(History.of([replace(bad, reason="")]), to=sha(8))
    assert silent.cause == "No reason is recorded. It stays quarantined until it passes a gate there."
    assert silent.fix == "No other release is recorded either."
    never = refused(replace(History.of(good), passed_over=("record 9: it is not signed",)), to=sha(9))
    assert never.what == (
        f"Cannot roll back to {sha(9)[:12]}: it never passed its gate in staging, so its images are not known."
    )
    assert never.cause == "These do not count: record 9: it is not signed."
    assert never.fix == f"These passed:\n\n{choose}"
    other = refused(History.of([record(1, 1, services={"worker": 1, "cron": 1})]), to=sha(1), services="api web")
    assert other.what == f"Cannot roll back to {sha(1)[:12]}: it has none of the services api, web."
    assert other.fix == "Give each application a name, here and in its deploys:\n\n    with:\n      app: shop"


def test_target_among_records_of_another_application_says_so() -> None:
    history = History.of([record(1, 1), record(2, 2, services={"worker": 2, "cron": 2})])
    error = refused(history, services="api web", left=Left(sha(9)))
    assert error.what == (
        f"Cannot roll back: the last release that passed in staging ({sha(2)[:12]}) has none of the services api, web."
    )
    assert error.cause == "It is a release of worker, cron: several applications share these records."
    assert error.fix == (
        "Give each application a name, here and in its deploys:\n\n    with:\n      app: shop\n\n"
        "To roll back now, name the release:\n\n    with:\n      to-sha: <full commit sha>"
    )


def test_target_without_a_service_that_is_new_is_refused() -> None:
    records = [record(1, 1), record(2, 2, services={"api": 1, "new": 2, "late": 2})]
    history = History.of(records)
    newest = release(records[1])
    error = refused(history, left=Left(sha(2), newest.identity, newest), services="api new late")
    assert error.what == "Cannot roll back late, new: no earlier release has it, and the other services did not change."
    assert error.fix == "Deploy a commit that fixes the problem, or stop the service."


def test_images_that_cannot_be_deployed_again_say_what_to_write() -> None:
    plain = release(Record(Task.PASSED, "app", "s", sha(1), {"api": digest(1), "own": "build-7", "far": "evil.test/far:1"}))
    with pytest.raises(UnusableInput) as unusable:
        images(plain, [Wanted("api", "not a repository")], opaque=False)
    assert unusable.value.what == "`not a repository` is not the repository of api's image."
    assert unusable.value.fix == "    with:\n      services: |\n        api=ghcr.io/org/api"
    with pytest.raises(Failed) as failed:
        images(plain, [Wanted("own", "own")], opaque=False)
    assert failed.value.what == "Cannot roll own back to build-7: the record has no digest, so it cannot be deployed again."
    assert failed.value.cause == "The engine `command` recorded it: it is an id of your own programs."
    with pytest.raises(Failed) as elsewhere:
        images(plain, [Wanted("far", "registry.test/far")], opaque=True)
    assert (
        elsewhere.value.what == "Cannot roll far back to evil.test/far:1: the record names another repository than `services`."
    )
    assert elsewhere.value.fix == "    with:\n      services: |\n        far=evil.test/far"
    assert images(plain, [Wanted("far", "evil.test/far")], opaque=True)[0] == {"far": "evil.test/far:1"}


def test_leaving_without_anything_that_runs_says_what_to_name() -> None:
    with pytest.raises(UnusableInput) as error:
        leaving(Facts("staging", {"api": Running("api")}, History.of([record(1, 1)])), "")
    assert error.value.what == "Cannot tell which release runs now, so not which one came before it either."
    assert error.value.cause == "The engine does not report what runs, or nothing runs."
    assert error.value.fix == "Name the release to leave:\n\n    with:\n      current-sha: <full commit sha>"
    with pytest.raises(Failed, match="first deployment to staging"):
        leaving(Facts("staging", {"api": Running("api")}, History()), "")


def left(now: dict[str, Running], *records: Record, current: str = "") -> Left:
    return leaving(Facts("staging", now, History.of(records)), current)


def test_leaving_of_a_commit_is_its_newest_deploy_or_what_runs_under_its_label() -> None:
    one, two = record(1, 1), record(2, 2)
    assert left(runs(1), one, two, current=sha(2)) == Left(sha(2), frozenset({("api", digest(2))}), release(two))
    assert left(runs(7, sha(7)), one, current=sha(7)) == Left(sha(7), frozenset({("api", digest(7))}))
    assert left(runs(7, sha(6)), one, current=sha(7)) == Left(sha(7))


def test_leaving_is_the_newest_deploy_whole_while_its_images_run() -> None:
    one, two = record(1, 1), record(2, 2)
    assert left(runs(2), one, two) == Left(sha(2), frozenset({("api", digest(2))}), release(two))
    # What the records do not name was not deployed by hand in place of it.
    assert left(runs(1, sha(9), web=9), one) == Left(sha(1), frozenset({("api", digest(1))}), release(one))
    # A commit built twice is two releases: the build before is the one to roll back to.
    again = record(2, 1, services={"api": 2})
    assert left(runs(1), one, again) == Left(sha(1), frozenset({("api", digest(2))}), release(again))


def test_leaving_is_an_older_deploy_where_that_runs_again() -> None:
    one, two, three = (record(at, at) for at in (1, 2, 3))
    runs_one = frozenset({("api", digest(1))})
    assert left(runs(1), one, two, three) == Left(sha(1), runs_one, release(one))
    assert left(runs(1, sha(9)), one, two, three) == Left(sha(9), runs_one, release(one))
    assert left(runs(9), one, two, three) == Left("", frozenset({("api", digest(9))}))


def test_leaving_of_services_under_two_labels_has_no_commit() -> None:
    now = runs(8, sha(8)) | {"web": replace(runs(9, web=9)["web"], sha=sha(9))}
    assert left(now, record(1, 1)).sha == ""


def test_leaving_looks_at_deploys_and_rollbacks_of_the_services_alone() -> None:
    one, two, worker = record(1, 1), record(2, 2), record(3, 3, services={"worker": 3})
    assert left(runs(2), one, two, worker) == Left(sha(2), frozenset({("api", digest(2))}), release(two))
    both = record(1, 1, services={"api": 1, "worker": 1})
    # What was deployed by hand is left, since a rollback brought the newest deploy again.
    assert left(runs(1), both, record(2, 1, kind="rollback", services={"api": 1, "worker": 1})) == Left()


def test_left_of_images_that_no_deploy_recorded_is_each_release_within_them() -> None:
    one = release(record(1, 1))
    assert Left(sha(9), one.identity).is_of(one)
    assert Left(sha(9), one.identity | {("web", digest(2))}).is_of(one)
    assert not Left(sha(9), one.identity | {("web", digest(2))}, one).is_of(one)
    assert Left(sha(1)).is_of(one)
    assert not Left(sha(9)).is_of(one)


def test_target_is_refused_for_another_application_only_where_that_is_newer() -> None:
    worker = record(2, 2, services={"worker": 2})
    alone = refused(History.of([worker]), left=Left(sha(9)))
    assert "has none of the services api." in alone.what
    newer = target(Facts("staging", runs(9), History.of([worker, record(3, 3)])), Left(sha(9)), "")
    assert newer.sha == sha(3)


def test_target_texts_name_at_most_five_apps_and_three_records_and_cut_long_images() -> None:
    apps = frozenset("abcdef")
    assert refused(History(apps=apps)).cause == "It has records of the app a, b, c, d, e."
    assert "The app a, b, c, d, e has records" in refused(replace(History.of([record(1, 9)]), apps=apps)).cause
    four = refused(History(passed_over=("a", "b", "c", "d")))
    assert four.cause == "These do not count: a; b; c (and 1 more)."
    assert refused(History.of([record(1, 1)]), to=sha(2)).cause == ""
    long = "x" * 210
    plain = release(Record(Task.PASSED, "app", "s", sha(1), {"api": digest(1), "own": long, "far": f"evil.test/{long}"}))
    for wanted, opaque, shown in (
        (Wanted("own", "own"), False, f"back to {'x' * 200}:"),
        (Wanted("far", "registry.test/far"), True, f"back to {f'evil.test/{long}'[:200]}:"),
        (Wanted("api", f"!{long}"), False, f"`!{'x' * 199}` is"),
    ):
        with pytest.raises((Failed, UnusableInput)) as caught:
            images(plain, [wanted], opaque=opaque)
        assert shown in caught.value.what


def test_plan_names_each_of_two_images_that_the_registry_lost() -> None:
    moves = tuple(Move(name, Image(f"r/{name}", digest(1), local=True), Running(name)) for name in ("api", "web"))
    plan = Plan("app", "staging", Left(sha(2)), release(record(1, 1)), moves)
    text = markdown.render(plan.blocks(), lambda given: given, 512 * 1024)
    assert "no longer has the image of api, web: only this engine" in text


class Noting:
    """An engine that only notes commits, until it is away."""

    def __init__(self) -> None:
        self.noted: list[tuple[str, str, str]] = []

    def relabel(self, target: Target, deadline: Deadline) -> None:
        if self.noted:
            raise EngineUnreachable("It is away.")
        self.noted.append((target.service, target.image.pinned, target.sha))


def test_service_that_the_release_did_not_change_loses_its_commit_and_a_rollback_never_fails_for_that() -> None:
    now = {name: Running(name, f"r/{name}@{digest(1)}", digest(1), sha(2), 1, 1) for name in ("web", "worker", "job")}
    now["job"] = replace(now["job"], sha=sha(1))
    there = tuple(Move(name, Image(f"r/{name}", digest(1)), each, sha(1)) for name, each in now.items())
    engine, log = Noting(), io.StringIO()
    plan = replace(whole(), moves=there)
    assert list(moves(plan, cast(Engine, engine), Deadline(5), Runtime({}, log))) == []
    assert engine.noted == [("web", f"r/web@{digest(1)}", sha(1))]
    assert f"worker keeps the label of {sha(2)[:12]}: It is away." in log.getvalue()
