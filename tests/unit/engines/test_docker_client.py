"""The API version that the Docker client speaks."""

from __future__ import annotations

import pytest
from pytest_httpserver import HTTPServer

from cicd_actions.engines.docker_client import NEWEST, connected


@pytest.mark.parametrize(("engine", "spoken"), [("1.41", "1.41"), ("1.51", "1.51"), ("1.52", NEWEST), ("1.100", NEWEST)])
def test_client_speaks_no_version_that_hides_a_mac_address(httpserver: HTTPServer, engine: str, spoken: str) -> None:
    httpserver.expect_request("/version").respond_with_json({"ApiVersion": engine})
    client = connected({"DOCKER_HOST": f"tcp://127.0.0.1:{httpserver.port}"}, lambda longest: longest)
    assert client.api_version == spoken
    client.close()
