from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd_actions.github.release_record import (
    PAYLOAD_LIMIT,
    NotARecord,
    Record,
    Revision,
    Run,
    Task,
    digest_of,
    is_sha,
    read,
)
from cicd_actions.toolkit.errors import UnusableInput

SHA = "1" * 40
DIGEST = "sha256:" + "a" * 64

names = st.text(min_size=1, max_size=20)
texts = st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=200)
revisions = st.builds(Revision, names, st.sampled_from(["expand", "contract", ""]), texts)
records = st.builds(
    Record,
    task=st.just(Task.PASSED),
    app=names,
    environment=names,
    sha=st.just(SHA),
    services=st.dictionaries(
        names, st.one_of(st.just(DIGEST), st.just(f"registry/api@{DIGEST}"), names), min_size=1, max_size=5
    ),
    verdict=st.just("pass"),
    reason=texts,
    kind=st.sampled_from(["release", "rollback", "adopt"]),
    revisions=st.lists(revisions, max_size=3).map(tuple),
    schema=st.lists(names, max_size=2).map(tuple),
    run=st.builds(Run, texts, texts, texts, texts),
    deployment=st.integers(0, 10**9),
)


def deployment(payload: Any, *, task: str = "cicd-actions:passed", sha: str = SHA) -> dict[str, Any]:
    return {"id": 7, "task": task, "sha": sha, "payload": payload}


@given(records)
def test_a_record_comes_back_as_it_was_written(record: Record) -> None:
    payload = record.payload()
    assert len(json.dumps(payload).encode()) < PAYLOAD_LIMIT
    found = read(deployment(payload))
    assert found == record
    assert found.id == 7
    assert read(deployment(json.dumps(payload))) == found


def test_an_ordinary_record_comes_back_whole() -> None:
    record = Record(
        Task.PASSED,
        "org/app",
        "staging",
        SHA,
        {"api": f"ghcr.io/org/api@{DIGEST}"},
        verdict="pass",
        reason="all targets passed",
        revisions=(Revision("0002", "expand", "add a column"),),
        schema=("0002",),
        run=Run("5", "1", "https://github.com/org/app/actions/runs/5", "someone"),
        deployment=3,
        at="2026-01-01T00:00:00Z",
    )
    assert read(deployment(record.payload())) == record


def test_five_hundred_migrations_fit_and_contract_ones_stay() -> None:
    many = tuple(Revision(f"{at:012x}", "contract" if at == 3 else "expand", "words " * 20) for at in range(500))
    payload = Record(Task.PASSED, "app", "staging", SHA, {"api": DIGEST}, verdict="pass", revisions=many).payload()
    assert len(json.dumps(payload).encode()) < PAYLOAD_LIMIT
    kept = [each["revision"] for each in payload["revisions"]]
    assert kept[0] == f"{3:012x}"
    assert kept[-1] == f"{499:012x}"
    assert payload["revisions-dropped"] == 500 - len(kept)


def test_services_that_cannot_fit_are_refused() -> None:
    services = {f"service-{at}": f"registry.example.com/a/long/name/{at}@{DIGEST}" for at in range(80)}
    with pytest.raises(UnusableInput, match="larger than 8 KiB"):
        Record(Task.PASSED, "app", "staging", SHA, services, verdict="pass").payload()


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=5),
    max_leaves=20,
)


@given(anything)
def test_no_payload_breaks_the_reader(payload: Any) -> None:
    with pytest.raises(NotARecord):
        read(deployment(payload))


@given(st.sampled_from(["app", "services", "revisions", "run", "deployment", "database", "reason"]), anything)
def test_no_field_breaks_the_reader(key: str, value: Any) -> None:
    payload = Record(Task.PASSED, "app", "staging", SHA, {"api": DIGEST}, verdict="pass").payload() | {key: value}
    try:
        found = read(deployment(payload))
    except NotARecord:
        return
    assert found.sha == SHA
    assert found.services


@pytest.mark.parametrize(
    "broken",
    [
        deployment({}, task="deploy"),
        deployment("{"),
        deployment(""),
        deployment({"schema": 2}),
        "nothing",
        deployment(Record(Task.PASSED, "a", "s", SHA, {"api": DIGEST}, verdict="pass").payload(), sha="2" * 40),
        deployment(Record(Task.PASSED, "a", "s", SHA, {"api": DIGEST}, verdict="fail").payload()),
        deployment(Record(Task.PASSED, "a", "s", SHA, {}, verdict="pass").payload()),
        deployment(
            Record(Task.QUARANTINED, "a", "s", SHA, {"api": DIGEST}, verdict="pass").payload(), task="cicd-actions:quarantined"
        ),
    ],
)
def test_what_is_no_record(broken: Any) -> None:
    with pytest.raises(NotARecord):
        read(broken)


def test_words_for_shas_and_digests() -> None:
    assert is_sha(SHA)
    assert not is_sha(SHA[:12])
    assert not is_sha(SHA + "\n")
    assert digest_of(f"ghcr.io/org/api:tag@{DIGEST}") == digest_of(DIGEST) == DIGEST
    assert digest_of("local-7") == ""


def test_the_run_of_a_step() -> None:
    found = Run.of(
        {
            "GITHUB_RUN_ID": "5",
            "GITHUB_RUN_ATTEMPT": "2",
            "GITHUB_REPOSITORY": "org/app",
            "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_ACTOR": "first",
            "GITHUB_TRIGGERING_ACTOR": "second",
        }
    )
    assert found == Run("5", "2", "https://github.com/org/app/actions/runs/5/attempts/2", "second")
    assert Run.of({}) == Run()


def test_page_of_a_run_is_made_of_its_numbers_whatever_url_the_record_has() -> None:
    here = {"GITHUB_SERVER_URL": "https://github.example.com/", "GITHUB_REPOSITORY": "org/new-name"}
    elsewhere = "https://evil.example.com/org/app/actions/runs/5"
    assert Run("5", "2", elsewhere).page(here) == "https://github.example.com/org/new-name/actions/runs/5/attempts/2"
    assert Run("5", "", elsewhere).page(here) == "https://github.example.com/org/new-name/actions/runs/5"
    assert Run("5/../../evil", "1", elsewhere).page(here) == ""
    assert Run("5", "1", elsewhere).page({}) == ""


def test_judged_are_verdicts_and_neither_deploys_nor_locks() -> None:
    judged = {task for task in Task if Record(task, "", "", "", {}).judged}
    assert judged == {Task.PASSED, Task.QUARANTINED}


@pytest.mark.parametrize("change", [{"kind": "release"}, {"until": "tomorrow"}, {"until": "2099-01-01T00:00:00"}])
def test_read_lock_that_says_neither_what_nor_until_when_is_not_a_record(change: dict[str, str]) -> None:
    commit = "1" * 40
    payload = Record(Task.LOCK, "org/app", "staging", commit, {}, kind="lock", until="2099-01-01T00:00:00Z").payload()
    deployment = {"id": 1, "task": "cicd-actions:lock", "sha": commit}
    assert read({**deployment, "payload": payload}).locks(0.0)
    with pytest.raises(NotARecord):
        read({**deployment, "payload": {**payload, **change}})
