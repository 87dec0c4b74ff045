"""The registry client against an HTTP server: logins, tokens, digests that are computed, and answers that say "later"."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from cicd_actions.engines.protocol import EngineUnreachable, Image, ImageMissing, LoginNeeded, WrongDigest
from cicd_actions.engines.reference import is_digest
from cicd_actions.engines.registry import Registry, _transient
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import ActionError
from cicd_actions.toolkit.runtime import Runtime
from tests.harness.drip import STARTS, dripping

DIGEST = "sha256:" + "c" * 64
PATH = "/v2/shop/api/manifests/1.0"


@pytest.fixture
def registry(make_runtime: Callable[..., Runtime], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    made = Registry(make_runtime())
    yield made
    made.close()


def image(server: HTTPServer) -> str:
    return f"127.0.0.1:{server.port}/shop/api:1.0"


def test_a_token_for_whoever_is_logged_in(registry: Registry, httpserver: HTTPServer, tmp_path: Path) -> None:
    login = base64.b64encode(b"robot:correct-horse").decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {f"127.0.0.1:{httpserver.port}": {"auth": login}}}))
    challenge = f'Bearer realm="{httpserver.url_for("/token")}",service="shop",scope="repository:shop/api:pull"'

    def manifest(request: Request) -> Response:
        if request.headers.get("Authorization") != "Bearer t0ken-of-the-registry":
            return Response(status=401, headers={"WWW-Authenticate": challenge})
        return Response(headers={"Docker-Content-Digest": DIGEST})

    def token(request: Request) -> Response:
        assert request.args.to_dict() == {"service": "shop", "scope": "repository:shop/api:pull"}
        assert request.headers["Authorization"] == f"Basic {login}"
        return Response('{"token": "t0ken-of-the-registry"}', content_type="application/json")

    httpserver.expect_request(PATH, method="HEAD").respond_with_handler(manifest)
    httpserver.expect_request("/token").respond_with_handler(token)
    found = registry.resolve(image(httpserver), Deadline(20))
    assert found == Image(f"127.0.0.1:{httpserver.port}/shop/api", DIGEST)
    redact = registry._runtime.redactor
    assert redact("correct-horse t0ken-of-the-registry") == "*** ***"


def test_a_login_that_may_not_see_it_says_nothing_of_the_image(registry: Registry, httpserver: HTTPServer) -> None:
    httpserver.expect_request(PATH, method="HEAD").respond_with_data(
        status=401, headers={"WWW-Authenticate": 'Basic realm="x"'}
    )
    with pytest.raises(LoginNeeded, match="does not let this login see") as said:
        registry.resolve(image(httpserver), Deadline(20))
    assert "docker/login-action" in said.value.fix


def test_a_realm_elsewhere_gets_no_password_in_the_clear(registry: Registry, httpserver: HTTPServer) -> None:
    challenge = 'Bearer realm="http://registry.example/token"'
    httpserver.expect_request(PATH, method="HEAD").respond_with_data(status=401, headers={"WWW-Authenticate": challenge})
    with pytest.raises(EngineUnreachable, match="not https"):
        registry.resolve(image(httpserver), Deadline(20))


def login_for(server: HTTPServer, folder: Path) -> None:
    login = base64.b64encode(b"robot:correct-horse").decode()
    (folder / "config.json").write_text(json.dumps({"auths": {f"127.0.0.1:{server.port}": {"auth": login}}}))


@pytest.fixture
def elsewhere() -> Iterator[HTTPServer]:
    with HTTPServer(host="127.0.0.2") as server:
        yield server


def test_promise_a_registry_login_goes_to_its_own_domain_only(
    registry: Registry, httpserver: HTTPServer, elsewhere: HTTPServer, tmp_path: Path
) -> None:
    login_for(httpserver, tmp_path)
    for realm in (elsewhere.url_for("/token"), "https://127.0.0.2:1/token"):
        httpserver.clear()
        httpserver.expect_request(PATH, method="HEAD").respond_with_data(
            status=401, headers={"WWW-Authenticate": f'Bearer realm="{realm}"'}
        )
        with pytest.raises(EngineUnreachable, match=r"wants a token from 127\.0\.0\.2, in another domain"):
            registry.resolve(image(httpserver), Deadline(20))
    assert elsewhere.log == []


def test_registry_redirect_to_another_domain_gets_no_login(
    registry: Registry, httpserver: HTTPServer, elsewhere: HTTPServer, tmp_path: Path
) -> None:
    httpserver.expect_request(PATH, method="HEAD").respond_with_data(status=307, headers={"Location": elsewhere.url_for(PATH)})
    challenge = f'Bearer realm="{elsewhere.url_for("/token")}"'
    elsewhere.expect_request(PATH, method="HEAD").respond_with_data(status=401, headers={"WWW-Authenticate": challenge})
    login_for(httpserver, tmp_path)
    with pytest.raises(EngineUnreachable, match=r"redirects to 127\.0\.0\.2, in another domain"):
        registry.resolve(image(httpserver), Deadline(20))
    (tmp_path / "config.json").unlink()
    with pytest.raises(EngineUnreachable, match="in another domain"):
        registry.resolve(image(httpserver), Deadline(20))
    assert [(request.path, request.headers.get("Authorization")) for request, _ in elsewhere.log] == [(PATH, None)]


def test_registry_redirect_to_another_domain_without_a_login_is_followed(
    registry: Registry, httpserver: HTTPServer, elsewhere: HTTPServer
) -> None:
    httpserver.expect_request(PATH, method="HEAD").respond_with_data(status=307, headers={"Location": elsewhere.url_for(PATH)})
    elsewhere.expect_request(PATH, method="HEAD").respond_with_data(headers={"Docker-Content-Digest": DIGEST})
    assert registry.resolve(image(httpserver), Deadline(20)).digest == DIGEST


def test_registry_redirects_without_end_are_refused(registry: Registry, httpserver: HTTPServer) -> None:
    httpserver.expect_request(PATH, method="HEAD").respond_with_data(status=307, headers={"Location": PATH})
    with pytest.raises(EngineUnreachable, match="redirects more than 5 times"):
        registry.resolve(image(httpserver), Deadline(20))


BODY = '{"schemaVersion": 2}'


def pinned(server: HTTPServer, algorithm: str = "sha256") -> tuple[str, str]:
    """The reference by digest, and the path of its manifest."""
    digest = f"{algorithm}:{hashlib.new(algorithm, BODY.encode()).hexdigest()}"
    return f"127.0.0.1:{server.port}/shop/api@{digest}", f"/v2/shop/api/manifests/{digest}"


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_registry_digest_that_the_manifest_has_is_returned(registry: Registry, httpserver: HTTPServer, algorithm: str) -> None:
    asked, path = pinned(httpserver, algorithm)
    httpserver.expect_request(path, method="HEAD").respond_with_data()
    httpserver.expect_request(path, method="GET").respond_with_data(BODY)
    assert registry.resolve(asked, Deadline(20)).digest == asked.partition("@")[2]


def test_promise_a_registry_that_is_asked_for_a_digest_has_to_serve_it(registry: Registry, httpserver: HTTPServer) -> None:
    asked, path = pinned(httpserver)
    httpserver.expect_request(path, method="HEAD").respond_with_data(headers={"Docker-Content-Digest": DIGEST})
    with pytest.raises(WrongDigest, match=f"its answer has the digest {DIGEST}"):
        registry.resolve(asked, Deadline(20))


@pytest.mark.parametrize("honest_header", [True, False])
def test_registry_manifest_with_another_hash_than_asked_fails(
    registry: Registry, httpserver: HTTPServer, honest_header: bool
) -> None:
    asked, path = pinned(httpserver)
    header = {"Docker-Content-Digest": asked.partition("@")[2]} if honest_header else {}
    httpserver.expect_request(path, method="HEAD").respond_with_data(headers=header)
    httpserver.expect_request(path, method="GET").respond_with_data(BODY + " ", headers=header)
    with pytest.raises(WrongDigest):
        registry.resolve(asked, Deadline(20))


@pytest.mark.parametrize(
    "challenge",
    [
        "Bearer " + "b" * 60_000,
        'Bearer realm="http://[::1"',
        'Bearer realm="https://',
        'Bearer realm="\\"',
        "Bearer",
        "x" * 9000,
    ],
    ids=lambda challenge: challenge[:24],
)
def test_registry_hostile_challenge_is_refused(registry: Registry, httpserver: HTTPServer, challenge: str) -> None:
    httpserver.expect_request(PATH, method="HEAD").respond_with_data(status=401, headers={"WWW-Authenticate": challenge})
    with pytest.raises(EngineUnreachable, match=r"is not https|does not let"):
        registry.resolve(image(httpserver), Deadline(20))


def test_a_digest_that_is_not_said_is_computed(registry: Registry, httpserver: HTTPServer) -> None:
    body = '{"schemaVersion": 2}'
    httpserver.expect_request(PATH, method="HEAD").respond_with_data()
    httpserver.expect_request(PATH, method="GET").respond_with_data(body)
    assert registry.resolve(image(httpserver), Deadline(20)).digest == "sha256:" + hashlib.sha256(body.encode()).hexdigest()


def test_later_is_asked_again_and_no_is_not(registry: Registry, httpserver: HTTPServer) -> None:
    httpserver.expect_ordered_request(PATH, method="HEAD").respond_with_data(status=429, headers={"Retry-After": "0"})
    httpserver.expect_ordered_request(PATH, method="HEAD").respond_with_data(status=503, headers={"Retry-After": "soon"})
    httpserver.expect_ordered_request(PATH, method="HEAD").respond_with_data(headers={"Docker-Content-Digest": DIGEST})
    assert registry.resolve(image(httpserver), Deadline(20)).digest == DIGEST
    httpserver.clear()
    httpserver.expect_request(PATH, method="HEAD").respond_with_data(status=404)
    with pytest.raises(ImageMissing):
        registry.resolve(image(httpserver), Deadline(20))
    assert len(httpserver.log) == 1


def test_transient_digits_that_are_not_ascii_are_no_number_of_seconds() -> None:
    response = httpx.Response(503, headers=[(b"Retry-After", b"\xb2")])
    assert _transient(httpx.HTTPStatusError("", request=httpx.Request("GET", "http://a/"), response=response)) is True


def test_nobody_answers(registry: Registry) -> None:
    with pytest.raises(EngineUnreachable, match="Could not determine whether"):
        registry.resolve("127.0.0.1:9/shop/api:1.0", Deadline(3))


@pytest.mark.parametrize("what", STARTS)
def test_an_answer_that_drips_ends_with_the_deadline(registry: Registry, what: str) -> None:
    with dripping(what) as address, pytest.raises(EngineUnreachable, match="Could not determine whether"):
        registry.resolve(f"{address}/shop/api:1.0", Deadline(0.5))


def test_a_manifest_without_end(registry: Registry, httpserver: HTTPServer) -> None:
    def endless(request: Request) -> Response:
        return Response((b"x" * 65536 for _ in range(1000)), direct_passthrough=True)

    httpserver.expect_request(PATH, method="HEAD").respond_with_data()
    httpserver.expect_request(PATH, method="GET").respond_with_handler(endless)
    with pytest.raises(EngineUnreachable, match="larger than 4194304 bytes"):
        registry.resolve(image(httpserver), Deadline(20))


def test_the_login_is_that_of_the_runtimes_own_folder(
    make_runtime: Callable[..., Runtime], httpserver: HTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deploy has a separate folder, which the variables of this process do not name."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "account"))
    login = base64.b64encode(b"robot:correct-horse").decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {f"127.0.0.1:{httpserver.port}": {"auth": login}}}))

    def manifest(request: Request) -> Response:
        if request.headers.get("Authorization") != f"Basic {login}":
            return Response(status=401, headers={"WWW-Authenticate": "Basic realm=shop"})
        return Response(headers={"Docker-Content-Digest": DIGEST})

    httpserver.expect_request(PATH, method="HEAD").respond_with_handler(manifest)
    registry = Registry(make_runtime(DOCKER_CONFIG=str(tmp_path)))
    assert registry.resolve(image(httpserver), Deadline(20)).digest == DIGEST
    registry.close()


Answer = tuple[int, dict[str, str], bytes]
_CHALLENGE = 'Bearer realm="http://127.0.0.1:{port}/token",service="s"'
_DEEP = b"[" * 100_000
_HEADER = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=60).map(str.strip)
_KEYS = st.sampled_from(["token", "access_token", "manifests", "config", "digest", "platform", "os"])
_BODY = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([b"", _DEEP, b"null", b"[]", b'{"token": [1]}', b'{"token": "a\\r\\nb"}', b'{"token": "t0ken-of-it"}']),
    st.recursive(
        st.none() | st.integers() | st.just(DIGEST), lambda inner: st.lists(inner) | st.dictionaries(_KEYS, inner)
    ).map(lambda value: json.dumps(value).encode()),
)


@st.composite
def answers(draw: st.DrawFn) -> list[Answer]:
    """What a registry answers to one call after the other. `{port}` is its own."""
    one = st.builds(
        lambda status, headers, body: (status, headers, body),
        st.sampled_from([200, 201, 204, 301, 307, 400, 401, 403, 404, 418, 500]),
        st.fixed_dictionaries(
            {},
            optional={
                "Docker-Content-Digest": _HEADER | st.just(DIGEST),
                "Location": _HEADER | st.sampled_from(["/v2/", "//[", "http://127.0.0.1:{port}/x", "ftp://a/"]),
                "WWW-Authenticate": _HEADER | st.sampled_from([_CHALLENGE, "Basic", "Bearer"]),
                "Content-Encoding": st.sampled_from(["gzip", "identity", "br"]),
            },
        ),
        _BODY,
    )
    return draw(st.lists(one, min_size=1, max_size=8))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(answers(), st.sampled_from(["1.0", f"1.0@{DIGEST}"]))
@example([(401, {"WWW-Authenticate": _CHALLENGE}, b""), (200, {}, _DEEP)], "1.0")
def test_registry_whatever_it_answers_is_a_digest_or_an_error_of_ours(
    httpserver: HTTPServer, answers: list[Answer], tag: str
) -> None:
    left = list(answers)

    def answer(_request: Request) -> Response:
        status, headers, body = left.pop(0) if len(left) > 1 else left[0]
        return Response(body, status, {name: text.replace("{port}", str(httpserver.port)) for name, text in headers.items()})

    httpserver.clear()
    httpserver.expect_request(re.compile(".*")).respond_with_handler(answer)
    asked = Registry(Runtime({}, io.StringIO(), sleep=lambda _: None))
    try:
        found = asked.resolve(f"127.0.0.1:{httpserver.port}/shop/api:{tag}", Deadline(20))
        assert is_digest(found.digest)
        asked.configurations(f"{found.name}@{found.digest}", Deadline(20))
    except ActionError:
        return
    finally:
        asked.close()
