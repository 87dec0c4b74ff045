"""Which proxy a request takes, and which answers are the proxy's."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd_actions.health_gate.answer import Answer
from cicd_actions.health_gate.proxies import own_answer, proxy_for
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
        ("http://a.example/", {"HTTP_PROXY": ""}, False),
        ("http://a.example/", {"http_proxy": "", "HTTP_PROXY": PROXY}, True),
    ],
)
def test_proxy_for_reads_the_variable_of_the_scheme(url: str, variables: dict[str, str], proxied: bool) -> None:
    assert (proxy_for(parse(url), variables) is not None) is proxied


@pytest.mark.parametrize(
    ("url", "no_proxy", "proxied"),
    [
        ("http://a.example/", "*", False),
        ("http://a.example/", "b, *", False),
        ("http://a.example/", "example", False),
        ("http://a.example/", ".example", False),
        ("http://a.example/", "*.example", False),
        ("http://a.example./", "a.example", False),
        ("http://a.example/", "a.example.", False),
        ("http://A.Example/", "a.EXAMPLE", False),
        ("http://ba.example/", "a.example", True),
        ("http://a.example/", "b.a.example", True),
        ("http://a.example/", ",, ,", True),
        ("http://a.example:81/", "a.example:80", True),
        ("http://a.example:81/", "b, a.example:81", False),
        ("http://a.example/", "b\ta.example", False),
        ("http://a.example/", "b\na.example\n", False),
        ("http://a.example/", "b\r\n  a.example  c", False),
        ("http://10.1.2.3/", "10.0.0.0/8", False),
        ("http://10.1.2.3/", "10.1.2.3/32", False),
        ("http://11.1.2.3/", "10.0.0.0/8", True),
        ("http://10.1.2.3/", "10.1.2.3:80", False),
        ("http://10.1.2.3/", "10.1.2.3:81", True),
        ("http://10.1/", "10.0.0.1", False),
        ("http://10.1.2.3/", "2.3", True),
        ("http://[::1]/", "::1", False),
        ("http://[::1]/", "[::1]", False),
        ("http://[::1]:8080/", "[::1]:8080", False),
        ("http://[::1]:8080/", "[::1]:80", True),
        ("http://[::1]/", "0:0:0:0:0:0:0:1", False),
        ("http://[0:0:0:0:0:0:0:1]/", "::1", False),
        ("http://[fd00::5]/", "FD00::/8", False),
        ("http://[fe80::1%25eth0]/", "fe80::/10", False),
        ("http://[fe80::1%25eth0]/", "fe80::1%eth0", False),
        ("http://[fd00::5]/", "fe80::/10", True),
        ("http://a.example/", "10.0.0.0/8 [::1 a.example:x", True),
    ],
)
def test_proxy_for_host_in_no_proxy_connects_directly(url: str, no_proxy: str, proxied: bool) -> None:
    assert (proxy_for(parse(url), {"http_proxy": PROXY, "no_proxy": no_proxy}) is not None) is proxied


@given(st.text(max_size=60), st.sampled_from(["http://a.example:81/", "http://10.1.2.3/", "http://[::1]:8080/"]))
def test_proxy_for_any_no_proxy_raises_nothing(no_proxy: str, url: str) -> None:
    proxy_for(parse(url), {"http_proxy": PROXY, "no_proxy": no_proxy})


@pytest.mark.parametrize(
    ("userinfo", "credentials"),
    [
        ("me:se%40cret@", "me:se@cret"),
        ("me:a/b#c?d@e%@", "me:a/b#c?d@e%"),
        (":token@", ":token"),
        ("token@", "token:"),
        ("@", ""),
        ("", ""),
    ],
)
def test_proxy_for_sends_the_credentials_of_the_url(userinfo: str, credentials: str) -> None:
    variables = {"HTTP_PROXY": "other:3128", "http_proxy": f"http://{userinfo}proxy.example:3128"}
    found = proxy_for(parse("http://a/"), variables)
    assert found is not None
    assert (found.url.host, found.url.port) == ("proxy.example", 3128)
    assert found.authorization == (f"Basic {base64.b64encode(credentials.encode()).decode()}" if credentials else "")


@pytest.mark.parametrize(
    "text", ["socks5://me:opensesame@proxy:1080", "http://me:open/sesame@pro xy", "http://me:open/sesame@", "http://[::"]
)
def test_proxy_for_unusable_proxy_raises_without_its_password(text: str) -> None:
    with pytest.raises(UnusableInput, match="ALL_PROXY") as caught:
        proxy_for(parse("http://a/"), {"ALL_PROXY": text})
    assert "sesame" not in str(caught.value)
    assert ("SOCKS" in str(caught.value)) is text.startswith("socks")


@pytest.mark.parametrize(
    ("headers", "stored"),
    [
        ([("Cache-Status", "Edge; hit")], True),
        ([("Cache-Status", 'a; fwd=uri-miss, "b;, c" ; key="x; y" ;hit; ttl=-30')], True),
        ([("X-Cache", "MISS, HIT from squid.example")], True),
        ([("X-Cache-Status", "UPDATING")], True),
        ([("X-Cache", "TCP_MEM_HIT")], True),
        ([("CF-Cache-Status", "STALE")], True),
        ([("Cache-Status", "Edge; hit"), ("Age", "0")], False),
        ([("Cache-Status", 'Edge; fwd=miss; detail="; hit"')], False),
        ([("X-Cache", "HIT-FOR-PASS")], False),
        ([("X-Cache", "White")], False),
        ([("CF-Cache-Status", "DYNAMIC")], False),
        ([], False),
    ],
)
def test_stored_at_any_time_is_a_hit_without_an_age(headers: list[tuple[str, str]], stored: bool) -> None:
    assert Answer(200, tuple(headers)).stored_at_any_time is stored


@pytest.mark.parametrize(
    ("status", "headers", "own"),
    [
        (503, [("X-Squid-Error", "ERR_DNS_FAIL 0")], True),
        (502, [("Proxy-Status", "proxy.example; error=connection_refused")], True),
        (504, [("Proxy-Status", 'a, "b;, c"; received-status=504, d ;  error = connection_timeout; details="x, y"')], True),
        (200, [("Proxy-Status", "cache; error=connection_refused")], True),
        (502, [("Proxy-Status", "ingress; error=connection_refused, proxy.example; received-status=502")], False),
        (502, [("Proxy-Status", 'proxy.example; details="; error=x"')], False),
        (503, [("Proxy-Status", "proxy.example; received-status=503")], False),
        (403, [("Server", "squid/5.7"), ("Via", "1.1 px (squid/5.7)")], True),
        (502, [("Server", "Corp-Gate/2"), ("Via", "1.1 a (nginx), 1.1 px (corp-gate/3)")], True),
        (500, [("Server", "tinyproxy/1.11.1")], True),
        (503, [("Proxy-Agent", "Privoxy 3.0.33")], True),
        (503, [("Server", "nginx"), ("Via", "1.1 px (squid/5.7)")], False),
        (200, [("Server", "squid/5.7")], False),
        (503, [], False),
    ],
)  # fmt: skip
def test_own_answer_needs_a_proxy_that_says_so(status: int, headers: list[tuple[str, str]], own: bool) -> None:
    assert bool(own_answer(Answer(status, tuple(headers)))) is own
