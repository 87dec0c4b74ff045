"""Reading URLs: what can be used, what is explained, and that no error shows a part of a password."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd_actions.health_gate import reading, urls
from cicd_actions.health_gate.inputs import Inputs
from cicd_actions.health_gate.urls import Url
from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.toolkit.grammar import NotUnderstood
from cicd_actions.toolkit.inputs import load
from cicd_actions.toolkit.runtime import Runtime


def expanded(url: str, **variables: str) -> Url:
    """The URL of a target in a step with these variables."""
    runtime = Runtime(variables, io.StringIO())
    (target,) = reading.targets(load(Inputs, {"url": url}, runtime.redactor), runtime.environment, Path())
    assert target.request is not None
    return target.request.url


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://a", "http://a/"),
        ("HTTPS://A.Example:443/x?y#z", "https://a.example/x?y"),
        ("http://[::1]:8080/", "http://[::1]:8080/"),
        ("http://[0:0:0:0:0:0:0:1]/", "http://[::1]/"),
        ("http://[fe80::1%25eth0]:8080/", "http://[fe80::1%25eth0]:8080/"),
        ("http://[fe80::1%eth0]/", "http://[fe80::1%25eth0]/"),
        ("http://bücher.example/ä", "http://xn--bcher-kva.example/%C3%A4"),
        ("http://straße.example/", "http://xn--strae-oqa.example/"),
        ("http://ＢÜＣＨＥＲ。example/", "http://xn--bcher-kva.example/"),
        ("http://a_b.bücher.example/", "http://a_b.xn--bcher-kva.example/"),
        ("http://a_service:80/", "http://a_service/"),
        ("http://api.example.com./", "http://api.example.com./"),
        ("http://a/%2Fx", "http://a/%2Fx"),
        ("http://a/x/../y/./z", "http://a/y/z"),
        ("http://127.1/", "http://127.0.0.1/"),
        ("http://0x7f000001/", "http://127.0.0.1/"),
    ],
)
def test_parse_usable_url_returns_it_in_one_spelling(text: str, shown: str) -> None:
    assert str(urls.parse(text)) == shown


def test_authority_of_an_address_with_a_zone_leaves_the_zone_out() -> None:
    url = urls.parse("http://[fe80::1%25eth0]:8080/")
    assert (url.host, url.authority) == ("fe80::1%eth0", "[fe80::1]:8080")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("api.example.com.", "api.example.com"),
        ("api.example.com.:8443", "api.example.com"),
        ("[fe80::1%eth0]:8443", "fe80::1"),
        ("Bücher.example", "xn--bcher-kva.example"),
    ],
)
def test_server_name_leaves_out_port_zone_and_trailing_dot(text: str, name: str) -> None:
    assert urls.server_name(text) == name


@pytest.mark.parametrize(
    ("text", "credentials"),
    [
        ("http://user:pass@a/", "user:pass"),
        ("http://token@a/", "token:"),
        ("http://:token@a/", ":token"),
        ("http://@a/", ""),
        ("http://us%65r:p%40ss@a/", "user:p@ss"),
        ("http://user:a:b@a/", "user:a:b"),
    ],
)
def test_parse_reads_credentials_with_either_part_missing(text: str, credentials: str) -> None:
    assert urls.parse(text).credentials == credentials


@pytest.mark.parametrize(
    "text",
    [
        "", "http://", "http:///x", "localhost:8080", "ftp://a/", "http://a b/", "http://a:99999/", "http://a:0/", "http://[::1/",
        "http://[1:2]/", "http://[fe80::1%]/", "http://[fe80::1%a b]/", "http://1.2.3.256/", "http://a..b/", "http://☃.example/",
        "http://a\\b/", "http://" + "a" * 64 + "/", "http://\ud800/", "http://a/\ud800", "https://u:pa/ss@a/", "https://u:pa#ss@a/",
    ],
)  # fmt: skip
def test_parse_unusable_url_raises_with_an_example_that_parses(text: str) -> None:
    with pytest.raises(NotUnderstood) as caught:
        urls.parse(text)
    urls.parse(caught.value.example)
    str(caught.value).encode()


@given(st.text(max_size=80))
def test_parse_any_text_returns_a_url_or_an_example_that_parses(text: str) -> None:
    for candidate in (text, f"http://{text}", f"http://a/{text}", f"http://a?{text}", f"http://[{text}]/", f"http://{text}@a/"):
        try:
            url = urls.parse(candidate)
        except NotUnderstood as error:
            urls.parse(error.example)
            continue
        assert url.target.isascii()
        assert not set(url.target) & set(" \n\r\t\0")
        assert urls.parse(str(url)).origin == url.origin


@given(st.text(max_size=80))
def test_join_any_location_leads_somewhere_or_is_explained(text: str) -> None:
    try:
        assert str(urls.join(urls.parse("http://a/b"), text)).startswith("http")
    except NotUnderstood:
        return


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("/café", "/caf%C3%A9"),
        ("/caf\udce9", "/caf%E9"),
        ("?y=a b", "/b?y=a%20b"),
        ("../x", "/x"),
        ("#top", "/b?c"),
        ("/a\u00a0b", "/a%C2%A0b"),
    ],
)
def test_join_encodes_what_servers_write_raw(location: str, shown: str) -> None:
    assert str(urls.join(urls.parse("http://a/b?c"), location)) == f"http://a{shown}"


PASSWORDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)


@given(
    PASSWORDS,
    st.sampled_from(["https://admin:$PW@a.example/x", "https://admin:${PW}@a.example", "https://:$PW@[::1]:1/?q=a@b"]),
)
def test_expanded_password_of_any_characters_is_the_password(password: str, url: str) -> None:
    assert expanded(url, PW=password).password == password


def test_expanded_user_and_password_in_one_variable_are_both() -> None:
    found = expanded("https://$LOGIN@a.example/", LOGIN="admin:p/a#s@s")
    assert (found.user, found.password, found.host) == ("admin", "p/a#s@s", "a.example")


def test_expanded_variables_elsewhere_stay_as_they_are() -> None:
    found = expanded("$BASE/health?x=$X", BASE="https://u:p@a.example:8443", X="1&y=2")
    assert (str(found), found.password) == ("https://a.example:8443/health?x=1&y=2", "p")


@pytest.mark.parametrize(
    "url", ["https://u:{}@a b/", "https://u:{}@/", "https://u:{}@a:x/", "hxxp://u:{}@a/", "u:{}@a", "https://u:{}@[::/"]
)
@pytest.mark.parametrize(
    "password", ["Sup3rSecretPart/rest9999", "Sup3rSecretPart#9", "Sup3rSecretPart?9", "Sup3r SecretPart", "a@Sup3rSecretPart"]
)
def test_error_of_an_unusable_url_shows_no_part_of_the_password(url: str, password: str) -> None:
    for text, variables in ((url.format("$PW"), {"PW": password}), (url.format(password), {})):
        runtime = Runtime(variables, io.StringIO())
        with pytest.raises(UnusableInput) as caught:
            reading.targets(load(Inputs, {"url": text}, runtime.redactor), runtime.environment, Path())
        assert "Sup3r" not in runtime.redactor(str(caught.value))
