"""The API version that the Docker client speaks, and the logins that it hands to the engine."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer

from cicd_actions.engines.docker_client import NEWEST, connected


@pytest.mark.parametrize(("engine", "spoken"), [("1.41", "1.41"), ("1.51", "1.51"), ("1.52", NEWEST), ("1.100", NEWEST)])
def test_client_speaks_no_version_that_hides_a_mac_address(httpserver: HTTPServer, engine: str, spoken: str) -> None:
    httpserver.expect_request("/version").respond_with_json({"ApiVersion": engine})
    client = connected({"DOCKER_HOST": f"tcp://127.0.0.1:{httpserver.port}"}, lambda longest: longest)
    assert client.api_version == spoken
    client.close()


def test_client_hands_the_login_of_the_folder_in_its_variables_to_the_engine(httpserver: HTTPServer, tmp_path: Path) -> None:
    """A deploy logs in for its job alone: the variables of this process name another folder, or none."""
    login = base64.b64encode(b"robot:correct-horse").decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {"registry.example.com": {"auth": login}}}))
    httpserver.expect_request("/version").respond_with_json({"ApiVersion": "1.41"})
    variables = {"DOCKER_HOST": f"tcp://127.0.0.1:{httpserver.port}", "DOCKER_CONFIG": str(tmp_path)}
    client = connected(variables, lambda longest: longest)
    url = "/v1.41/services/shop/update"
    httpserver.expect_request(url, method="POST").respond_with_json({"Warnings": None})
    client.change_service("shop", 1, {}, image="registry.example.com/shop/api:1")
    client.close()
    (request,) = [each for each, _ in httpserver.log if each.path == url]
    told = json.loads(base64.urlsafe_b64decode(request.headers["X-Registry-Auth"]))
    assert (told["username"], told["password"]) == ("robot", "correct-horse")
