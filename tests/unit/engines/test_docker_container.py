"""Which container is the service after a run was killed, at any point of a roll-out."""

from __future__ import annotations

from typing import Any

import pytest

from cicd_actions.engines.docker_container import Slot

Json = dict[str, Any]


def container(name: str, *, running: bool, port: bool = False, created: str = "1") -> Json:
    bindings = {"80/tcp": [{"HostPort": "8080"}]} if port else {}
    return {
        "Id": name,
        "Name": f"/{name}",
        "Created": created,
        "State": {"Running": running},
        "Config": {},
        "HostConfig": {"NetworkMode": "shop", "PortBindings": bindings},
        "NetworkSettings": {"Networks": {}},
    }


@pytest.mark.parametrize("port", [True, False])
@pytest.mark.parametrize(
    ("own", "kept", "candidate", "successor", "expected", "with_port"),
    [
        ("runs", None, None, None, "api", "api"),
        ("stopped", None, None, None, "api", "api"),
        ("runs", "stopped", None, None, "api", "api"),
        (None, "stopped", None, None, None, None),
        ("runs", None, "runs", None, "api", "api"),
        ("runs", None, "runs", "stopped", "api", "api"),
        # The old one has stopped, and was not renamed yet: the candidate serves, but never holds a port.
        ("stopped", None, "runs", None, "api.candidate-0a0a0a", "api"),
        (None, "stopped", "runs", None, "api.candidate-0a0a0a", "api.before"),
        (None, "stopped", "runs", "stopped", "api.candidate-0a0a0a", "api.before"),
        (None, "stopped", "runs", "runs", None, "api.next"),
        (None, "stopped", None, "runs", "api.next", "api.next"),
        (None, "stopped", None, "stopped", "api.before", "api.before"),
        (None, "stopped", "stopped", None, "api.before", "api.before"),
        (None, None, "runs", None, "api.candidate-0a0a0a", "api.candidate-0a0a0a"),
    ],
)
def test_current_of_a_killed_run_is_what_serves(
    port: bool,
    own: str | None,
    kept: str | None,
    candidate: str | None,
    successor: str | None,
    expected: str | None,
    with_port: str | None,
) -> None:
    slot = Slot("api")
    slot.own = container("api", running=own == "runs", port=port) if own else None
    slot.kept = container("api.before", running=kept == "runs", port=port) if kept else None
    if candidate:
        slot.made.append(container("api.candidate-0a0a0a", running=candidate == "runs"))
    if successor:
        slot.made.append(container("api.next", running=successor == "runs", port=port, created="2"))
    found = slot.current["Name"].lstrip("/") if slot.current else None
    if not port and candidate == successor == "runs":
        expected = "api.next"  # the youngest that serves
    assert found == (with_port if port else expected)
