"""The program as it is started: `python -m two_lane_api`, and its container health check."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy.engine import URL

from tests.harness import SHA


def run_healthcheck(port: int) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "two_lane_api.healthcheck"]
    return subprocess.run(  # noqa: S603
        program,
        env={**os.environ, "PORT": str(port)},
        capture_output=True,
        text=True,
        check=False,
    )


@contextmanager
def serving(url: URL) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    environment = {
        **os.environ,
        "DATABASE_URL": url.render_as_string(hide_password=False),
        "PORT": str(port),
        "RELEASE_SHA": SHA,
        "CORS_ORIGINS": "https://web.example",
    }
    program = [sys.executable, "-m", "two_lane_api"]
    process = subprocess.Popen(program, env=environment, stderr=subprocess.PIPE, text=True)  # noqa: S603
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if "Uvicorn running on" in line:
                break
        else:
            pytest.fail(f"the server ended with {process.wait()}")
        yield port
    finally:
        process.terminate()
        process.communicate(timeout=10)


def test_it_serves_and_never_migrates_by_itself(
    alembic_config: Config, empty_database: URL
) -> None:
    with serving(empty_database) as port:
        base = f"http://127.0.0.1:{port}"
        assert httpx.get(f"{base}/health/live").json()["version"] == SHA
        before = run_healthcheck(port)
        assert (before.returncode, before.stdout.split()[0]) == (1, "503")
        command.upgrade(alembic_config, "head")
        after = run_healthcheck(port)
        assert (after.returncode, after.stdout.split()[0]) == (0, "200")
        origin = {"Origin": "https://web.example"}
        answer = httpx.get(f"{base}/items", headers=origin)
        assert answer.headers["access-control-allow-origin"] == "https://web.example"
        stranger = httpx.get(f"{base}/items", headers={"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in stranger.headers
    gone = run_healthcheck(port)
    assert gone.returncode == 1
    assert "ConnectionRefusedError" in gone.stderr
