"""What a container's successor takes over, on documents as `docker inspect` prints them."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd_actions.engines import docker_settings

Json = dict[str, Any]

UNNAMED = "0a" * 32


def inspected(**host: Any) -> Json:
    """A container on one network, with `host` on top of its HostConfig."""
    return {
        "Id": "f" * 64,
        "Name": "/api",
        "Config": {"Image": "api:1", "Hostname": "f" * 12, "Labels": {}, "Env": []},
        "HostConfig": {"NetworkMode": "shop", "Binds": None, "Links": None, "PortBindings": {}, **host},
        "Mounts": [],
        "NetworkSettings": {"Networks": {"shop": {"NetworkID": "1", "Aliases": ["f" * 12], "IPAMConfig": None}}},
    }


def volume(at: str, name: str = UNNAMED, *, writable: bool = True) -> Json:
    return {"Type": "volume", "Name": name, "Destination": at, "RW": writable, "Mode": ""}


KINDS = st.sampled_from(["option", "bind", "mount", "mount without a source"])
PATHS = st.lists(st.sampled_from(["/data", "/var/lib/db", "/a b", "/x/y"]), unique=True)


@given(PATHS, st.lists(KINDS, min_size=4, max_size=4), st.booleans())
def test_settings_of_any_volume_name_it_exactly_once(paths: list[str], kinds: list[str], writable: bool) -> None:
    state = inspected(Binds=[], Mounts=[])
    state["Mounts"] = [volume(path, f"{number:064x}", writable=writable) for number, path in enumerate(paths)]
    for mount, kind in zip(state["Mounts"], kinds):  # noqa: B905 - fewer paths than kinds
        if kind == "bind":
            state["HostConfig"]["Binds"].append(f"{mount['Name']}:{mount['Destination']}/")
        elif kind != "option":
            source = {"Source": mount["Name"]} if kind == "mount" else {}
            state["HostConfig"]["Mounts"].append({"Type": "volume", "Target": mount["Destination"], **source})
    before = copy.deepcopy(state)
    host = docker_settings.settings(state, None)["HostConfig"]
    asked = [(bind.split(":")[0], bind.split(":")[1].rstrip("/")) for bind in host["Binds"]]
    asked += [(mount["Source"], mount["Target"]) for mount in host["Mounts"]]
    assert sorted(asked) == sorted((mount["Name"], mount["Destination"]) for mount in state["Mounts"])
    assert all(bind.endswith(":ro") for bind in host["Binds"] if bind.count(":") == 2)
    assert state == before, "the document of the old container stays as it was read"


def test_own_labels_without_those_that_the_image_carries() -> None:
    state = inspected()
    state["Config"]["Labels"] = {"team": "shop", "org.cicd-actions.service": "/api", "tier": "own"}
    image = {"Config": {"Labels": {"org.cicd-actions.service": "/api", "tier": "image"}}}
    assert docker_settings.own_labels(state, image) == {"team": "shop", "tier": "own"}


def test_settings_keep_labels_of_compose_that_the_image_carries_too() -> None:
    state = inspected()
    state["Config"]["Labels"] = {"com.docker.compose.service": "web", "other": "1"}
    image = {"Config": {"Labels": {"com.docker.compose.service": "web", "other": "1"}}}
    assert docker_settings.settings(state, image)["Labels"] == {"com.docker.compose.service": "web"}


def test_settings_keep_links_and_the_network_of_another_container() -> None:
    state = inspected(Links=["/db:/api/database"])
    assert docker_settings.settings(state, None)["HostConfig"]["Links"] == ["db:database"]
    state = inspected(NetworkMode="container:" + "e" * 64)
    state["NetworkSettings"]["Networks"] = {}
    state["Config"]["Hostname"] = "the-other"
    config = docker_settings.settings(state, None)
    assert config["HostConfig"]["NetworkMode"] == "container:" + "e" * 64
    assert "Hostname" not in config, "the engine refuses a host name there"


@pytest.mark.parametrize(
    ("change", "held", "tried"),
    [
        ({}, [], True),
        ({"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}}, ["port 8080->80/tcp"], True),
        ({"PortBindings": {"80/tcp": [{"HostPort": ""}]}}, ["port any->80/tcp"], True),
        ({"PublishAllPorts": True}, ["port any->all exposed"], True),
        ({"NetworkMode": "host"}, ["the host's network"], False),
        ({"NetworkMode": "container:x"}, ["another container's network"], False),
    ],
)
def test_alone_names_what_only_one_container_can_hold(change: Json, held: list[str], tried: bool) -> None:
    state = inspected(**change)
    assert docker_settings.alone(state) == held
    assert docker_settings.can_be_tried(state) is tried


def test_alone_with_addresses_and_volumes() -> None:
    state = inspected()
    state["Config"]["MacAddress"] = "02:42:ac:11:00:09"
    state["NetworkSettings"]["Networks"]["shop"]["IPAMConfig"] = {"IPv4Address": "10.9.0.7"}
    assert docker_settings.alone(state) == ["the address 10.9.0.7 on shop", "the MAC address 02:42:ac:11:00:09"]
    assert docker_settings.endpoint(state, "shop", takes_over=True) == {
        "Aliases": ["api"],
        "IPAMConfig": {"IPv4Address": "10.9.0.7"},
        "MacAddress": "02:42:ac:11:00:09",
    }
    assert docker_settings.endpoint(state, "shop", takes_over=False) == {}
    state["NetworkSettings"]["Networks"]["shop"]["GwPriority"] = 7
    assert docker_settings.endpoint(state, "shop", takes_over=False) == {"GwPriority": 7}
    assert docker_settings.can_be_tried(state)
    for mount, own in ((volume("/data"), True), (volume("/data", "named"), False), (volume("/data", writable=False), False)):
        state["Mounts"] = [mount]
        assert ("the volume at /data" in docker_settings.alone(state)) is own
        assert docker_settings.can_be_tried(state) is not own


@pytest.mark.parametrize(
    ("config", "endpoint", "expected"),
    [({"MacAddress": "02:00:00:00:00:01"}, {}, True), ({}, {"MacAddress": "02:00:00:00:00:01"}, True), ({}, {}, False)],
)
def test_has_mac_where_any_api_version_tells_it(config: Json, endpoint: Json, expected: bool) -> None:
    state = {"Config": config, "NetworkSettings": {"Networks": {"shop": endpoint}}}
    assert docker_settings.has_mac(state, "02:00:00:00:00:01") is expected
    assert not docker_settings.has_mac(None, "02:00:00:00:00:01")
