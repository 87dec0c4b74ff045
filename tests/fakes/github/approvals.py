"""The reviews of a run's pending deployments."""

from __future__ import annotations

from typing import Any

from tests.fakes.github.server import Answer, Call, FakeGitHub, route
from tests.fakes.github.settings import WHEN


def review(github: FakeGitHub, environment: str, state: str = "approved", user: str = "reviewer") -> None:
    """A person reviewed the run for an environment."""
    found: list[dict[str, Any]] = github.state.setdefault("reviews", [])
    url = f"{github.url}/repos/org/app/environments/{environment}"
    named = {"id": 1, "node_id": "E", "name": environment, "url": url, "html_url": url, "created_at": WHEN, "updated_at": WHEN}
    found.append({"state": state, "comment": "", "environments": [named], "user": _user(github, user)})


def _user(github: FakeGitHub, login: str) -> dict[str, Any]:
    links = (
        "avatar_url", "url", "html_url", "followers_url", "following_url", "gists_url", "starred_url", "subscriptions_url",
        "organizations_url", "repos_url", "events_url", "received_events_url",
    )  # fmt: skip
    known = dict.fromkeys(links, f"{github.url}/users/{login}")
    return {"login": login, "id": 1, "node_id": "U", "gravatar_id": "", "type": "User", "site_admin": False, **known}


@route("GET", "/repos/{owner}/{repo}/actions/runs/{run_id}/approvals", "actions")
def list_approvals(call: Call) -> Answer:
    return Answer(200, call.github.state.get("reviews", []))
