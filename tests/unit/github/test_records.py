from __future__ import annotations

from collections.abc import Callable

import pytest

from cicd_actions.github.client import GitHub
from cicd_actions.github.commits import compare
from cicd_actions.github.errors import Forbidden, NotFound
from cicd_actions.github.history import History, phases
from cicd_actions.github.proof import Trust
from cicd_actions.github.records import Records
from cicd_actions.github.release_record import Record, Revision, Run, Task, now
from cicd_actions.github.statuses import orphans, set_status
from cicd_actions.toolkit.errors import Inconclusive
from tests.fakes.github import FakeGitHub, deployments, settings

Make = Callable[..., GitHub]
REPOSITORY = "org/app"
AT = ""
TRUST = Trust(key=b"a key of the environment", repository="1")


@pytest.fixture(autouse=True)
def _at(monkeypatch: pytest.MonkeyPatch) -> None:
    """The records of a test are written now: a signed time that is much older than the Deployment counts as copied."""
    monkeypatch.setitem(globals(), "AT", now())


def sha(number: int) -> str:
    return f"{number:040x}"


def digest(number: int) -> str:
    return f"sha256:{number:064x}"


def record(
    number: int, task: Task = Task.PASSED, *, environment: str = "staging", app: str = REPOSITORY, **more: object
) -> Record:
    verdict = {Task.PASSED: "pass", Task.QUARANTINED: "fail", Task.DEPLOY: ""}[task]
    fields: dict[str, object] = {"at": AT, "services": {"api": digest(number), "web": digest(1)}, "verdict": verdict, **more}
    return Record(task, app, environment, sha(number), **fields)  # type: ignore[arg-type]


@pytest.fixture
def token(github: FakeGitHub) -> str:
    settings.repository(github, REPOSITORY)
    return github.token(deployments="write", contents="read")


@pytest.fixture
def records(client: Make, token: str) -> Records:
    return Records(client(token), "", TRUST)


def put(github: FakeGitHub, *several: Record) -> None:
    """Records that are there already; a hundred POSTs would only test the stand-in."""
    for each in several:
        deployments.other_tool(github, REPOSITORY, each.environment, each.sha, task=each.task.value, payload=TRUST.signed(each))


def good(history: History) -> bool:
    return bool(history.good())


def last_good(history: History) -> Record | None:
    return next((release.record for release in history.good()), None)


def requests(github: FakeGitHub, verb: str = "GET") -> int:
    return sum(call.verb == verb for call in github.calls)


def test_a_written_record_is_last_good_in_one_request(github: FakeGitHub, records: Records) -> None:
    number = records.write(record(1))
    found = last_good(records.history("staging", good))
    assert found == record(1)
    assert found is not None
    assert found.id == number
    assert requests(github) == 1


def test_the_newest_good_release_is_found_whatever_failed_since(records: Records) -> None:
    for each in (
        record(1),
        record(2),
        record(3, Task.QUARANTINED),
        record(4, Task.DEPLOY),
        record(2, environment="production"),
    ):
        records.write(each)
    history = records.history("staging", good)
    assert last_good(history) == record(2)


def test_a_release_is_quarantined_until_it_passes_again(records: Records) -> None:
    records.write(record(1))
    records.write(record(2))
    records.write(record(2, Task.QUARANTINED))
    history = records.history("staging", good)
    assert last_good(history) == record(1)
    records.write(record(2))
    history = records.history("staging", good)
    assert last_good(history) == record(2)


def test_an_image_that_did_not_change_is_not_quarantined_with_the_release_that_failed(records: Records) -> None:
    records.write(record(1))
    failed = record(2, Task.QUARANTINED)
    assert failed.services["web"] == record(1).services["web"]
    records.write(failed)
    assert last_good(records.history("staging", good)) == record(1)


def test_opaque_images_are_told_apart_by_their_id(records: Records) -> None:
    records.write(record(1, services={"api": "build-1"}))
    records.write(record(2, services={"api": "build-2"}))
    records.write(record(2, Task.QUARANTINED, services={"api": "build-2"}))
    found = last_good(records.history("staging", good))
    assert found is not None
    assert found.services == {"api": "build-1"}


def test_apps_of_one_repository_do_not_see_each_other(client: Make, token: str) -> None:
    one, two = Records(client(token), "shop", TRUST), Records(client(token), "blog", TRUST)
    one.write(record(1, app="shop"))
    two.write(record(2, app="blog"))
    assert last_good(one.history("staging", good)) == record(1, app="shop")
    assert last_good(two.history("staging", good)) == record(2, app="blog")


def test_behind_hundreds_of_other_deployments_the_record_is_found(github: FakeGitHub, records: Records) -> None:
    for number in range(1, 6):
        records.write(record(number))
    records.write(record(5, Task.QUARANTINED))
    for number in range(450):
        deployments.other_tool(github, REPOSITORY, "staging", sha(number), payload='{"web": true}')
    github.calls.clear()
    assert last_good(records.history("staging", good)) == record(4)
    assert requests(github) <= 4


def test_behind_hundreds_of_own_deployments_the_record_is_found(github: FakeGitHub, records: Records) -> None:
    put(github, record(1))
    for number in range(2, 150):
        put(github, record(number, Task.DEPLOY), record(number, Task.QUARANTINED))
    assert last_good(records.history("staging", good)) == record(1)
    # One page of everything, then one of each task, then the rest of the quarantined ones: of the deploys one page is enough.
    assert requests(github) == 1 + 3 + 1


@pytest.mark.parametrize(("sought", "pages"), [(120, 2), (150, 1)], ids=["in the page", "last of the page"])
def test_pages_are_read_only_as_far_as_needed(github: FakeGitHub, records: Records, sought: int, pages: int) -> None:
    put(github, *(record(number) for number in range(1, 350)))
    for _ in range(120):
        deployments.other_tool(github, REPOSITORY, "staging", sha(1))
    history = records.history("staging", lambda history: bool(history.of_sha(sha(sought))))
    assert history.of_sha(sha(sought))
    assert history.complete is False
    # One page of everything, then one of each task, then the passed ones back to the one sought.
    assert requests(github) == 1 + 3 + pages


def test_a_first_deployment_costs_one_request(github: FakeGitHub, records: Records) -> None:
    deployments.other_tool(github, REPOSITORY, "staging", sha(1))
    history = records.history("staging", good)
    assert history == History()
    assert history.complete
    # One more for each task, whatever the environment is called: its name may have been spelled otherwise.
    assert requests(github) == 3


@pytest.mark.parametrize(
    "payload", ["", "{", "[]", {}, {"schema": 1}, {"schema": 1, "app": REPOSITORY, "environment": "staging"}]
)
def test_a_record_someone_else_wrote_is_passed_over(github: FakeGitHub, records: Records, payload: object) -> None:
    records.write(record(1))
    deployments.other_tool(github, REPOSITORY, "staging", sha(2), task="cicd-actions:passed", payload=payload)
    assert last_good(records.history("staging", good)) == record(1)


def test_a_lost_answer_is_written_again(github: FakeGitHub, records: Records, waits: list[float]) -> None:
    github.fail("POST", "/deployments$", drop=True, after=True)
    records.write(record(1))
    assert len(deployments.kept(github, REPOSITORY).deployments) == 2
    assert [each.record for each in records.history("staging", good).good()] == [record(1)]
    assert len(waits) == 1


def test_a_missing_permission_is_named(client: Make, github: FakeGitHub, token: str) -> None:
    records = Records(client(github.token(contents="read", deployments="read")), "", TRUST)
    with pytest.raises(Forbidden, match="`Deployments: write`") as refused:
        records.write(record(1))
    assert "permissions:\n      deployments: write" in refused.value.fix


def test_a_deploy_lost_with_its_run_is_found_once_it_is_behind(github: FakeGitHub, records: Records) -> None:
    ids = [records.write(record(number, Task.DEPLOY)) for number in range(1, 8)]
    for number, state in zip(ids, ["success", "success", "in_progress", "", "failure", "error", "success"], strict=True):
        if state:
            set_status(records, number, state, "said")
    history = records.history("staging", good)
    # Two ended ones in a row are where an earlier start had looked already.
    assert [each.id for each in orphans(records, history)] == []
    for number in ids[5:]:
        set_status(records, number, "in_progress", "again")
    assert [each.id for each in orphans(records, history)] == [ids[6], ids[5], ids[3], ids[2]]


def test_a_long_description_and_a_second_app(github: FakeGitHub, client: Make, token: str) -> None:
    records = Records(client(token), "shop", TRUST)
    one = records.write(record(1, Task.DEPLOY, app="shop"))
    set_status(records, one, "success", "word " * 100, log_url="https://github.com/org/app/actions/runs/1")
    status = deployments.kept(github, REPOSITORY).statuses[one][0]
    assert len(status["description"]) <= 140
    two = records.write(record(2, Task.DEPLOY, app="shop"))
    set_status(records, two, "success", "done")
    assert [each["state"] for each in deployments.kept(github, REPOSITORY).statuses[one]] == ["success"]


def test_unjudged_second_attempt_of_a_run_is_not_judged_by_the_first() -> None:
    first, again = Run("5", "1"), Run("5", "2")
    begun, ended = record(2, Task.DEPLOY, run=first, id=1), record(2, Task.QUARANTINED, run=first, id=2)
    assert History.of([begun, ended]).unjudged() is None
    assert History.of([begun, ended, record(2, Task.DEPLOY, run=again, id=3)]).unjudged() == record(2, Task.DEPLOY, run=again)


def test_the_database_is_known_until_a_deploy_that_was_never_judged(records: Records) -> None:
    records.write(record(1, Task.DEPLOY))
    records.write(record(1, schema=("0005",), revisions=(Revision("0005", "contract"),)))
    history = records.history("staging", good)
    assert history.database() == ("0005",)
    assert phases(history.records) == {"0005": "contract"}
    records.write(record(2, Task.DEPLOY))
    assert records.history("staging", good).database() == ()


class TestCompare:
    @pytest.fixture(autouse=True)
    def line(self, github: FakeGitHub) -> None:
        deployments.commits(
            github, REPOSITORY, [sha(number) for number in range(1, 6)], messages=["One\n\nBody", "Two", "Three"]
        )
        deployments.commits(github, REPOSITORY, [sha(77)], after=sha(2))

    @pytest.mark.parametrize(
        ("base", "head", "status", "total", "behind"),
        [
            (1, 3, "ahead", 2, 0),
            (3, 1, "behind", 0, 2),
            (77, 4, "diverged", 2, 1),
            (2, 2, "identical", 0, 0),
            (99, 2, "unknown", 0, 0),
        ],
    )
    def test_where_a_commit_stands(
        self, client: Make, token: str, base: int, head: int, status: str, total: int, behind: int
    ) -> None:
        found = compare(client(token), sha(base), sha(head))
        assert (found.status, found.total, found.behind) == (status, total, behind)

    def test_the_commits_between(self, client: Make, token: str) -> None:
        found = compare(client(token), sha(1), sha(3), commits=100)
        assert [(each.sha, each.title, each.author) for each in found.commits] == [
            (sha(2), "Two", "A Person"),
            (sha(3), "Three", "A Person"),
        ]

    def test_a_commit_that_is_not_there(self, client: Make, token: str) -> None:
        with pytest.raises(NotFound, match="Contents: read"):
            compare(client(token), sha(1), sha(99))

    @pytest.mark.parametrize("text", ["[]", '{"status": ["ahead"]}', '{"status": {}}'])
    def test_an_answer_that_says_nothing(self, github: FakeGitHub, client: Make, token: str, text: str) -> None:
        github.fail("GET", "/compare/", text=text, status=200)
        with pytest.raises(Inconclusive, match="no status of the comparison"):
            compare(client(token), sha(1), sha(3))

    @pytest.mark.parametrize("commits", ["true", "{}", "[null, 7]"])
    def test_commits_that_are_no_list_of_objects(self, github: FakeGitHub, client: Make, token: str, commits: str) -> None:
        github.fail("GET", "/compare/", text=f'{{"status": "ahead", "total_commits": 2, "commits": {commits}}}', status=200)
        found = compare(client(token), sha(1), sha(3), commits=100)
        assert (found.status, found.total, found.commits) == ("ahead", 2, ())

    @pytest.mark.parametrize("number", ["null", "1e999", "9" * 5000, "NaN", '"2"'])
    def test_counts_that_are_no_whole_numbers(self, github: FakeGitHub, client: Make, token: str, number: str) -> None:
        text = f'{{"status": "ahead", "total_commits": {number}, "behind_by": {number}}}'
        github.fail("GET", "/compare/", text=text, status=200)
        found = compare(client(token), sha(1), sha(3))
        assert (found.status, found.total, found.behind) == ("ahead", 0, 0)


def test_a_rollback_to_an_older_release_counts_before_releases_in_between(github: FakeGitHub, records: Records) -> None:
    put(github, record(1), record(2), record(3, Task.QUARANTINED), record(1, kind="rollback"), record(4, Task.QUARANTINED))
    found = last_good(records.history("staging", good))
    assert found is not None
    assert (found.sha, found.kind) == (sha(1), "rollback")


def test_a_rollback_to_a_release_behind_the_first_page_counts_too(github: FakeGitHub, records: Records) -> None:
    put(github, record(1), *(record(n, Task.DEPLOY) for n in range(10, 110)), record(2), record(1, kind="rollback"))
    found = last_good(records.history("staging", good))
    assert found is not None
    assert (found.sha, found.kind) == (sha(1), "rollback")


@pytest.mark.parametrize("between", [0, 100])
def test_an_adopted_release_counts_only_as_the_first_however_few_records_are_needed(
    github: FakeGitHub, records: Records, between: int
) -> None:
    put(github, record(1), *(record(n, Task.DEPLOY) for n in range(10, 10 + between)), record(66, kind="adopt"))
    found = last_good(records.history("staging", good))
    assert found is not None
    assert found.sha == sha(1)


def test_an_adopted_release_counts_where_nothing_passed_before_it(github: FakeGitHub, records: Records) -> None:
    put(github, *(record(n, Task.DEPLOY) for n in range(10, 110)), record(1, kind="adopt"), record(2, Task.QUARANTINED))
    found = last_good(records.history("staging", good))
    assert found is not None
    assert found.sha == sha(1)
