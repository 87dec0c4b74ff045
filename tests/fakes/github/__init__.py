"""A stand-in for GitHub's API: `from tests.fakes.github import FakeGitHub`. Each part of the API has a module."""

from tests.fakes.github import actions, comments, deployments, pulls, settings
from tests.fakes.github.server import Answer, Call, FakeGitHub, Fault, Refusal, Token, route

__all__ = [
    "Answer",
    "Call",
    "FakeGitHub",
    "Fault",
    "Refusal",
    "Token",
    "actions",
    "comments",
    "deployments",
    "pulls",
    "route",
    "settings",
]  # fmt: skip
