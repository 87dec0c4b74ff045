"""Deployments, their statuses, workflow runs, commits, and the comparison of two commits."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from tests.fakes.github.comments import user
from tests.fakes.github.server import Answer, Call, FakeGitHub, Refusal, route
from tests.fakes.github.settings import existing, repository

ZERO = "0" * 40


@dataclass
class Commit:
    sha: str
    parents: tuple[str, ...] = ()
    message: str = "A change"
    at: str = ""
    """When it was committed; now where it is empty."""

    files: tuple[str, ...] = ()
    """The paths that it changed, for a comparison."""


@dataclass
class Kept:
    """What is kept of one repository. Without commits every SHA is taken for one that exists."""

    deployments: list[dict[str, Any]] = field(default_factory=list)
    statuses: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    commits: dict[str, Commit] = field(default_factory=dict)
    runs: dict[int, dict[str, Any]] = field(default_factory=dict)
    git: Path | None = None
    """A repository to ask for commits that are not in `commits`."""

    def commit(self, sha: str) -> Commit | None:
        if sha in self.commits or self.git is None:
            return self.commits.get(sha)
        asked = ["git", "-C", str(self.git), "log", "-1", "--format=%P%n%B", sha, "--"]
        found = subprocess.run(asked, capture_output=True, text=True, check=False)
        if found.returncode != 0:
            return None
        parents, _, message = found.stdout.partition("\n")
        self.commits[sha] = Commit(sha, tuple(parents.split()), message.strip())
        return self.commits[sha]

    @property
    def knows_commits(self) -> bool:
        return bool(self.commits) or self.git is not None

    def ancestors(self, sha: str) -> list[str]:
        """The commit and all before it, newest first."""
        found: dict[str, None] = {}
        waiting = [sha]
        while waiting:
            now = waiting.pop(0)
            commit = self.commit(now)
            if commit is not None and now not in found:
                found[now] = None
                waiting += commit.parents
        return list(found)


def kept(github: FakeGitHub, repository: str) -> Kept:
    """The deployments of the repository `owner/name`."""
    known: dict[str, Kept] = github.state.setdefault("deployments", {})
    return known.setdefault(repository, Kept())


def commits(github: FakeGitHub, repository: str, line: Iterable[str], *, after: str = "", messages: Iterable[str] = ()) -> None:
    """A line of commits by their SHAs, oldest first; the first one's parent is `after`."""
    said = list(messages)
    parent = after
    for at, sha in enumerate(line):
        message = said[at] if at < len(said) else f"Change {sha[:4]}"
        kept(github, repository).commits[sha] = Commit(sha, (parent,) if parent else (), message)
        parent = sha


def other_tool(
    github: FakeGitHub,
    repository: str,
    environment: str,
    sha: str,
    *,
    task: str = "deploy",
    payload: Any = "",
    creator: str = "deployer[bot]",
) -> int:
    """A deployment that another tool, App or person made; its id."""
    made = {"ref": sha, "environment": environment, "task": task, "payload": payload}
    return int(_make(github, repository, sha, made, creator)["id"])


def run(
    github: FakeGitHub,
    repository: str,
    number: int,
    sha: str,
    *,
    branch: str = "main",
    event: str = "push",
    path: str = ".github/workflows/pipeline.yml",
    head: str = "",
    ended: str = "",
) -> dict[str, Any]:
    """A workflow run of the commit; `head` is the repository of its commit (a fork's), `ended` the time when it ended."""
    with github.lock:
        here, page = f"{github.url}/repos/{repository}", f"https://github.com/{repository}/actions/runs/{number}"
        made: dict[str, Any] = {
            "id": number,
            "name": "Pipeline",
            "node_id": f"WFR_{number}",
            "head_branch": branch,
            "head_sha": sha,
            "path": path,
            "run_number": number,
            "run_attempt": 1,
            "display_title": "A change",
            "event": event,
            "status": "completed" if ended else "in_progress",
            "conclusion": "success" if ended else None,
            "workflow_id": 1,
            "check_suite_url": f"{here}/check-suites/{number}",
            "url": f"{here}/actions/runs/{number}",
            "html_url": page,
            "pull_requests": [],
            "created_at": _time(),
            "updated_at": ended or _time(),
            "run_started_at": _time(),
            "workflow_url": f"{here}/actions/workflows/1",
            "head_commit": None,
            "repository": minimal(github, repository),
            "head_repository": minimal(github, head or repository),
            **{f"{key}_url": f"{here}/actions/runs/{number}/{key}" for key in ("jobs", "logs", "artifacts", "cancel", "rerun")},
        }
        kept(github, repository).runs[number] = made
        return made


def minimal(github: FakeGitHub, name: str) -> dict[str, Any]:
    """A repository in GitHub's short form."""
    owner, _, short = name.partition("/")
    here = f"{github.url}/repos/{name}"
    links = """archive assignees blobs branches collaborators comments commits compare contents contributors deployments
        downloads events forks git_commits git_refs git_tags hooks issue_comment issue_events issues keys labels languages
        merges milestones notifications pulls releases stargazers statuses subscribers subscription tags teams trees"""
    return {
        "id": repository(github, name).id,
        "node_id": f"R_{name}",
        "name": short,
        "full_name": name,
        "owner": user(owner, "Organization"),
        "private": True,
        "html_url": f"https://github.com/{name}",
        "description": None,
        "fork": False,
        "url": here,
        **{f"{key}_url": f"{here}/{key}" for key in links.split()},
    }


def _time() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _make(github: FakeGitHub, repository: str, sha: str, body: dict[str, Any], creator: str) -> dict[str, Any]:
    with github.lock:
        number = github.state["deployment ids"] = github.state.get("deployment ids", 1000) + 1
        here = f"{github.url}/repos/{repository}"
        environment = body.get("environment", "production")
        made = {
            "url": f"{here}/deployments/{number}",
            "id": number,
            "node_id": f"DE_{number}",
            "task": body.get("task", "deploy"),
            "original_environment": environment,
            "environment": environment,
            "description": body.get("description"),
            "created_at": _time(),
            "updated_at": _time(),
            "statuses_url": f"{here}/deployments/{number}/statuses",
            "repository_url": here,
            "creator": user(creator, "Bot" if creator.endswith("[bot]") else "User") if creator else None,
            "sha": sha,
            "ref": body["ref"],
            "payload": body.get("payload", {}),
            "transient_environment": body.get("transient_environment", False),
            "production_environment": body.get("production_environment", environment == "production"),
            "performed_via_github_app": None,
        }
        kept(github, repository).deployments.append(made)
        return made


def _kept(call: Call) -> Kept:
    existing(call)
    return kept(call.github, call.repository)


@route("GET", "/repos/{owner}/{repo}/deployments", "deployments")
def list_deployments(call: Call) -> Answer:
    found = [
        each
        for each in reversed(_kept(call).deployments)
        if all(each[key] == call.query[key] for key in ("sha", "ref", "task", "environment") if key in call.query)
    ]
    shown, headers = call.page(found)
    return Answer(200, list(shown), headers)


@route("POST", "/repos/{owner}/{repo}/deployments", "deployments", "write")
def create_deployment(call: Call) -> Answer:
    here = _kept(call)
    # Both defaults are traps for a record: they merge branches, and refuse while a check is not green.
    if call.body.get("auto_merge", True):
        return Answer(202, {"message": "Auto-merged main into topic-branch on deployment."})
    if call.body.get("required_contexts") != []:
        raise Refusal(409, "Conflict: Commit status checks failed for the ref.")
    if here.knows_commits and here.commit(call.body["ref"]) is None:
        raise Refusal(422, f"No ref found for: {call.body['ref']}")
    return Answer(201, _make(call.github, call.repository, call.body["ref"], call.body, call.token.login))


def _deployment(call: Call) -> dict[str, Any]:
    number = call.arguments["deployment_id"]
    for each in _kept(call).deployments:
        if str(each["id"]) == number:
            return each
    raise Refusal(404, "Not Found")


@route("GET", "/repos/{owner}/{repo}/deployments/{deployment_id}/statuses", "deployments")
def list_statuses(call: Call) -> Answer:
    shown, headers = call.page(list(reversed(_kept(call).statuses.get(_deployment(call)["id"], []))))
    return Answer(200, list(shown), headers)


@route("POST", "/repos/{owner}/{repo}/deployments/{deployment_id}/statuses", "deployments", "write")
def create_status(call: Call) -> Answer:
    deployment = _deployment(call)
    if len(call.body.get("description", "")) > 140:
        raise Refusal(
            422, "Validation Failed", errors=[{"resource": "DeploymentStatus", "code": "custom", "field": "description"}]
        )
    for key in ("log_url", "environment_url"):
        if call.body.get(key) and not call.body[key].startswith(("http://", "https://")):
            raise Refusal(422, "Validation Failed", errors=[{"resource": "DeploymentStatus", "code": "custom", "field": key}])
    here = _kept(call)
    if call.body["state"] == "success" and call.body.get("auto_inactive", True):
        for other in here.deployments:
            states = here.statuses.get(other["id"], [])
            replaced = other["environment"] == deployment["environment"] and not other["transient_environment"]
            if replaced and other["id"] != deployment["id"] and states and states[-1]["state"] == "success":
                states.append(_status(call, other, {"state": "inactive"}))
    made = _status(call, deployment, call.body)
    here.statuses.setdefault(deployment["id"], []).append(made)
    return Answer(201, made)


def _status(call: Call, deployment: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    with call.github.lock:
        number = call.github.state["status ids"] = call.github.state.get("status ids", 5000) + 1
    return {
        "url": f"{deployment['url']}/statuses/{number}",
        "id": number,
        "node_id": f"DES_{number}",
        "state": body["state"],
        "creator": None,
        "description": body.get("description", ""),
        "environment": body.get("environment", deployment["environment"]),
        "target_url": body.get("log_url", ""),
        "created_at": _time(),
        "updated_at": _time(),
        "deployment_url": deployment["url"],
        "repository_url": deployment["repository_url"],
        "environment_url": body.get("environment_url", ""),
        "log_url": body.get("log_url", ""),
        "performed_via_github_app": None,
    }


@route("GET", "/repos/{owner}/{repo}/actions/runs/{run_id}", "actions")
def get_run(call: Call) -> Answer:
    number = call.arguments["run_id"]
    found = _kept(call).runs.get(int(number)) if number.isdecimal() else None
    if found is None:
        raise Refusal(404, "Not Found")
    return Answer(200, found)


def _found(call: Call, sha: str) -> Commit:
    found = _kept(call).commit(sha)
    if found is None:
        raise Refusal(404, "Not Found")
    return found


@route("GET", "/repos/{owner}/{repo}/commits/{ref}", "contents")
def get_commit(call: Call) -> Answer:
    return Answer(200, _shown(call, _found(call, call.arguments["ref"])))


@route("GET", "/repos/{owner}/{repo}/compare/{basehead}", "contents")
def compare(call: Call) -> Answer:
    base, dots, head = call.arguments["basehead"].partition("...")
    if not dots:
        raise Refusal(404, "Not Found")
    one, two = _found(call, base), _found(call, head)
    of_base, of_head = _kept(call).ancestors(one.sha), _kept(call).ancestors(two.sha)
    ahead = [sha for sha in of_head if sha not in set(of_base)]
    behind = [sha for sha in of_base if sha not in set(of_head)]
    common = next((sha for sha in of_base if sha in set(of_head)), None)
    if common is None:
        raise Refusal(404, "No common ancestor between the two commits.")
    status = "diverged" if ahead and behind else "ahead" if ahead else "behind" if behind else "identical"
    shown, headers = call.page(list(reversed(ahead)), most=250, usual=250)
    here = f"{call.github.url}/repos/{call.repository}/compare/{base}...{head}"
    answer = {
        "url": here,
        "html_url": here,
        "permalink_url": here,
        "diff_url": f"{here}.diff",
        "patch_url": f"{here}.patch",
        "base_commit": _shown(call, one),
        "merge_base_commit": _shown(call, _found(call, common)),
        "status": status,
        "ahead_by": len(ahead),
        "behind_by": len(behind),
        "total_commits": len(ahead),
        "commits": [_shown(call, _found(call, sha)) for sha in shown],
        "files": [_changed(call, path) for sha in reversed(ahead) for path in _found(call, sha).files][:300],
    }
    return Answer(200, answer, headers)


def _changed(call: Call, path: str) -> dict[str, Any]:
    here = f"{call.github.url}/repos/{call.repository}"
    urls = {"blob_url": f"{here}/blob/{path}", "raw_url": f"{here}/raw/{path}", "contents_url": f"{here}/contents/{path}"}
    counted = {"additions": 1, "deletions": 0, "changes": 1}
    return {"sha": ZERO, "filename": path, "status": "modified", **counted, **urls, "patch": "@@ -1 +1 @@"}


def _shown(call: Call, commit: Commit) -> dict[str, Any]:
    here = f"{call.github.url}/repos/{call.repository}"
    person = {"name": "A Person", "email": "person@example.com", "date": commit.at or _time()}
    return {
        "url": f"{here}/commits/{commit.sha}",
        "sha": commit.sha,
        "node_id": f"C_{commit.sha[:8]}",
        "html_url": f"{here}/commit/{commit.sha}",
        "comments_url": f"{here}/commits/{commit.sha}/comments",
        "commit": {
            "url": f"{here}/git/commits/{commit.sha}",
            "author": person,
            "committer": person,
            "message": commit.message,
            "comment_count": 0,
            "tree": {"sha": ZERO, "url": f"{here}/git/trees/{ZERO}"},
        },
        "author": None,
        "committer": None,
        "parents": [{"sha": sha, "url": f"{here}/commits/{sha}"} for sha in commit.parents],
    }
