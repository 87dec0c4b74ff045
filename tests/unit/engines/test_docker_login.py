"""What a registry answers through the Docker Engine where there is no login, or a wrong one."""

from __future__ import annotations

import io
import re

import pytest
from pytest_httpserver import HTTPServer

from cicd_actions.engines.docker_api import DockerApi
from cicd_actions.engines.protocol import EngineUnreachable, Image, ImageMissing, LoginNeeded
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.runtime import Runtime

HOST = "123.dkr.ecr.eu-west-1.amazonaws.com"
IMAGE = f"{HOST}/shop/api:1"
PINNED = Image(f"{HOST}/shop/api", "sha256:" + "a" * 64)


def api(httpserver: HTTPServer) -> DockerApi:
    httpserver.expect_request("/version").respond_with_json({"ApiVersion": "1.41"})
    httpserver.expect_request(re.compile("/v1.41/images/.*/json")).respond_with_json({"message": "No such image"}, status=404)
    variables = {"DOCKER_HOST": f"tcp://127.0.0.1:{httpserver.port}"}
    made = DockerApi(Runtime(variables, io.StringIO(), sleep=lambda _seconds: None))
    made.deadline = Deadline(10)
    return made


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (500, f"Get https://{HOST}/v2/shop/api/manifests/1: no basic auth credentials"),
        (401, "unauthorized: authentication required"),
        (401, "unauthorized: incorrect username or password"),
        (403, "denied: Your authorization token has expired. Reauthenticate and try again."),
        (404, "pull access denied for shop/api, repository does not exist or may require 'docker login'"),
        (404, "denied: requested access to the resource is denied"),
        (500, "pull access denied, insufficient_scope: authorization failed"),
    ],
)
def test_registry_that_refuses_the_login_is_answered_with_how_to_log_in(httpserver: HTTPServer, status: int, said: str) -> None:
    engine = api(httpserver)
    httpserver.expect_request(f"/v1.41/distribution/{IMAGE}/json").respond_with_json({"message": said}, status=status)
    httpserver.expect_request("/v1.41/images/create").respond_with_json({"message": said}, status=status)
    with pytest.raises(LoginNeeded) as found:
        engine.resolve(IMAGE, Deadline(10))
    assert said in found.value.what
    assert f"uses: docker/login-action@<full commit sha>\n      with:\n        registry: {HOST}" in found.value.fix
    assert sum("/distribution/" in request.path for request, _ in httpserver.log) == 1, "a second try changes nothing"
    with pytest.raises(LoginNeeded):
        engine.pull(PINNED, Deadline(10))
    engine.close()


@pytest.mark.parametrize(
    ("status", "said", "kind"),
    [(404, "manifest unknown: manifest unknown", ImageMissing), (500, "dial tcp: connection refused", EngineUnreachable)],
)
def test_registry_that_says_something_else_is_not_taken_for_a_missing_login(
    httpserver: HTTPServer, status: int, said: str, kind: type[Exception]
) -> None:
    engine = api(httpserver)
    httpserver.expect_request(f"/v1.41/distribution/{IMAGE}/json").respond_with_json({"message": said}, status=status)
    with pytest.raises(kind) as found:
        engine.resolve(IMAGE, Deadline(10))
    assert not isinstance(found.value, LoginNeeded)
    engine.close()
