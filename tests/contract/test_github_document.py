"""Holds the stand-in for GitHub's API to GitHub's own OpenAPI document, which npm has."""

from __future__ import annotations

import pytest

from tests.fakes import github
from tests.fakes.github.openapi import Document, fetch, read
from tests.fakes.github.server import ROUTES

pytestmark = [pytest.mark.network, pytest.mark.node]


@pytest.fixture(scope="session")
def document() -> Document:
    return read(fetch())


def test_every_operation_of_the_stand_in_is_one_of_githubs(document: Document) -> None:
    assert issubclass(github.Refusal, Exception)  # importing the package is what registers the routes
    unknown = [
        f"{route.verb} {route.template}" for route in ROUTES if document.check_request(route.verb, route.template, {}, None)
    ]
    assert unknown == []
    assert len(ROUTES) >= 7


def test_what_does_not_fit_is_told(document: Document) -> None:
    path = "/repos/{owner}/{repo}/actions/secrets"
    assert document.check_request("GET", path, {"per_page": "100", "page": "2"}, None) == []
    assert document.check_request("GET", path, {"per_page": "many", "other": "1"}, {"a": 1}) == [
        f"GET {path}: no parameter `other`",
        f"GET {path}: the parameter `per_page` is not a number",
        f"GET {path}: takes no body",
    ]
    assert document.check_answer("GET", path, 200, {"total_count": 0, "secrets": []}) == []
    (problem,) = document.check_answer("GET", path, 200, {"total_count": "0", "secrets": []})
    assert "'0' is not of type 'integer'" in problem
    assert document.check_answer("GET", path, 299, {}) == [f"GET {path}: GitHub never answers 299"]
    (missing,) = document.check_request("POST", "/repos/{owner}/{repo}/deployments", {}, {"task": "deploy"})
    assert "'ref' is a required property" in missing
