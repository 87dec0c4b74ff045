"""Which proxy a request takes."""

from __future__ import annotations

import pytest

from cicd_actions.health_gate.proxies import proxy_for, secrets
from cicd_actions.health_gate.urls import parse
from cicd_actions.toolkit.errors import UnusableInput

PROXY = "http://proxy.example:3128"


@pytest.mark.parametrize(
    ("url", "variables", "proxied"),
    [
        ("http://a.example/", {}, False),
        ("http://a.example/", {"HTTP_PROXY": PROXY}, True),
        ("https://a.example/", {"HTTP_PROXY": PROXY}, False),
        ("https://a.example/", {"https_proxy": PROXY}, True),
        ("https://a.example/", {"ALL_PROXY": PROXY}, True),
        ("http://a.example/", {"HTTP_PROXY": PROXY, "NO_PROXY": "*"}, False),
        ("http://a.example/", {"HTTP_PROXY": PROXY, "NO_PROXY": "example"}, False),
        ("http://a.example/", {"HTTP_PROXY": PROXY, "NO_PROXY": ".example"}, False),
        ("http://a.example/", {"HTTP_PROXY": PROXY, "NO_PROXY": "*.example"}, False),
        ("http://ba.example/", {"HTTP_PROXY": PROXY, "NO_PROXY": "a.example"}, True),
        ("http://a.example:81/", {"HTTP_PROXY": PROXY, "no_proxy": "a.example:80"}, True),
        ("http://a.example:81/", {"HTTP_PROXY": PROXY, "no_proxy": "b, a.example:81"}, False),
        ("http://10.1.2.3/", {"HTTP_PROXY": PROXY, "no_proxy": "10.0.0.0/8"}, False),
        ("http://11.1.2.3/", {"HTTP_PROXY": PROXY, "no_proxy": "10.0.0.0/8"}, True),
        ("http://[::1]/", {"HTTP_PROXY": PROXY, "no_proxy": "::1"}, False),
        ("http://a.example/", {"HTTP_PROXY": ""}, False),
    ],
)
def test_which(url: str, variables: dict[str, str], proxied: bool) -> None:
    assert (proxy_for(parse(url), variables) is not None) is proxied


def test_user_and_password() -> None:
    found = proxy_for(parse("http://a/"), {"HTTP_PROXY": "proxy:3128", "http_proxy": "http://me:se%40cret@proxy:3128"})
    assert found is not None
    assert found.authorization == "Basic bWU6c2VAY3JldA=="
    assert secrets({"http_proxy": "http://me:se%40cret@proxy:3128"}) == ["se%40cret", "se@cret"]


def test_a_proxy_of_another_kind_is_an_unusable_input() -> None:
    with pytest.raises(UnusableInput, match="ALL_PROXY"):
        proxy_for(parse("http://a/"), {"ALL_PROXY": "socks5://proxy:1080"})
