"""Image references: what is one, what is none, and its parts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd_actions.engines.reference import Reference, is_digest, reference
from cicd_actions.toolkit.grammar import NotUnderstood

DIGEST = "sha256:" + "0a" * 32


@pytest.mark.parametrize(
    ("text", "parts", "registry", "path"),
    [
        ("nginx", Reference("nginx"), "docker.io", "library/nginx"),
        ("org/api:1", Reference("org/api", "1"), "docker.io", "org/api"),
        ("ghcr.io/org/api:v1.2-rc_3", Reference("ghcr.io/org/api", "v1.2-rc_3"), "ghcr.io", "org/api"),
        (f"localhost/api@{DIGEST}", Reference("localhost/api", "", DIGEST), "localhost", "api"),
        (
            f"127.0.0.1:5000/a/b__c/d.e:t@{DIGEST}",
            Reference("127.0.0.1:5000/a/b__c/d.e", "t", DIGEST),
            "127.0.0.1:5000",
            "a/b__c/d.e",
        ),
        ("[::1]:5000/api", Reference("[::1]:5000/api"), "[::1]:5000", "api"),
        ("docker.io/org/api", Reference("docker.io/org/api"), "docker.io", "org/api"),
    ],
)
def test_parts(text: str, parts: Reference, registry: str, path: str) -> None:
    found = reference(text)
    assert found == parts
    assert (found.registry, found.path) == (registry, path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "API",
        "api:",
        "api@",
        "api@sha256:00",
        "api:1:2",
        "-api",
        "api/",
        "/api",
        "a b",
        "api\n",
        "api:-x",
        "https://r/api",
        "a" * 1025,
    ],
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(NotUnderstood):
        reference(text)


@given(st.text(alphabet="aA0.:/@-_ \n\x00[]é", max_size=40))
def test_any_text_is_read_back_or_refused(text: str) -> None:
    try:
        found = reference(text)
    except NotUnderstood:
        return
    assert str(found) == text
    assert reference(str(found)) == found
    assert found.path
    assert not found.path.startswith("/")


def test_digests() -> None:
    assert is_digest(DIGEST)
    assert not is_digest(DIGEST + "\n")
    assert not is_digest("sha256:" + "G" * 64)
