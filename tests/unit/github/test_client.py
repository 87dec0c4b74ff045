from __future__ import annotations

import contextlib
import io
import json
import re
import threading
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from cicd_actions.github.client import MOST_PAGES, GitHub, segment
from cicd_actions.github.errors import Forbidden, NotFound, Permission, Rejected
from cicd_actions.github.proof import Trust
from cicd_actions.github.records import Records
from cicd_actions.toolkit.errors import ActionError, Inconclusive, UnusableInput
from cicd_actions.toolkit.runtime import Runtime
from tests.fakes.github import Answer, Call, FakeGitHub, Refusal, route
from tests.fakes.github import settings as repositories
from tests.harness.drip import STARTS, dripping

SECRETS = Permission("Secrets")
ISSUES = Permission("Issues", "write", job="issues")
PATH = "/repos/org/app/actions/secrets"

Make = Callable[..., GitHub]


@route("POST", "/repos/{owner}/{repo}/labels")
def create_label(call: Call) -> Answer:
    if call.body["name"] == "refused":
        raise Refusal(422, "Validation Failed", errors=[{"resource": "Label", "code": "already_exists"}])
    labels = call.github.state.setdefault("labels", [])
    labels.append(call.body["name"])
    made = {"id": len(labels), "node_id": "L", "url": f"{call.github.url}/l", "name": labels[-1], "color": "aaaaaa"}
    return Answer(201, {**made, "default": False, "description": None})


def label(client: GitHub, name: str, *, repeatable: bool | None = None) -> int:
    path = f"{client.repo}/labels"
    made = client.send("POST", path, "make a label", {"name": name}, needs=ISSUES, repeatable=repeatable)
    return int(made["id"])


@pytest.fixture
def token(github: FakeGitHub) -> str:
    repositories.repository(github, "org/app").own.secrets += ["ONE"]
    return github.token(secrets="read")


def names(client: GitHub, **parameters: int) -> list[str]:
    pages = client.pages(f"{client.repo}/actions/secrets", "list the secrets", needs=SECRETS, **parameters)
    return [entry["name"] for page in pages for entry in page["secrets"]]


def test_all_pages_are_read(github: FakeGitHub, client: Make, token: str) -> None:
    repositories.repository(github, "org/app").own.secrets = [f"N{number:03}" for number in range(250)]
    assert names(client(token)) == [f"N{number:03}" for number in range(250)]
    assert [call.query.get("page", "1") for call in github.calls] == ["1", "2", "3"]
    assert {call.query["per_page"] for call in github.calls} == {"100"}


def test_a_prefix_as_on_enterprise_server(token: str) -> None:
    with FakeGitHub(prefix="/api/v3") as enterprise:
        repositories.repository(enterprise, "org/app").own.secrets = [f"N{number}" for number in range(3)]
        runtime = Runtime({"GITHUB_API_URL": enterprise.url}, io.StringIO())
        found = names(GitHub(enterprise.token(secrets="read"), "org/app", runtime, runtime.deadline(30)), per_page=2)
    assert found == ["N0", "N1", "N2"]


def test_a_missing_permission_is_named(github: FakeGitHub, client: Make, token: str) -> None:
    with pytest.raises(Forbidden) as caught:
        names(client(github.token(contents="read")))
    assert "Could not list the secrets: the token lacks the permission `Secrets: read`" in caught.value.what
    assert "GitHub would accept: secrets=read." in caught.value.cause
    assert "GITHUB_TOKEN can never have it" in caught.value.fix
    assert "    permissions:\n      issues: write" in ISSUES.fix


def test_a_repository_out_of_sight(github: FakeGitHub, client: Make) -> None:
    with pytest.raises(NotFound, match="It does not exist, or the token may not see it"):
        names(client(github.token(secrets="read", repositories=["org/other"])))


def test_a_token_that_is_not_accepted(client: Make) -> None:
    with pytest.raises(UnusableInput, match="GitHub does not accept the token"):
        names(client("ghs_expired"))


def test_a_refusal_tells_its_details(github: FakeGitHub, client: Make) -> None:
    with pytest.raises(Rejected) as caught:
        label(client(github.token()), "refused")
    assert "GitHub refuses it (422). GitHub says: Validation Failed." in caught.value.what
    assert "'code': 'already_exists'" in caught.value.cause


@pytest.mark.parametrize("how", [{"status": 502}, {"drop": True}, {"cut": True}, {"status": 500, "text": "<html>"}])
def test_what_passes_is_tried_again(
    github: FakeGitHub, client: Make, token: str, waits: list[float], how: dict[str, object]
) -> None:
    github.fail("GET", "secrets", times=2, **how)
    assert names(client(token)) == ["ONE"]
    assert len(waits) == 2


def test_attempts_are_bounded(github: FakeGitHub, client: Make, token: str, waits: list[float]) -> None:
    github.fail("GET", "secrets", times=100, status=503)
    with pytest.raises(Inconclusive, match="GitHub answers 503"):
        names(client(token))
    assert len(waits) == 4


def test_a_server_that_is_not_there(client: Make, github: FakeGitHub, token: str) -> None:
    github.fail("GET", "", times=100, drop=True)
    with pytest.raises(Inconclusive, match="cannot be reached"):
        names(client(token, attempts=2))


def test_an_answer_that_breaks_off_is_said(client: Make, github: FakeGitHub, token: str) -> None:
    github.fail("GET", "secrets", times=100, cut=True)
    with pytest.raises(Inconclusive, match="broke off"):
        names(client(token, attempts=2))


def test_a_request_that_this_machine_cannot_send_is_sent_again(
    client: Make, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread(_: threading.Thread) -> None:
        monkeypatch.undo()
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no_thread)
    assert names(client(token)) == ["ONE"]


def test_a_lost_answer_to_a_post_is_not_sent_again(github: FakeGitHub, client: Make) -> None:
    github.fail("POST", "labels", after=True, drop=True)
    with pytest.raises(Inconclusive):
        label(client(github.token()), "one")
    assert github.state["labels"] == ["one"]
    github.fail("POST", "labels", after=True, status=502)
    assert label(client(github.token()), "two", repeatable=True) == 3


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"status": 429, "headers": {"Retry-After": "7"}}, 7.0),
        ({"status": 403, "headers": {"retry-after": "3"}, "message": "You have exceeded a secondary rate limit."}, 3.0),
    ],
)
def test_the_pause_a_server_asks_for_is_kept(
    github: FakeGitHub, client: Make, token: str, waits: list[float], how: dict[str, object], expected: float
) -> None:
    github.fail("POST", "labels", **how)
    label(client(token), "one")
    assert waits == [expected]


def test_a_pause_that_is_no_number_is_passed_over(github: FakeGitHub, client: Make, token: str, waits: list[float]) -> None:
    github.fail("POST", "labels", status=429, headers={"Retry-After": "\u00b2"})  # a digit for `isdigit`
    with pytest.raises(Inconclusive, match=r"ends in 60 s"):
        label(client(token), "one")
    assert waits == []


def test_a_used_up_rate_limit_is_said_at_once(github: FakeGitHub, client: Make, token: str, waits: list[float]) -> None:
    github.remaining = 0
    with pytest.raises(Inconclusive, match=r"rate limit is used up. It ends in 36\d\d s"):
        names(client(token))
    assert waits == []


def test_a_call_ends_with_the_deadline(github: FakeGitHub, client: Make, token: str) -> None:
    fault = github.fail("GET", "secrets", hang=threading.Event())
    with pytest.raises(Inconclusive, match="cannot be reached"):
        names(client(token, seconds=0.2))
    assert fault.hang is not None


@pytest.mark.parametrize("what", STARTS)
def test_an_answer_that_drips_ends_with_the_deadline(what: str) -> None:
    with dripping(what) as address:
        runtime = Runtime({}, io.StringIO())
        with pytest.raises(Inconclusive, match="cannot be reached"):
            names(GitHub("ghs_x", "org/app", runtime, runtime.deadline(0.5), url=f"http://{address}"))


def test_nothing_is_asked_after_the_deadline(github: FakeGitHub, client: Make, token: str) -> None:
    with pytest.raises(Inconclusive, match="the deadline of this action passed"):
        names(client(token, seconds=0))
    assert github.calls == []


@pytest.mark.parametrize("text", ["{", "[1]", "<html>a proxy</html>", "null", '"text"', "\x00"])
def test_an_answer_that_is_not_githubs(github: FakeGitHub, client: Make, token: str, text: str) -> None:
    github.fail("GET", "secrets", status=404, text=text)
    with pytest.raises(Inconclusive):
        names(client(token))


def test_an_answer_without_end(monkeypatch: pytest.MonkeyPatch, client: Make, token: str) -> None:
    monkeypatch.setattr("cicd_actions.github.connection.LARGEST_ANSWER", 20)
    with pytest.raises(Inconclusive, match="does not answer like GitHub's API"):
        names(client(token))


def test_a_redirect_elsewhere_is_not_followed(github: FakeGitHub, client: Make, token: str) -> None:
    github.fail("GET", "secrets", status=301, headers={"Location": "http://elsewhere.invalid/"})
    with pytest.raises(Inconclusive, match="does not answer like GitHub's API"):
        names(client(token))


def test_the_token_is_masked_and_never_shown(client: Make, token: str) -> None:
    made = client(token)
    assert token not in repr(made)
    assert made.runtime.redactor(f"x {token} y") == "x *** y"


@pytest.mark.parametrize("repository", ["", "app", "org/", "/app", "org/app/more", "../.."[:2]])
def test_a_repository_has_two_parts(client: Make, token: str, repository: str) -> None:
    with pytest.raises(UnusableInput, match="is not a repository"):
        client(token, repository=repository)


@pytest.mark.parametrize("url", ["ftp://x", "api.github.com", "https://"])
def test_an_address_that_is_none(url: str) -> None:
    runtime = Runtime({}, io.StringIO())
    with pytest.raises(UnusableInput, match="GITHUB_API_URL"):
        GitHub("t", "o/a", runtime, runtime.deadline(1), url=url)


def test_a_name_from_outside_stays_one_segment() -> None:
    assert segment("../a b/ü") == "..%2Fa%20b%2F%C3%BC"
    assert segment("..") == "%2E%2E"
    assert re.fullmatch(r"[\w%.]+", segment("?#&="))


_KEYS = st.sampled_from(["id", "task", "payload", "environment", "sha", "created_at", "creator", "login", "schema", "app"])
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["cicd-actions:passed", "staging"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=12,
)
_HEADERS = ["Link", "ETag", "Location", "Retry-After", "X-RateLimit-Reset", "X-RateLimit-Remaining", "X-GitHub-Request-Id"]
_SAID = st.tuples(
    st.sampled_from([200, 201, 204, 301, 304, 400, 401, 403, 404, 409, 422, 429, 500, 502]),
    st.dictionaries(
        st.sampled_from(_HEADERS),
        st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=30).map(str.strip)
        | st.sampled_from(["0", "9" * 40, '<http://127.0.0.1:1/x?page=2>; rel="next"', "/elsewhere"]),
    ),
    _JSON.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=20) | st.sampled_from([b"", b"[" * 100_000]),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_SAID, min_size=1, max_size=4))
def test_github_whatever_it_answers_is_read_or_an_error_of_ours(
    httpserver: HTTPServer, answers: list[tuple[int, dict[str, str], bytes]]
) -> None:
    left = list(answers)

    def answer(_request: Request) -> Response:
        status, headers, body = left.pop(0) if len(left) > 1 else left[0]
        return Response(body, status, headers, content_type="application/json")

    httpserver.clear()
    httpserver.expect_request(re.compile(".*")).respond_with_handler(answer)
    runtime = Runtime({"GITHUB_API_URL": httpserver.url_for("")}, io.StringIO(), sleep=lambda _: None)
    client = GitHub("t0ken", "org/app", runtime, runtime.deadline(30))
    with contextlib.suppress(ActionError):
        assert Records(client, "app", Trust()).history("staging", lambda history: bool(history.records)).records == ()
    with contextlib.suppress(ActionError):
        assert len(list(client.pages(PATH, "list the secrets", needs=SECRETS))) <= MOST_PAGES
