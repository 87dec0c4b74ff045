from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd_actions.engines.protocol import Image, Running
from cicd_actions.github.comparison import Commit, Comparison
from cicd_actions.github.history import History
from cicd_actions.github.release_record import Record, Revision, Task
from cicd_actions.roll_out.inputs import Wanted
from cicd_actions.rollback_to_previous_sha.plan import Move, Plan, identity, images, leaving, target
from cicd_actions.toolkit import markdown
from cicd_actions.toolkit.errors import Failed, UnusableInput


def sha(number: int) -> str:
    return f"{number:x}".ljust(40, "0")


def digest(number: int) -> str:
    return f"sha256:{number:064x}"


def record(at: int, number: int, task: Task = Task.PASSED) -> Record:
    verdict = {Task.PASSED: "pass", Task.QUARANTINED: "fail", Task.DEPLOY: ""}[task]
    return Record(task, "app", "staging", sha(number), {"api": digest(number)}, verdict=verdict, id=at)


def runs(number: int, label: str = "") -> dict[str, Running]:
    return {"api": Running("api", f"r/api@{digest(number)}", digest(number), label, 1, 1)}


def chosen(history: History, now: dict[str, Running], *, to: str = "", current: str = "") -> Record:
    left = leaving(now, history, current)
    return target(history, to_sha=to, from_sha=left, runs=identity(now), where="staging")


def test_the_last_good_one_that_is_not_the_current() -> None:
    history = History.of([record(1, 1), record(2, 2), record(3, 3, Task.QUARANTINED)])
    assert chosen(history, runs(3)).sha == sha(2)
    assert chosen(history, runs(2)).sha == sha(1)
    assert chosen(history, runs(9), current=sha(2)).sha == sha(1)


def test_the_same_images_under_another_commit_are_no_way_back() -> None:
    twin = Record(Task.PASSED, "app", "staging", sha(3), {"api": digest(2)}, verdict="pass", id=3)
    assert chosen(History.of([record(1, 1), record(2, 2), twin]), runs(2, sha(2))).sha == sha(1)


def test_what_runs_is_told_by_label_then_by_record() -> None:
    history = History.of([record(1, 1), record(2, 2)])
    assert leaving(runs(2, sha(5)), history, "") == sha(5)
    assert leaving(runs(2), history, "") == sha(2)
    assert leaving(runs(7), history, "") == ""
    assert leaving(runs(2, sha(5)), history, sha(6)) == sha(6)


def test_nothing_known_and_nothing_there() -> None:
    history = History.of([record(1, 1)])
    with pytest.raises(UnusableInput, match="Which release runs now is not known"):
        chosen(history, {"api": Running("api")})
    with pytest.raises(Failed, match="first deployment"):
        chosen(History(), runs(1))
    with pytest.raises(Failed, match="first deployment"):
        chosen(history, runs(1))
    with pytest.raises(Failed, match="quarantined"):
        chosen(History.of([record(1, 1, Task.QUARANTINED)]), runs(2))


def test_images_by_digest_in_the_order_of_the_input() -> None:
    of = Record(
        Task.PASSED, "app", "s", sha(1), {"web": f"old/web:tag@{digest(2)}", "api": digest(1), "job": f"r/job@{digest(3)}"}
    )
    found, left = images(of, [Wanted("api", "new/api"), Wanted("web", "new/web:9"), Wanted("late", "x")], opaque=False)
    assert list(found.items()) == [
        ("api", f"new/api@{digest(1)}"),
        ("web", f"new/web@{digest(2)}"),
        ("job", f"r/job@{digest(3)}"),
    ]
    assert left == ["late"]


def test_opaque_ids_stay_as_they_are() -> None:
    of = Record(Task.PASSED, "app", "s", sha(1), {"api": "build-7"})
    assert images(of, [Wanted("api", "whatever")], opaque=True)[0] == {"api": "build-7"}
    with pytest.raises(Failed, match="which is no digest"):
        images(of, [Wanted("api", "whatever")], opaque=False)


def test_a_service_is_there_already_only_if_it_is_up() -> None:
    image = Image("r/api", digest(1))
    assert Move("api", image, Running("api", "x", digest(1), "", 2, 2)).already
    assert not Move("api", image, Running("api", "x", digest(1), "", 1, 2)).already
    assert not Move("api", image, Running("api", "x", digest(1), "", 2, 2, settled=False)).already
    assert not Move("api", image, Running("api", "x", digest(1))).already
    assert not Move("api", image, Running("api", "x", digest(2), "", 2, 2)).already


hostile = st.text(max_size=60)


@given(hostile, hostile, hostile)
def test_a_plan_of_hostile_words_is_json_and_markdown(title: str, author: str, message: str) -> None:
    plan = Plan(
        app="app",
        environment="staging",
        from_sha=sha(2),
        to=record(1, 1),
        moves=(Move("api", Image("r/api", digest(1)), Running("api", title, "", "")),),
        left=("late",),
        taken_back=Comparison("ahead", (Commit(sha(2), title, author),), 3),
        stays=(Revision("0002", "expand", message),),
        schema="at 0002",
        unverified=("whether it exists",),
    )
    assert json.loads(json.dumps(plan.as_json()))["commits-total"] == 3
    text = markdown.render(plan.blocks(), lambda given: given, 512 * 1024)
    assert "Migrations that stay applied" in text
    assert "the migrations named above: none is run down" in text
    assert "Commits taken back: 3, 1 of them shown" in text
