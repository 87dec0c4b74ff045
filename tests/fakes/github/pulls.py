"""Git commits, branches and pull requests. Commits are made in the git repository that `deployments.kept` names."""

from __future__ import annotations

import subprocess
from typing import Any

from tests.fakes.github.comments import WHEN, user
from tests.fakes.github.deployments import kept, minimal
from tests.fakes.github.server import Answer, Call, FakeGitHub, Refusal, route


def pulls(github: FakeGitHub, repository: str) -> list[dict[str, Any]]:
    """The pull requests of the repository, oldest first."""
    known: dict[str, list[dict[str, Any]]] = github.state.setdefault("pulls", {})
    return known.setdefault(repository, [])


def _git(call: Call, *words: str, text: str = "") -> str:
    folder = kept(call.github, call.repository).git
    if folder is None:
        raise Refusal(409, "Git Repository is empty.")
    who = ["-c", "user.name=A Bot", "-c", "user.email=bot@example.com"]
    done = subprocess.run(["git", "-C", str(folder), *who, *words], input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Refusal(404 if words[0] in {"log", "rev-parse"} else 422, "Not Found")
    return done.stdout.strip()


def _commit(call: Call, sha: str) -> dict[str, Any]:
    tree, parents, message = _git(call, "log", "-1", "--format=%T%n%P%n%B", sha, "--").split("\n", 2)
    here = f"{call.github.url}/repos/{call.repository}/git"
    person = {"name": "A Bot", "email": "bot@example.com", "date": WHEN}
    return {
        "sha": sha,
        "node_id": f"C_{sha}",
        "url": f"{here}/commits/{sha}",
        "html_url": f"https://github.com/{call.repository}/commit/{sha}",
        "author": person,
        "committer": person,
        "message": message.strip(),
        "tree": {"sha": tree, "url": f"{here}/trees/{tree}"},
        "parents": [
            {"sha": each, "url": f"{here}/commits/{each}", "html_url": "https://github.com"} for each in parents.split()
        ],
        "verification": {"verified": False, "reason": "unsigned", "signature": None, "payload": None, "verified_at": None},
    }


def _reference(call: Call, name: str, sha: str) -> dict[str, Any]:
    here = f"{call.github.url}/repos/{call.repository}/git"
    target = {"type": "commit", "sha": sha, "url": f"{here}/commits/{sha}"}
    return {"ref": name, "node_id": f"REF_{name}", "url": f"{here}/{name}", "object": target}


@route("GET", "/repos/{owner}/{repo}/git/commits/{commit_sha}", "contents")
def get_git_commit(call: Call) -> Answer:
    return Answer(200, _commit(call, call.arguments["commit_sha"]))


@route("POST", "/repos/{owner}/{repo}/git/commits", "contents", "write")
def create_git_commit(call: Call) -> Answer:
    parents = [word for sha in call.body["parents"] for word in ("-p", sha)]
    return Answer(201, _commit(call, _git(call, "commit-tree", call.body["tree"], *parents, text=call.body["message"])))


@route("POST", "/repos/{owner}/{repo}/git/refs", "contents", "write")
def create_reference(call: Call) -> Answer:
    name, sha = call.body["ref"], call.body["sha"]
    if _git(call, "for-each-ref", "--format=%(refname)", name):
        raise Refusal(422, "Reference already exists")
    _git(call, "update-ref", name, sha)
    return Answer(201, _reference(call, name, sha))


@route("GET", "/repos/{owner}/{repo}/pulls", "pull_requests")
def list_pulls(call: Call) -> Answer:
    state, head = call.query.get("state", "open"), call.query.get("head")
    found = [
        each
        for each in reversed(pulls(call.github, call.repository))
        if state in {"all", each["state"]} and head in {None, each["head"]["label"]}
    ]
    if call.query.get("sort") == "updated":
        found.sort(key=lambda each: each["updated_at"], reverse=call.query.get("direction", "asc") == "desc")
    shown, headers = call.page(found)
    return Answer(200, list(shown), headers)


@route("POST", "/repos/{owner}/{repo}/pulls", "pull_requests", "write")
def create_pull(call: Call) -> Answer:
    made, head = pulls(call.github, call.repository), call.body["head"]
    owner, _, _ = call.repository.partition("/")
    tips = {name: _git(call, "rev-parse", "--verify", f"refs/heads/{name}") for name in (head, call.body["base"])}
    if any(each["head"]["ref"] == head and each["state"] == "open" for each in made):
        raise Refusal(422, "Validation Failed", errors=[{"message": f"A pull request already exists for {owner}:{head}."}])
    number = len(made) + 1
    sides = {
        side: {"label": f"{owner}:{name}", "ref": name, "sha": tips[name]}
        for side, name in (("head", head), ("base", call.body["base"]))
    }
    text = {"title": call.body["title"], "body": call.body.get("body")}
    made.append(_pull(call.github, call.repository, number, user(call.token.login, "Bot"), sides, text))
    return Answer(201, made[-1])


def merged(github: FakeGitHub, repository: str, time: str, *, login: str = "octocat", bot: bool = False) -> dict[str, Any]:
    """A pull request that was merged at a time."""
    made, owner = pulls(github, repository), repository.partition("/")[0]
    sides = {
        side: {"label": f"{owner}:{name}", "ref": name, "sha": "0" * 40} for side, name in (("head", "topic"), ("base", "main"))
    }
    account = user(login, "Bot" if bot else "User")
    pull = _pull(github, repository, len(made) + 1, account, sides, {"title": "A change", "body": None})
    pull |= {"state": "closed", "merged_at": time, "closed_at": time, "updated_at": time, "merged": True}
    made.append(pull)
    return pull


def _pull(
    github: FakeGitHub, repository: str, number: int, author: dict[str, Any], sides: dict[str, Any], text: dict[str, Any]
) -> dict[str, Any]:
    page, here = f"https://github.com/{repository}/pull/{number}", f"{github.url}/repos/{repository}"
    links = ("comments", "commits", "statuses", "html", "issue", "review_comments", "review_comment", "self")
    nothing = ("assignee", "closed_at", "merged_at", "milestone", "auto_merge", "merge_commit_sha", "merged_by", "mergeable")
    counts = ("additions", "changed_files", "comments", "commits", "deletions", "review_comments")
    urls = ("comments", "commits", "diff", "issue", "patch", "review_comment", "review_comments", "statuses")
    return {
        "id": 9000 + number,
        "node_id": f"PR_{number}",
        "number": number,
        "url": f"{here}/pulls/{number}",
        "html_url": page,
        "state": "open",
        "locked": False,
        **text,
        "user": author,
        "labels": [],
        "created_at": WHEN,
        "updated_at": WHEN,
        "author_association": "NONE",
        "merged": False,
        "mergeable_state": "unknown",
        "maintainer_can_modify": False,
        "_links": {name: {"href": f"{page}/{name}"} for name in links},
        **{side: {**about, "user": author, "repo": _whole(github, repository)} for side, about in sides.items()},
        **dict.fromkeys(nothing),
        **dict.fromkeys(counts, 0),
        **{f"{name}_url": f"{page}/{name}" for name in urls},
    }


def _whole(github: FakeGitHub, repository: str) -> dict[str, Any]:
    """The repository in GitHub's longer form."""
    page = f"https://github.com/{repository}"
    return {
        **minimal(github, repository),
        **{f"{name}_url": page for name in ("clone", "git", "ssh", "svn")},
        **dict.fromkeys(
            ("has_downloads", "has_issues", "has_projects", "has_wiki", "has_pages", "archived", "disabled"), False
        ),
        **dict.fromkeys(("forks", "forks_count", "open_issues", "open_issues_count", "size", "watchers", "watchers_count"), 0),
        **dict.fromkeys(("homepage", "language", "mirror_url", "license")),
        "stargazers_count": 0,
        "default_branch": "main",
        "pushed_at": WHEN,
        "created_at": WHEN,
        "updated_at": WHEN,
    }
