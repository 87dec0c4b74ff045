"""Repositories, environments, and the names of secrets and variables at every level."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.github.server import Answer, Call, FakeGitHub, Refusal, route

WHEN = "2026-01-01T00:00:00Z"


@dataclass
class Names:
    """Secrets by name, and variables by name with their values, at one level."""

    secrets: list[str] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)


@dataclass
class Repository:
    id: int
    own: Names = field(default_factory=Names)
    organisation: Names = field(default_factory=Names)
    environments: dict[str, Names] = field(default_factory=dict)
    dependabot: list[str] = field(default_factory=list)
    """Secrets of Dependabot's own store."""
    protected: set[str] = field(default_factory=set)
    """Environments with required reviewers."""
    restricted: set[str] = field(default_factory=set)
    """Environments with a rule for branches."""
    files: dict[str, str] = field(default_factory=dict)
    """Texts by `path@commit`."""
    links: set[str] = field(default_factory=set)
    """Paths that are symbolic links."""


def repository(github: FakeGitHub, name: str) -> Repository:
    """The repository `owner/name`, made when it is new. Tests fill in what is set."""
    known: dict[str, Repository] = github.state.setdefault("repositories", {})
    return known.setdefault(name, Repository(len(known) + 1))


def environment(github: FakeGitHub, of: str, name: str, *, restricted: bool = True, reviewers: bool = False) -> None:
    """Makes an environment of a repository, by default one with a rule for branches."""
    found = repository(github, of)
    found.environments.setdefault(name, Names())
    for chosen, names in ((restricted, found.restricted), (reviewers, found.protected)):
        (names.add if chosen else names.discard)(name)


def existing(call: Call) -> Repository:
    """The repository of a call. Raises GitHub's 404."""
    found: Repository | None = call.github.state.get("repositories", {}).get(call.repository)
    if found is None:
        raise Refusal(404, "Not Found")
    return found


def _environment(call: Call) -> Names:
    found = existing(call).environments.get(call.arguments["environment_name"])
    if found is None:
        raise Refusal(404, "Not Found")
    return found


def _secrets(call: Call, names: Names) -> Answer:
    shown, headers = call.page(sorted(names.secrets))
    listed = [{"name": name, "created_at": WHEN, "updated_at": WHEN} for name in shown]
    return Answer(200, {"total_count": len(names.secrets), "secrets": listed}, headers)


def _variables(call: Call, names: Names) -> Answer:
    shown, headers = call.page(sorted(names.variables.items()), most=30, usual=10)
    listed = [{"name": name, "value": value, "created_at": WHEN, "updated_at": WHEN} for name, value in shown]
    return Answer(200, {"total_count": len(names.variables), "variables": listed}, headers)


@route("GET", "/repos/{owner}/{repo}/actions/secrets", "secrets")
def list_repository_secrets(call: Call) -> Answer:
    return _secrets(call, existing(call).own)


@route("GET", "/repos/{owner}/{repo}/actions/organization-secrets", "secrets")
def list_organisation_secrets(call: Call) -> Answer:
    return _secrets(call, existing(call).organisation)


@route("GET", "/repos/{owner}/{repo}/environments/{environment_name}/secrets", "environments")
def list_environment_secrets(call: Call) -> Answer:
    return _secrets(call, _environment(call))


@route("GET", "/repos/{owner}/{repo}/actions/variables", "actions_variables")
def list_repository_variables(call: Call) -> Answer:
    return _variables(call, existing(call).own)


@route("GET", "/repos/{owner}/{repo}/actions/organization-variables", "actions_variables")
def list_organisation_variables(call: Call) -> Answer:
    return _variables(call, existing(call).organisation)


@route("GET", "/repos/{owner}/{repo}/environments/{environment_name}/variables", "environments")
def list_environment_variables(call: Call) -> Answer:
    return _variables(call, _environment(call))


@route("GET", "/repos/{owner}/{repo}/environments", "actions")
def list_environments(call: Call) -> Answer:
    everything = list(existing(call).environments)
    shown, headers = call.page(everything)
    return Answer(200, {"total_count": len(everything), "environments": [_shown(call, name) for name in shown]}, headers)


@route("GET", "/repos/{owner}/{repo}/environments/{environment_name}", "actions")
def get_environment(call: Call) -> Answer:
    _environment(call)
    return Answer(200, _shown(call, call.arguments["environment_name"]))


@route("GET", "/repos/{owner}/{repo}/actions/permissions/workflow", "administration")
def get_workflow_permissions(call: Call) -> Answer:
    existing(call)
    return Answer(200, {"default_workflow_permissions": "read", "can_approve_pull_request_reviews": False})


@route("GET", "/repos/{owner}/{repo}/dependabot/secrets", "dependabot_secrets")
def list_dependabot_secrets(call: Call) -> Answer:
    return _secrets(call, Names(existing(call).dependabot))


@route("GET", "/repos/{owner}/{repo}/contents/{path}", "contents")
def get_content(call: Call) -> Answer:
    path = call.arguments["path"]
    text = existing(call).files.get(f"{path}@{call.query.get('ref', '')}")
    if text is None:
        raise Refusal(404, "Not Found")
    raw = text.encode()
    here = f"{call.github.url}/repos/{call.repository}/contents/{path}"
    return Answer(
        200,
        {
            "type": "file",
            "encoding": "base64",
            "size": len(raw),
            "name": path.rpartition("/")[2],
            "path": path,
            "content": base64.encodebytes(raw).decode(),
            "sha": hashlib.sha1(raw, usedforsecurity=False).hexdigest(),
            "url": here,
            "git_url": here,
            "html_url": here,
            "download_url": here,
            "_links": {"self": here, "git": here, "html": here},
        },
    )


@route("GET", "/repos/{owner}/{repo}/git/trees/{tree_sha}", "contents")
def get_tree(call: Call) -> Answer:
    commit = call.arguments["tree_sha"]
    here = f"{call.github.url}/repos/{call.repository}/git"
    listed = []
    for name, text in existing(call).files.items():
        path, _, at = name.rpartition("@")
        if at == commit:
            sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
            entry = {
                "path": path,
                "mode": "100644",
                "type": "blob",
                "sha": sha,
                "size": len(text),
                "url": f"{here}/blobs/{sha}",
            }
            listed.append(entry | ({"mode": "120000"} if path in existing(call).links else {}))
    if not listed:
        raise Refusal(404, "Not Found")
    return Answer(200, {"sha": commit, "url": f"{here}/trees/{commit}", "tree": listed, "truncated": False})


def _reviewers() -> dict[str, Any]:
    reviewer = {"type": "User"}
    return {"id": 1, "node_id": "GA_1", "type": "required_reviewers", "prevent_self_review": False, "reviewers": [reviewer]}


def _shown(call: Call, name: str) -> dict[str, Any]:
    here = f"{call.github.url}/repos/{call.repository}/environments/{name}"
    return {
        "id": 1 + list(existing(call).environments).index(name),
        "node_id": f"EN_{name}",
        "name": name,
        "url": here,
        "html_url": here,
        "created_at": WHEN,
        "updated_at": WHEN,
        "protection_rules": [_reviewers()] if name in existing(call).protected else [],
        "deployment_branch_policy": {"protected_branches": True, "custom_branch_policies": False}
        if name in existing(call).restricted
        else None,
    }
