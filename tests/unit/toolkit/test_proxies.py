"""The credentials in the URLs of proxies, as people paste them."""

from __future__ import annotations

from urllib.parse import unquote

import requests
from hypothesis import given
from hypothesis import strategies as st

from cicd_actions.toolkit.proxies import encoded, secrets

NAMES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


@given(st.text(min_size=1, max_size=20), st.sampled_from(NAMES), st.sampled_from(["http://", "https://", ""]))
def test_encoded_password_is_read_by_libraries_as_it_was_pasted(password: str, name: str, scheme: str) -> None:
    pasted = {name: f"{scheme}me:{password}@proxy.example:3128"}
    found = (pasted | encoded(pasted))[name]
    assert found.startswith(scheme)
    assert found.endswith("@proxy.example:3128")
    userinfo = found.removeprefix(scheme).rpartition("@")[0]
    assert requests.utils.get_auth_from_url(f"http://{userinfo}@proxy.example") == ("me", unquote(password))


def test_encoded_leaves_what_is_a_url_as_it_is() -> None:
    assert encoded({"http_proxy": "http://me:se%40cret@[::1]:3128", "HTTPS_PROXY": "proxy:3128/", "all_proxy": ""}) == {}


def test_secrets_are_the_passwords_of_all_proxies_in_each_form() -> None:
    variables = {
        "http_proxy": "http://me:se%40cret@proxy:3128",
        "HTTPS_PROXY": "http://me:a/b@c@proxy",
        "ALL_PROXY": "token@proxy",
    }
    assert secrets(variables) == ["se%40cret", "se@cret", "a/b@c", "token"]
