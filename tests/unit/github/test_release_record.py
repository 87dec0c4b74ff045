from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd_actions.github.release_record import (
    MAC_ROOM,
    PAYLOAD_LIMIT,
    NotARecord,
    Record,
    Revision,
    Run,
    Task,
    digest_of,
    is_sha,
    lock_described,
    now,
    read,
    time_of,
    who,
    written,
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


def payload(task: Task = Task.PASSED, /, **more: Any) -> dict[str, Any]:
    verdict = {Task.PASSED: "pass", Task.QUARANTINED: "fail"}.get(task, "")
    return Record(task, "a", "s", SHA, {"api": DIGEST}, verdict=verdict).payload() | more


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ("nothing", "the deployment is not an object"),
        (deployment({}, task="deploy"), "another tool's task"),
        ({"id": 7, "sha": SHA, "payload": payload()}, "another tool's task"),
        (deployment("{"), "its payload is not JSON"),
        (deployment(""), "its payload is not JSON"),
        (deployment("[" * 200_000), "its payload is not JSON"),
        (deployment("[]"), "the payload is not an object"),
        ({"id": 7, "task": "cicd-actions:passed", "sha": SHA}, "the payload is not an object"),
        (deployment({"schema": 2}), "its payload has schema 2, not 1"),
        (deployment(payload(services=[])), "services is not an object"),
        (deployment(payload(services={"api": ""})), "a name or an image that is not text"),
        (deployment(payload(services={"api": 7})), "a name or an image that is not text"),
        (deployment(payload(services={"": DIGEST})), "a name or an image that is not text"),
        (deployment(payload(database=[""])), "a name or an image that is not text"),
        (deployment(payload(attestations=7)), "attestations is not an object"),
        (deployment(payload(attestations={"api": 7})), "a name or an image that is not text"),
        (deployment(payload(run="7")), "run is not an object"),
        (deployment(payload(run={"id": 7})), "`id` is not text"),
        (deployment(payload(revisions={})), "`revisions` is not a list"),
        (deployment(payload(revisions=["0001"])), "a revision is not an object"),
        (deployment(payload(revisions=[{"phase": 7}])), "`phase` is not text"),
        (deployment(payload(database="0001")), "`database` is not a list"),
        (deployment(payload(deployment=-1)), "`deployment` is not a number"),
        (deployment(payload(deployment=True)), "`deployment` is not a number"),
        (deployment(payload(**{"revisions-dropped": "1"})), "`revisions-dropped` is not a number"),
        ({**deployment(payload()), "id": "7"}, "`id` is not a number"),
        *((deployment(payload(**{key: 7})), f"`{key}` is not text") for key in (
            "app", "environment", "sha", "verdict", "reason", "kind", "until", "at",
        )),
        (deployment(payload(), sha="2" * 40), "its payload names another commit than the Deployment"),
        (deployment(payload(sha="main"), sha="main"), "its payload names another commit than the Deployment"),
        (deployment(payload(verdict="fail")), "its verdict does not fit its task, or it names no services"),
        (deployment(payload(services={})), "its verdict does not fit its task, or it names no services"),
        (
            deployment(payload(), task="cicd-actions:quarantined"),
            "its verdict does not fit its task, or it names no services",
        ),
        (
            deployment(payload(Task.LOCK), task="cicd-actions:lock"),
            "it neither locks nor unlocks nor announces a rollback, or does not say until when",
        ),
        (deployment(payload(kind="hotfix")), "its kind does not fit its task"),
        (deployment(payload(kind="abandoned")), "its kind does not fit its task"),
        (
            deployment(payload(Task.DEPLOY, kind="lock"), task="cicd-actions:deploy"),
            "its kind does not fit its task",
        ),
    ],
)  # fmt: skip
def test_what_is_no_record_says_why(broken: Any, why: str) -> None:
    with pytest.raises(NotARecord) as refused:
        read(broken)
    assert str(refused.value) == why


def test_read_fields_that_a_payload_leaves_out_are_empty() -> None:
    least = {"schema": 1, "sha": SHA, "services": {}}
    found = read({"task": "cicd-actions:deploy", "sha": SHA, "payload": least})
    assert found == Record(Task.DEPLOY, "", "", SHA, {})
    assert (found.id, found.at, found.kind) == (0, "", "release")
    assert set(payload(Task.DEPLOY)) == {"schema", "app", "environment", "sha", "services", "kind"}
    assert Record(Task.LOCK, "a", "s", SHA, {}).payload()["services"] == {}


def test_read_quarantine_and_deploy_without_services() -> None:
    failed = payload(Task.QUARANTINED)
    assert read(deployment(failed, task="cicd-actions:quarantined")).task is Task.QUARANTINED
    assert read(deployment(payload(Task.DEPLOY, services={}), task="cicd-actions:deploy")).services == {}


def test_record_comes_back_with_attestations_and_counts() -> None:
    whole = Record(
        Task.LOCK, "a", "s", SHA, {"api": DIGEST}, kind="lock", until="2099-01-01T00:00:00Z", revisions_dropped=3,
        attestations={"api": "11"}, at="2026-01-01T00:00:00Z", schema=("0001", "0002"), deployment=9,
    )  # fmt: skip
    found = read({**deployment(whole.payload(), task="cicd-actions:lock")})
    assert (found, found.at, found.id) == (whole, "2026-01-01T00:00:00Z", 7)


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


def of_size(size: int, **more: Any) -> Record:
    """A record of revisions and attestations whose whole payload has this size in bytes."""
    fields: dict[str, Any] = {
        "revisions": tuple(Revision(f"{at:04}", phase, "words") for at, phase in enumerate(("contract", "expand", "expand"))),
        "attestations": {"api": "11"},
        **more,
    }
    short = Record(Task.PASSED, "a", "staging", SHA, {"api": DIGEST}, verdict="pass", **fields)
    return replace(short, app="a" * (1 + size - len(json.dumps(short.payload()).encode())))


LARGEST = PAYLOAD_LIMIT - MAC_ROOM - 1
"""Bytes of the largest payload: with the signature it stays below the limit."""


def test_payload_of_the_largest_size_is_whole_and_one_more_byte_drops_messages_first() -> None:
    whole = of_size(LARGEST).payload()
    assert len(json.dumps(whole).encode()) == LARGEST
    assert [each.get("message") for each in whole["revisions"]] == ["words"] * 3
    assert whole["attestations"] == {"api": "11"}
    trimmed = of_size(LARGEST + 1).payload()
    assert [each["revision"] for each in trimmed["revisions"]] == ["0000", "0001", "0002"]
    assert not any("message" in each for each in trimmed["revisions"])
    assert not {"attestations", "revisions-dropped"} & set(trimmed)


@pytest.mark.parametrize(("more", "kept", "dropped"), [(0, ["0000", "0001", "0002"], 0), (1, ["0000", "0002"], 1)])
def test_payload_without_messages_drops_the_oldest_expand_migration_next(more: int, kept: list[str], dropped: int) -> None:
    bare = tuple(Revision(f"{at:04}", phase) for at, phase in enumerate(("contract", "expand", "expand")))
    found = of_size(LARGEST + more, revisions=bare, attestations={}).payload()
    assert [each["revision"] for each in found["revisions"]] == kept
    assert found.get("revisions-dropped", 0) == dropped


def test_payload_of_contract_migrations_alone_drops_the_oldest_and_counts_on() -> None:
    many = tuple(Revision(f"{at:064}", "contract") for at in range(100))
    found = Record(Task.PASSED, "a", "s", SHA, {"api": DIGEST}, verdict="pass", revisions=many, revisions_dropped=5).payload()
    kept = [each["revision"] for each in found["revisions"]]
    assert kept == [f"{at:064}" for at in range(100 - len(kept), 100)]
    assert found["revisions-dropped"] == 5 + 100 - len(kept)


def test_payload_reason_is_cut_and_shows_what_cannot_be_seen() -> None:
    def reason(text: str) -> str:
        return str(Record(Task.DEPLOY, "a", "s", SHA, {}, reason=text).payload()["reason"])

    assert reason("x" * 300) == "x" * 300
    assert reason("x" * 301) == f"{'x' * 300}… (1 more characters)"
    assert reason("a\x1b[31m") == "a\\x1b[31m"


def test_payload_of_too_many_services_says_what_to_write() -> None:
    services = {f"service-{at}": f"registry.example.com/a/long/name/{at}@{DIGEST}" for at in range(80)}
    with pytest.raises(UnusableInput) as refused:
        Record(Task.PASSED, "app", "staging", SHA, services, verdict="pass").payload()
    assert refused.value.what == "The record of 80 services is larger than 8 KiB."
    assert refused.value.cause == "A record names every service with its image, and the names are too long together."
    assert refused.value.fix == "Give bare digests:\n\n    services: |\n      api=sha256:…"


@pytest.mark.parametrize(
    ("gone", "url"),
    [
        ("", "https://github.example/org/app/actions/runs/5/attempts/2"),
        ("GITHUB_RUN_ATTEMPT", "https://github.example/org/app/actions/runs/5"),
        ("GITHUB_RUN_ID", ""),
        ("GITHUB_REPOSITORY", ""),
        ("GITHUB_SERVER_URL", ""),
    ],
)
def test_run_of_a_step_has_a_url_only_where_all_of_it_is_known(gone: str, url: str) -> None:
    known = {
        "GITHUB_RUN_ID": "5", "GITHUB_RUN_ATTEMPT": "2", "GITHUB_REPOSITORY": "org/app", "GITHUB_ACTOR": "first",
        "GITHUB_SERVER_URL": "https://github.example/",
    }  # fmt: skip
    found = Run.of({name: value for name, value in known.items() if name != gone})
    assert (found.url, found.actor) == (url, "first")
    assert (found.id == "5") == (gone != "GITHUB_RUN_ID")
    assert (found.attempt == "2") == (gone != "GITHUB_RUN_ATTEMPT")


@pytest.mark.parametrize(
    ("url", "repository"),
    [
        ("https://github.example/org/app/actions/runs/5", "org/app"),
        ("http://localhost:8080/org/app/actions/runs/5/attempts/2", "org/app"),
        ("https://github.com/org/app/actions/runs/5/job/7", ""),
        ("https://github.com/org/app/issues/5", ""),
        ("", ""),
    ],
)
def test_run_names_its_repository_by_its_url(url: str, repository: str) -> None:
    assert Run(url=url).repository == repository


def test_lock_holds_until_its_time_or_until_an_unlock() -> None:
    def lock(**fields: Any) -> Record:
        return Record(fields.pop("task", Task.LOCK), "a", "s", SHA, {}, **{"kind": "lock", **fields})

    assert lock().locks(1e12)
    until = lock(until="1970-01-01T00:01:40Z")
    assert (until.locks(99.9), until.locks(100.0)) == (True, False)
    assert not lock(until="soon").locks(0.0)
    assert not lock(kind="unlock").locks(0.0)
    assert not lock(kind="rollback").locks(0.0)
    assert not lock(task=Task.DEPLOY).locks(0.0)


def test_lock_is_described_by_who_when_and_why() -> None:
    lock = Record(Task.LOCK, "a", "s", SHA, {}, reason="r" * 400, run=Run(actor="u" * 70), at="12:00")
    assert who(lock) == f"{'u' * 60}… (10 more characters)"
    assert lock_described(lock) == f"{who(lock)} locked it at 12:00: {'r' * 300}… (100 more characters)"
    assert lock_described(Record(Task.LOCK, "a", "s", SHA, {}, reason="why\x1b", at="12:00")) == (
        "Somebody locked it at 12:00: why\\x1b"
    )


def test_times_are_written_and_read_as_github_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "EST5")
    time.tzset()
    try:
        assert written(1767225600.9) == "2026-01-01T00:00:00Z"
    finally:
        monkeypatch.undo()
        time.tzset()
    assert time_of("2026-01-01T00:00:00Z") == time_of("2026-01-01T01:00:00+01:00") == 1767225600.0
    for unknown in ("2026-01-01T00:00:00", "soon", "", None, 7):
        assert time_of(unknown) is None
    with pytest.raises(ValueError, match="year"):
        written(1e12)
    with pytest.raises(ValueError, match="out of range"):
        written(1e30)
    before = int(time.time())
    assert before <= (time_of(now()) or 0) <= time.time()


def test_identity_is_the_digest_of_each_service_else_its_id() -> None:
    one = Record(Task.PASSED, "a", "s", SHA, {"api": f"r/api@{DIGEST}", "web": "build-7", "cron": DIGEST})
    assert one.identity == {("api", DIGEST), ("web", "build-7"), ("cron", DIGEST)}
    long = "sha512:" + "b" * 128
    assert (digest_of(f"r/a@{long}"), digest_of(f"r/a@{DIGEST}0"), digest_of("r/a@sha256:ab")) == (long, "", "")
    assert (is_sha("a" * 64), is_sha("a" * 41), is_sha("A" * 40)) == (True, False, False)
