"""Comments on issues and pull requests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.fakes.github.server import Answer, Call, FakeGitHub, Refusal, route
from tests.fakes.github.settings import existing

WHEN = "2026-01-01T00:00:00Z"
LONGEST = 65_536


@dataclass
class Comments:
    """The comments of one repository by the number of their issue. A `locked` issue takes none."""

    issues: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    locked: set[int] = field(default_factory=set)


def comments(github: FakeGitHub, repository: str) -> Comments:
    """The comments of the repository `owner/name`."""
    known: dict[str, Comments] = github.state.setdefault("comments", {})
    return known.setdefault(repository, Comments())


def user(login: str, kind: str) -> dict[str, Any]:
    """An account in GitHub's form."""
    url = f"https://api.github.com/users/{login}"
    paths = {
        "followers_url": "followers", "following_url": "following{/other_user}", "gists_url": "gists{/gist_id}",
        "starred_url": "starred{/owner}{/repo}", "subscriptions_url": "subscriptions", "organizations_url": "orgs",
        "repos_url": "repos", "events_url": "events{/privacy}", "received_events_url": "received_events",
    }  # fmt: skip
    return {
        "login": login,
        "id": 1,
        "node_id": "U_1",
        "avatar_url": "https://avatars.example/1",
        "gravatar_id": "",
        "url": url,
        "html_url": f"https://github.com/{login}",
        "type": kind,
        "site_admin": False,
        **{key: f"{url}/{path}" for key, path in paths.items()},
    }


def written(
    github: FakeGitHub,
    repository: str,
    number: int,
    body: str,
    *,
    login: str = "app[bot]",
    kind: str = "Bot",
    role: str = "NONE",
) -> dict[str, Any]:
    """A comment by somebody, as if it had been there."""
    with github.lock:
        id_ = github.state["comment ids"] = github.state.get("comment ids", 7000) + 1
        url = f"{github.url}/repos/{repository}/issues"
        made = {
            "id": id_,
            "node_id": f"IC_{id_}",
            "url": f"{url}/comments/{id_}",
            "html_url": f"https://github.com/{repository}/pull/{number}#issuecomment-{id_}",
            "issue_url": f"{url}/{number}",
            "body": body,
            "user": user(login, kind),
            "created_at": WHEN,
            "updated_at": WHEN,
            "author_association": role,
        }
        comments(github, repository).issues.setdefault(number, []).append(made)
        return made


def _issue(call: Call) -> tuple[Comments, int]:
    existing(call)
    kept, number = comments(call.github, call.repository), int(call.arguments["issue_number"])
    if number not in kept.issues:
        raise Refusal(404, "Not Found")
    return kept, number


def _text(call: Call) -> str:
    body = call.body.get("body")
    if not isinstance(body, str) or not body:
        raise Refusal(422, "Validation Failed", errors=[{"code": "missing_field", "field": "body"}])
    if len(body) > LONGEST:
        raise Refusal(422, "Validation Failed", errors=[{"code": "unprocessable", "field": "body"}])
    return body


@route("GET", "/repos/{owner}/{repo}/issues/{issue_number}/comments", "pull_requests")
def list_comments(call: Call) -> Answer:
    kept, number = _issue(call)
    shown, headers = call.page(kept.issues[number])
    return Answer(200, list(shown), headers)


@route("POST", "/repos/{owner}/{repo}/issues/{issue_number}/comments", "pull_requests", "write")
def create_comment(call: Call) -> Answer:
    kept, number = _issue(call)
    if number in kept.locked:
        raise Refusal(403, "Unable to create comment because issue is locked.")
    return Answer(201, written(call.github, call.repository, number, _text(call)))


@route("PATCH", "/repos/{owner}/{repo}/issues/comments/{comment_id}", "pull_requests", "write")
def update_comment(call: Call) -> Answer:
    existing(call)
    for listed in comments(call.github, call.repository).issues.values():
        for comment in listed:
            if str(comment["id"]) == call.arguments["comment_id"]:
                comment["body"] = _text(call)
                return Answer(200, comment)
    raise Refusal(404, "Not Found")
