"""What is asked of GitHub for records, locks and proofs, and what is sent for a record: each request, and two of each thing."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cicd_actions.github.client import GitHub
from cicd_actions.github.errors import NotFound
from cicd_actions.github.history import History
from cicd_actions.github.kept_pages import KeptPages
from cicd_actions.github.proof import MOST_RUNS, TooManyRuns, Trust
from cicd_actions.github.records import READ, Records
from cicd_actions.github.release_record import Record, Run, Task, now, time_of
from cicd_actions.github.statuses import orphans, set_status
from cicd_actions.toolkit.errors import Inconclusive
from cicd_actions.toolkit.runtime import Runtime
from tests.fakes.github import FakeGitHub, deployments, settings

REPOSITORY = "org/app"
TRUST = Trust(key=b"a key of the environment", repository="1")
BY_RUN = Trust(refs=("main",))
VERDICTS = {Task.PASSED: "pass", Task.QUARANTINED: "fail"}


def sha(number: int) -> str:
    return f"{number:040x}"


def record(number: int, task: Task = Task.PASSED, **more: Any) -> Record:
    given = {"services": {} if task is Task.LOCK else {"api": f"sha256:{number:064x}"}, "verdict": VERDICTS.get(task, "")}
    fields = {"app": REPOSITORY, "environment": "staging", "at": now(), "sha": sha(number), **given, **more}
    return Record(task, **fields)


def lock(number: int, kind: str = "lock", **more: Any) -> Record:
    return record(number, Task.LOCK, kind=kind, **more)


@pytest.fixture
def token(github: FakeGitHub) -> str:
    settings.repository(github, REPOSITORY)
    return github.token(deployments="write", contents="read", actions="read")


@pytest.fixture
def records(client: Callable[..., GitHub], token: str) -> Records:
    return Records(client(token), "", TRUST)


@pytest.fixture
def put(github: FakeGitHub) -> Callable[..., list[int]]:
    """Makes signed records without a request, and returns their ids; `apart` is the exact environment of the Deployment."""

    def made(*several: Record, apart: str = "", trust: Trust = TRUST, creator: str = "deployer[bot]") -> list[int]:
        return [
            deployments.other_tool(
                github, REPOSITORY, apart or each.environment, each.sha, task=each.task.value,
                payload=trust.signed(each), creator=creator,
            )
            for each in several
        ]  # fmt: skip

    return made


Put = Callable[..., list[int]]


def shas(history: History) -> list[str]:
    return [release.sha for release in history.good()]


def anything(history: History) -> bool:
    return bool(history.good())


def asked(github: FakeGitHub) -> list[dict[str, str]]:
    return [{key: value for key, value in call.query.items() if key != "per_page"} for call in github.calls]


def said(records: Records) -> str:
    log = records.github.runtime.log_stream
    assert isinstance(log, io.StringIO)
    return log.getvalue()


class TestWriting:
    def test_record_is_a_deployment_that_merges_nothing_and_waits_for_no_check(
        self, github: FakeGitHub, records: Records
    ) -> None:
        number = records.write(record(1, environment="Staging", at=""))
        (sent,) = [call.body for call in github.calls]
        payload = sent.pop("payload")
        assert sent == {
            "ref": sha(1), "task": "cicd-actions:passed", "auto_merge": False, "required_contexts": [],
            "environment": "staging", "description": f"org/app {sha(1)[:12]} passed its gate",
        }  # fmt: skip
        assert (payload["environment"], time_of(payload["at"]) is not None, "mac" in payload) == ("Staging", True, True)
        assert deployments.kept(github, REPOSITORY).deployments[0]["id"] == number

    @pytest.mark.parametrize(
        ("of", "description"),
        [
            (record(1, Task.QUARANTINED), f"org/app {sha(1)[:12]} failed its gate"),
            (record(1, Task.DEPLOY), f"org/app {sha(1)[:12]} deploying"),
            (record(1, kind="rollback"), f"org/app {sha(1)[:12]} passed its gate (rollback)"),
            (lock(1, run=Run(actor="ann")), "org/app locked by ann"),
            (lock(1, "unlock"), "org/app unlocked by somebody"),
            (lock(1, "rollback", run=Run(actor="a\x1bn")), "org/app rollback announced by a\\x1bn"),
            (lock(1, run=Run(actor="u" * 200)), f"org/app locked by {'u' * 92}… (108 more characters)"),
            (record(1, app="a" * 120), f"{'a' * 110}… (39 more characters)"),
        ],
    )
    def test_record_is_described_for_people(self, github: FakeGitHub, records: Records, of: Record, description: str) -> None:
        records.write(of)
        assert deployments.kept(github, REPOSITORY).deployments[0]["description"] == description

    @pytest.mark.parametrize("answer", ["{}", "[]", '{"id": "7"}'])
    def test_record_that_github_did_not_make_is_inconclusive(self, github: FakeGitHub, records: Records, answer: str) -> None:
        github.fail("POST", "/deployments$", text=answer, status=202)
        with pytest.raises(Inconclusive) as refused:
            records.write(record(1))
        assert refused.value.what == f"Could not record {sha(1)[:12]} in staging: GitHub made no Deployment."

    def test_record_of_a_commit_that_is_not_there_says_what_was_wanted(self, github: FakeGitHub, records: Records) -> None:
        github.fail("POST", "/deployments$", status=404)
        with pytest.raises(NotFound, match=f"record {sha(1)[:12]} in staging"):
            records.write(record(1))

    def test_adopted_release_that_will_not_count_is_refused_and_says_how_to_prove_it(
        self, github: FakeGitHub, client: Callable[..., GitHub], token: str
    ) -> None:
        records = Records(client(token), "", BY_RUN)
        with pytest.raises(Inconclusive) as refused:
            records.write(record(1, kind="adopt"))
        number = deployments.kept(github, REPOSITORY).deployments[0]["id"]
        assert refused.value.what == (
            f"The record {number} of {sha(1)[:12]} in staging will not count: it names no workflow run."
        )  # fmt: skip
        assert refused.value.cause == "A record counts only when its writer is proven."
        assert refused.value.fix == (
            "Use the job's own token, on the default branch:\n\n    with:\n      github-token: ${{ github.token }}\n\n"
            "Or sign the records, here and in the deploys:\n\n    with:\n      record-key: RECORD_KEY"
        )
        records.write(record(2))
        assert "::warning::" in said(records)

    @pytest.mark.parametrize(("app", "alone"), [("", True), (REPOSITORY, True), ("shop", False)])
    def test_status_replaces_older_ones_only_where_the_repository_is_the_app(
        self, github: FakeGitHub, client: Callable[..., GitHub], token: str, put: Put, app: str, alone: bool
    ) -> None:
        (number,) = put(record(1, Task.DEPLOY))
        made = Records(client(token), app, TRUST)
        set_status(made, number, "success", "said\x1b", log_url="https://l", environment_url="https://e")
        assert github.calls[0].path == f"/repos/{REPOSITORY}/deployments/{number}/statuses"
        assert github.calls[0].body == {
            "state": "success", "description": "said\\x1b", "log_url": "https://l", "environment_url": "https://e",
            "auto_inactive": alone,
        }  # fmt: skip
        set_status(made, number, "failure", "d" * 111)
        assert github.calls[1].body["description"] == f"{'d' * 110}… (1 more characters)"

    def test_status_that_cannot_be_set_says_which(self, github: FakeGitHub, records: Records) -> None:
        github.fail("POST", "/statuses$", drop=True)
        github.fail("POST", "/statuses$", status=404)
        with pytest.raises(NotFound, match="set the deployment 7 to error"):
            set_status(records, 7, "error", "x")
        assert len(github.faults) == 2


class TestReading:
    @pytest.mark.parametrize("number", ["9" * 4301, "-" + "9" * 5000], ids=["long", "negative"])
    def test_history_with_a_foreign_payload_that_holds_a_long_number_is_read(
        self, github: FakeGitHub, records: Records, put: Put, client: Callable[..., GitHub], token: str, number: str
    ) -> None:
        put(record(1))
        foreign = deployments.other_tool(github, REPOSITORY, "staging", sha(2), task="deploy", payload={"size": "NUMBER"})
        put(record(3))
        path = f"/repos/{REPOSITORY}/deployments"
        (page,) = client(token).pages(path, "read the page", needs=READ, environment="staging")
        assert [each["id"] for each in page][1] == foreign
        github.fail("GET", "/deployments$", text=json.dumps(page).replace('"NUMBER"', number), status=200)
        assert shas(records.history("staging", lambda _: False)) == [sha(3), sha(1)]

    def test_history_asks_for_both_spellings_of_an_environment_and_a_hundred_at_a_time(
        self, github: FakeGitHub, records: Records, put: Put
    ) -> None:
        put(record(1, environment="Staging"), apart="staging")
        put(record(2, environment="Staging"))
        found = records.history("Staging", anything)
        assert (shas(found), found.complete) == ([sha(2)], False)
        assert asked(github) == [{"environment": "staging"}, {"environment": "Staging"}]
        assert {call.query["per_page"] for call in github.calls} == {"100"}
        assert shas(records.history("Staging", lambda _: False)) == [sha(2), sha(1)]

    def test_history_of_a_name_that_was_spelled_otherwise_is_found_by_task(
        self, github: FakeGitHub, records: Records, put: Put
    ) -> None:
        put(record(1, environment="STAGING"), record(2, environment="production"))
        put(record(3, Task.QUARANTINED, environment="STAGING"))
        found = records.history("staging", anything)
        assert (shas(found), [each.sha for each in found.outcomes]) == ([sha(1)], [sha(3), sha(1)])
        requests = [
            {"environment": "staging"}, {"task": "cicd-actions:passed"}, {"task": "cicd-actions:quarantined"},
        ]  # fmt: skip
        assert asked(github) == requests
        github.calls.clear()
        Records(records.github, "", BY_RUN).history("staging", anything)
        assert asked(github) == requests

    def test_history_that_is_enough_is_not_read_further(self, github: FakeGitHub, records: Records, put: Put) -> None:
        put(record(1), record(2), record(3))
        found = records.history("staging", lambda history: len(history.good()) == 2)
        assert (shas(found), found.complete, len(github.calls)) == ([sha(3), sha(2)], False, 1)
        whole = records.history("staging", lambda history: len(history.good()) == 3)
        assert (shas(whole), whole.complete) == ([sha(3), sha(2), sha(1)], True)
        every = records.history("staging", lambda _: False)
        assert (len(every.good()), every.complete) == (3, True)

    def test_history_of_many_signed_records_is_judged_a_few_times(self, records: Records, put: Put) -> None:
        put(*(record(number) for number in range(1, 71)))
        judged: list[int] = []

        def never_enough(history: History) -> bool:
            judged.append(len(history.records))
            return False

        records.history("staging", never_enough)
        assert judged[:8] == [1, 2, 4, 8, 16, 32, 64, 70]
        assert len(judged) < 20

    def test_history_of_a_full_page_is_usable_where_older_records_would_only_add(
        self, github: FakeGitHub, records: Records, put: Put
    ) -> None:
        put(record(1), *(record(number) for number in range(2, 102)))
        found = records.history("staging", lambda _: False, lambda history: len(history.good()) == 100)
        assert (len(found.good()), found.complete, len(github.calls)) == (100, False, 1)
        github.calls.clear()
        found = records.history("staging", lambda _: False, lambda history: len(history.good()) == 101)
        assert (len(found.good()), found.complete) == (101, True)
        assert asked(github)[1:] == [
            {"environment": "staging", "task": "cicd-actions:passed"},
            {"environment": "staging", "task": "cicd-actions:quarantined"},
            {"environment": "staging", "task": "cicd-actions:deploy"},
            {"environment": "staging", "task": "cicd-actions:passed", "page": "2"},
        ]  # fmt: skip

    def test_history_by_task_of_exactly_a_page_ends_with_it(self, github: FakeGitHub, records: Records, put: Put) -> None:
        put(*(record(number) for number in range(1, 101)))
        deployments.other_tool(github, REPOSITORY, "staging", sha(1))
        found = records.history("staging", lambda _: False)
        assert (len(found.good()), found.complete, len(github.calls)) == (100, True, 4)

    def test_history_by_task_does_not_take_an_adopted_release_for_the_first_while_older_records_are_unread(
        self, records: Records, put: Put
    ) -> None:
        put(record(1), *(record(2, Task.QUARANTINED) for _ in range(60)), record(3, kind="adopt"))
        put(*(record(4, Task.QUARANTINED) for _ in range(60)), *(record(1, app="shop") for _ in range(100)))
        assert shas(records.history("staging", anything)) == [sha(1)]

    @pytest.mark.parametrize("entry", ['"text"', "{}", '{"id": "7"}', '{"id": null}', "[7]"])
    def test_history_by_task_passes_over_a_page_that_is_not_of_deployments(
        self, github: FakeGitHub, records: Records, put: Put, entry: str
    ) -> None:
        put(record(1, Task.QUARANTINED))
        for each in ("{}", entry):
            github.fail("GET", "/deployments$", text=f"[{', '.join([each] * 100)}]", status=200)
        found = records.history("staging", anything)
        assert ([each.sha for each in found.records], found.complete) == ([sha(1)], True)

    @pytest.mark.parametrize("answer", ["{}", "null", '""'])
    def test_history_by_task_of_an_answer_that_is_not_a_list_is_inconclusive(
        self, github: FakeGitHub, records: Records, answer: str
    ) -> None:
        for text in (json.dumps([{}] * 100), answer):
            github.fail("GET", "/deployments$", text=text, status=200)
        with pytest.raises(Inconclusive, match="GitHub's answer is not a list"):
            records.history("staging", anything)

    def test_history_by_task_that_cannot_be_read_says_what_was_wanted(self, github: FakeGitHub, records: Records) -> None:
        github.fail("GET", "/deployments$", text=json.dumps([{}] * 100), status=200)
        github.fail("GET", "/deployments$", status=404)
        with pytest.raises(NotFound, match="list the deployments"):
            records.history("staging", anything)

    def test_history_says_once_which_record_does_not_count(self, github: FakeGitHub, records: Records, put: Put) -> None:
        one, two = put(record(1), record(2), trust=Trust(key=b"another"))
        deployments.other_tool(github, REPOSITORY, "staging", sha(1), payload="{}")
        broken = deployments.other_tool(github, REPOSITORY, "staging", sha(1), task="cicd-actions:passed", payload="{")
        why = "its signature does not fit the key of `record-key`, this repository and its task"
        for _ in range(2):
            found = records.history("staging", anything)
            assert found.passed_over == (
                f"record {broken}: its payload is not JSON", f"record {two}: {why}", f"record {one}: {why}",
            )  # fmt: skip
        assert said(records).count(f"The record {one} does not count: {why}.\n") == 1
        assert said(records).count(f"The record {broken} does not count: its payload is not JSON.\n") == 1
        assert said(records).count("does not count") == 3

    @pytest.mark.parametrize("page", ['["text", {"task": 7, "id": 7}, {"task": "cicd-actions:passed", "id": "7"}]', "[]"])
    def test_history_of_a_page_that_is_not_of_deployments_is_empty(
        self, github: FakeGitHub, records: Records, page: str
    ) -> None:
        github.fail("GET", "/deployments$", text=page, status=200, times=3)
        assert records.history("staging", anything) == History()

    def test_history_of_an_answer_that_is_not_a_list_is_inconclusive(self, github: FakeGitHub, records: Records) -> None:
        github.fail("GET", "/deployments$", text="{}", status=200)
        with pytest.raises(Inconclusive) as refused:
            records.history("staging", anything)
        assert refused.value.what == "Could not list the deployments: GitHub's answer is not a list."

    def test_history_that_cannot_be_read_says_what_was_wanted(self, github: FakeGitHub, records: Records) -> None:
        github.fail("GET", "/deployments$", status=404)
        with pytest.raises(NotFound, match="list the deployments"):
            records.history("staging", anything)

    def test_history_names_other_apps_by_their_releases_and_not_by_their_locks(self, records: Records, put: Put) -> None:
        put(record(1, app="shop"), record(2, app="blog", environment="production"), lock(3, app="desk"))
        assert records.history("staging", anything).apps == frozenset({"shop"})

    def test_of_sha_of_too_many_runs_is_inconclusive(
        self, github: FakeGitHub, client: Callable[..., GitHub], token: str, put: Put
    ) -> None:
        of_runs = (record(1, run=Run(str(number))) for number in range(1, MOST_RUNS + 2))
        put(*of_runs, trust=BY_RUN, creator="github-actions[bot]")
        with pytest.raises(TooManyRuns):
            Records(client(token), "", BY_RUN).of_sha("staging", sha(1))

    def test_of_sha_asks_for_that_commit_in_both_spellings(self, github: FakeGitHub, records: Records, put: Put) -> None:
        put(record(1, environment="Staging"), record(2, environment="Staging"), record(1, Task.QUARANTINED))
        found = records.of_sha("Staging", sha(1))
        assert ([each.task for each in found.outcomes], found.complete) == ([Task.QUARANTINED, Task.PASSED], True)
        assert asked(github) == [{"environment": each, "sha": sha(1)} for each in ("staging", "Staging")]
        put(*(record(1, Task.DEPLOY) for _ in range(100)))
        assert not records.of_sha("staging", sha(1)).complete

    def test_environments_are_those_of_this_app_in_order(self, github: FakeGitHub, records: Records, put: Put) -> None:
        put(record(1), record(2, environment="eu"), record(3, environment="eu"), record(4, environment="x", app="shop"))
        deployments.other_tool(github, REPOSITORY, "preview", sha(1))
        put(record(5, environment="asia"))
        assert records.environments() == ["asia", "eu", "staging"]
        assert asked(github) == [{}]

    def test_proofs_of_are_the_newest_verdicts_and_what_proves_each(
        self, github: FakeGitHub, records: Records, put: Put
    ) -> None:
        put(record(1), record(2, Task.DEPLOY))
        put(record(3), trust=Trust(key=b"another"))
        put(record(4, Task.QUARANTINED), record(5, environment="production"))
        found = records.proofs_of("staging", 2)
        assert [(each.sha, counts) for each, _, counts in found] == [(sha(4), True), (sha(3), False)]
        assert found[0][1] == "signed with `record-key`"
        assert found[1][1].startswith("its signature does not fit the key")
        assert len(records.proofs_of("staging", 9)) == 3
        tasks = ["cicd-actions:passed", "cicd-actions:quarantined"]
        assert asked(github) == [{"environment": "staging", "task": task} for task in tasks] * 2

    def test_proofs_of_have_the_newest_that_passed_and_each_of_one_commit_however_old_they_are(
        self, records: Records, put: Put
    ) -> None:
        put(record(1), record(2))
        put(*(record(3, Task.QUARANTINED) for _ in range(101)))
        put(*(record(4, Task.DEPLOY) for _ in range(101)))
        found = records.proofs_of("staging", 2)
        assert [(each.sha, counts) for each, _, counts in found] == [(sha(3), True), (sha(3), True), (sha(2), True)]
        assert [each.sha for each, _, _ in records.proofs_of("staging", 2, sha(1))] == [sha(1)]
        assert records.proofs_of("staging", 2, sha(4)) == []

    @pytest.mark.parametrize("environment", ["staging", "STAGING"])
    def test_history_of_too_many_runs_is_usable_where_older_records_would_only_add(
        self, github: FakeGitHub, client: Callable[..., GitHub], token: str, put: Put, environment: str
    ) -> None:
        for number in range(1, MOST_RUNS + 2):
            deployments.run(github, REPOSITORY, number, sha(number))
            of_run = record(number, environment=environment, run=Run(str(number)))
            put(of_run, trust=BY_RUN, creator="github-actions[bot]")
        made = Records(client(token), "", BY_RUN)
        found = made.history("staging", lambda _: False, anything)
        assert (len(found.good()), found.complete) == (MOST_RUNS, False)
        with pytest.raises(TooManyRuns):
            made.history("staging", lambda _: False)

    @pytest.mark.parametrize("records_of_runs", [MOST_RUNS + 1, 101], ids=["page", "pages"])
    def test_history_by_task_of_too_many_runs_is_inconclusive(
        self, client: Callable[..., GitHub], token: str, put: Put, records_of_runs: int
    ) -> None:
        of_runs = (record(number, run=Run(str(number))) for number in range(1, records_of_runs + 1))
        put(*of_runs, trust=BY_RUN, creator="github-actions[bot]")
        put(*(record(1, app="shop") for _ in range(100)))
        with pytest.raises(TooManyRuns):
            Records(client(token), "", BY_RUN).history("staging", lambda _: False)


class TestLocks:
    def test_lock_is_the_newest_of_lock_and_unlock_of_this_app_and_environment(
        self, github: FakeGitHub, records: Records, put: Put
    ) -> None:
        put(lock(1), lock(2, "unlock"), lock(3, environment="production"), lock(4, app="shop"), lock(5, "rollback"))
        found = records.lock("staging")
        assert found is not None
        assert (found.sha, found.kind) == (sha(2), "unlock")
        assert asked(github) == [{"environment": "staging", "task": "cicd-actions:lock"}]
        put(lock(6))
        # It was read: the answer stands for this run of an action.
        assert records.lock("Staging") == found
        assert len(github.calls) == 1

    def test_lock_that_a_commits_history_came_across_is_not_taken_for_the_newest(self, records: Records, put: Put) -> None:
        put(lock(1), lock(2, "unlock"))
        records.of_sha("staging", sha(1))
        found = records.lock("staging")
        assert found is not None
        assert found.kind == "unlock"

    def test_lock_of_an_environment_without_one_is_asked_for_once(self, github: FakeGitHub, records: Records) -> None:
        assert [records.lock("staging") for _ in range(2)] == [None, None]
        assert len(github.calls) == 1

    def test_announced_rollback_behind_a_page_of_locks_is_found(self, records: Records, put: Put) -> None:
        put(lock(1, "rollback"), *(lock(2) for _ in range(100)))
        assert records.lock("staging") is not None
        found = records.announced("staging")
        assert found is not None
        assert found[0].sha == sha(1)

    def test_lock_that_cannot_be_read_says_what_was_wanted(self, github: FakeGitHub, records: Records) -> None:
        github.fail("GET", "/deployments$", status=404)
        with pytest.raises(NotFound, match="list the deployments"):
            records.lock("staging")

    def test_lock_that_is_not_proven_locks_nothing(self, records: Records, put: Put) -> None:
        put(lock(1))
        put(lock(2, "unlock"), trust=Trust(key=b"another"))
        found = records.lock("staging")
        assert found is not None
        assert found.sha == sha(1)

    def test_lock_after_the_history_costs_no_request_unless_older_deployments_may_hide_it(
        self, github: FakeGitHub, records: Records, put: Put, client: Callable[..., GitHub], token: str
    ) -> None:
        put(record(1))
        records.history("staging", anything)
        assert (records.lock("staging"), records.announced("staging"), len(github.calls)) == (None, None, 1)
        put(lock(2), *(record(number) for number in range(3, 103)))
        fresh = Records(client(token), "", TRUST)
        fresh.history("Staging", anything)
        github.calls.clear()
        for _ in range(2):
            found = fresh.lock("staging")
            assert found is not None
            assert found.sha == sha(2)
        assert asked(github) == [{"environment": "staging", "task": "cicd-actions:lock"}]
        put(lock(3))
        near = Records(client(token), "", TRUST)
        near.history("staging", anything)
        github.calls.clear()
        found = near.lock("staging")
        assert (found is not None and found.sha, github.calls) == (sha(3), [])

    def test_announced_rollback_is_the_newest_with_the_time_that_github_gave_it(
        self, github: FakeGitHub, records: Records, put: Put
    ) -> None:
        put(lock(1, "rollback"))
        (number,) = put(lock(2, "rollback"))
        put(lock(3))
        found = records.announced("staging")
        assert found is not None
        kept = next(each for each in deployments.kept(github, REPOSITORY).deployments if each["id"] == number)
        assert (found[0].sha, found[1]) == (sha(2), time_of(kept["created_at"]))
        # The lock comes from the same answer.
        assert records.lock("staging") is not None
        assert len(github.calls) == 1


class TestOrphans:
    def test_orphans_are_looked_for_among_the_newest_twenty_until_two_have_ended(
        self, github: FakeGitHub, records: Records, put: Put
    ) -> None:
        ids = put(*(record(number, Task.DEPLOY) for number in range(1, 23)), record(30))
        history = records.history("staging", lambda _: False)
        github.calls.clear()
        assert [each.id for each in orphans(records, history)] == ids[21:1:-1]
        assert (len(github.calls), github.calls[0].query) == (20, {"per_page": "1"})
        set_status(records, ids[21], "success", "done")
        set_status(records, ids[19], "failure", "done")
        set_status(records, ids[18], "error", "done")
        assert [each.id for each in orphans(records, history)] == [ids[20]]

    @pytest.mark.parametrize("state", ["queued", "in_progress", "pending"])
    def test_orphan_is_what_has_not_ended(self, records: Records, put: Put, state: str) -> None:
        (number,) = put(record(1, Task.DEPLOY))
        set_status(records, number, state, "begun")
        history = records.history("staging", lambda _: False)
        assert [each.id for each in orphans(records, history)] == [number]

    @pytest.mark.parametrize("answer", ["{}", '["text"]', "[]", "[{}]"])
    def test_orphan_is_what_has_no_status_that_can_be_read(
        self, github: FakeGitHub, records: Records, put: Put, answer: str
    ) -> None:
        put(record(1, Task.DEPLOY))
        history = records.history("staging", lambda _: False)
        github.fail("GET", "/statuses$", text=answer, status=200)
        assert len(list(orphans(records, history))) == 1

    def test_statuses_that_cannot_be_read_say_of_which(self, github: FakeGitHub, records: Records, put: Put) -> None:
        (number,) = put(record(1, Task.DEPLOY))
        history = records.history("staging", lambda _: False)
        github.fail("GET", "/statuses$", status=404)
        with pytest.raises(NotFound, match=f"read the statuses of deployment {number}"):
            list(orphans(records, history))


class TestKeptPages:
    @pytest.fixture
    def in_job(self, github: FakeGitHub, waits: list[float], token: str, tmp_path: Path) -> Callable[..., Records]:
        names = ("GITHUB_REPOSITORY", "GITHUB_RUN_ID", "GITHUB_RUN_ATTEMPT", "GITHUB_JOB")
        variables = {**dict.fromkeys(names, "1"), "RUNNER_TEMP": str(tmp_path), "GITHUB_API_URL": github.url}

        def made(trust: Trust = TRUST, repository: str = REPOSITORY) -> Records:
            runtime = Runtime(variables, io.StringIO(), sleep=waits.append)
            return Records(GitHub(token, repository, runtime, runtime.deadline(30)), "", trust)

        return made

    def test_history_that_an_earlier_step_read_serves_when_github_does_not_answer(
        self, github: FakeGitHub, in_job: Callable[..., Records], put: Put
    ) -> None:
        put(record(1), record(2))
        in_job().history("staging", anything)
        github.calls.clear()
        fault = github.fail("GET", "/deployments$", status=502, times=99)
        later = in_job()
        found = later.history("staging", lambda history: len(history.good()) == 2, or_kept=True)
        assert shas(found) == [sha(2), sha(1)]
        assert "Using the records that an earlier step of this job read." in said(later)
        assert 99 - fault.times == 4
        # GitHub is not asked for more than was kept, since nothing is older.
        assert shas(in_job().history("staging", lambda _: False, or_kept=True)) == [sha(2), sha(1)]
        with pytest.raises(Inconclusive):
            in_job().history("production", anything, or_kept=True)
        # A lock that was set since then is not in it.
        with pytest.raises(Inconclusive):
            in_job().history("staging", anything)

    def test_page_that_is_nested_too_deeply_to_be_written_is_read_and_not_kept(
        self, in_job: Callable[..., Records], tmp_path: Path
    ) -> None:
        github = in_job().github
        deep: list[Any] = []
        for _ in range(100_000):
            deep = [deep]
        assert KeptPages(github).newest("/deployments", "staging", lambda _: deep, or_kept=False) == (deep, True)
        assert list(tmp_path.iterdir()) == []

    def test_history_of_a_kept_page_without_what_is_sought_is_inconclusive_while_older_records_are_not_read(
        self, github: FakeGitHub, in_job: Callable[..., Records], put: Put
    ) -> None:
        put(record(1), *(record(2, Task.DEPLOY) for _ in range(100)))
        assert shas(in_job().history("staging", anything)) == [sha(1)]
        github.fail("GET", "/deployments$", status=502, times=99)
        with pytest.raises(Inconclusive):
            in_job().history("staging", anything, or_kept=True)

    def test_history_of_another_repository_is_not_taken_from_a_kept_page(
        self, github: FakeGitHub, in_job: Callable[..., Records], put: Put
    ) -> None:
        put(record(1))
        in_job().history("staging", anything)
        github.fail("GET", "/deployments$", status=502, times=99)
        with pytest.raises(Inconclusive):
            in_job(repository="org/other").history("staging", anything, or_kept=True)

    def test_history_of_unsigned_records_is_always_asked_for(
        self, github: FakeGitHub, in_job: Callable[..., Records], put: Put
    ) -> None:
        put(record(1))
        in_job(BY_RUN).history("staging", lambda _: False)
        github.fail("GET", "/deployments$", status=502, times=99)
        with pytest.raises(Inconclusive):
            in_job(BY_RUN).history("staging", anything)


def test_within_another_client_the_app_and_the_trust_stay(records: Records, client: Callable[..., GitHub], token: str) -> None:
    other = client(token, seconds=1)
    found = Records(records.github, "shop", TRUST).within(other)
    assert (found.github, found.app, found.trust, found.name) == (other, "shop", TRUST, "shop")
    assert records.name == REPOSITORY
