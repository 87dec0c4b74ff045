"""The settings of a container that its successor takes over: pure functions on the document that `docker inspect` prints."""

from __future__ import annotations

import copy
import posixpath
import re
from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]

# These belong to the one container, not to the service.
_OWN_CONFIG = ("Image", "AttachStdin", "AttachStdout", "AttachStderr", "OnBuild", "MacAddress")
_FROM_IMAGE = ("Cmd", "Entrypoint", "User", "WorkingDir", "Healthcheck", "StopSignal", "Shell", "ExposedPorts", "Volumes")
_OWN_HOST = ("ContainerIDFile", "PortBindings", "PublishAllPorts", "Links")

_UNNAMED_VOLUME = re.compile(r"[0-9a-f]{64}")
"""The name that the engine gives an unnamed volume."""

_WITHOUT_NAMES = {"bridge", "host", "none"}
"""The networks on which containers have no names."""

_COMPOSE = "com.docker.compose."


def own_labels(state: Json, image: Json | None) -> dict[str, str]:
    """Returns the labels that the container was given, without those that its image carries with the same text.

    Everybody who builds an image chooses its labels, so those say nothing about the container.
    """
    carried = _labels(((image or {}).get("Config")) or {})
    return {name: text for name, text in _labels(state["Config"]).items() if carried.get(name) != text}


def settings(state: Json, image: Json | None) -> Json:
    """Returns the settings that the container was made with, as a request for a new one.

    Without what its image brought, since the next image brings its own, and without what only one container can hold (see
    `alone`). Volumes are named, so that the new container gets the data of the old one.
    """
    config: Json = copy.deepcopy(state["Config"])
    brought = ((image or {}).get("Config")) or {}
    host: Json = copy.deepcopy(state["HostConfig"])
    for name in _OWN_CONFIG:
        config.pop(name, None)
    if shares_a_network(state):
        config.pop("Hostname", None)
        config.pop("Domainname", None)
    if state["Id"].startswith(config.get("Hostname") or ""):
        config.pop("Hostname", None)
    for name in _FROM_IMAGE:
        if config.get(name) == brought.get(name):
            config.pop(name, None)
    for name in ("ExposedPorts", "Volumes"):
        own = {key: value for key, value in (config.get(name) or {}).items() if key not in (brought.get(name) or {})}
        config[name] = own
    config["Env"] = [entry for entry in config.get("Env") or [] if entry not in set(brought.get("Env") or [])]
    # Compose also labels the images that it builds; a container without these labels would be lost to it.
    compose = {name: text for name, text in _labels(state["Config"]).items() if name.startswith(_COMPOSE)}
    config["Labels"] = {**own_labels(state, image), **compose}
    for name in _OWN_HOST:
        host.pop(name, None)
    host["Links"] = [_link(entry) for entry in state["HostConfig"].get("Links") or []]
    names = networks(state)
    if names:
        host["NetworkMode"] = names[0]
    _name_volumes(state, host)
    config["HostConfig"] = host
    return config


def take_over_alone(config: Json, state: Json) -> None:
    """Adds to a request what only one container can hold: ports and the MAC address. `endpoint` has the addresses.

    API versions before 1.44 take the MAC address here, and later ones there; equal ones in both places are fine for all.
    """
    for name in ("PortBindings", "PublishAllPorts"):
        if state["HostConfig"].get(name):
            config["HostConfig"][name] = state["HostConfig"][name]
    if state["Config"].get("MacAddress"):
        config["MacAddress"] = state["Config"]["MacAddress"]


def has_mac(state: Json | None, mac: str) -> bool:
    """Whether a new container has the MAC address that was asked for: as a setting, or on one of its networks."""
    return state is not None and any(place.get("MacAddress") == mac for place in (state["Config"], *_endpoints(state).values()))


def published(state: Json) -> list[str]:
    """Returns the ports of the host that the container holds, as `8080->80/tcp`."""
    bindings = state["HostConfig"].get("PortBindings") or {}
    ports = [f"{bound.get('HostPort') or 'any'}->{port}" for port, each in bindings.items() for bound in each or []]
    return [*ports, *(["any->all exposed"] if state["HostConfig"].get("PublishAllPorts") else [])]


def alone(state: Json) -> list[str]:
    """Returns what only one container can hold, so that it has to stop before its successor starts; empty for nothing.

    An unnamed volume belongs to one container: two databases on the same files would destroy them.
    """
    held = [f"port {port}" for port in published(state)]
    if state["HostConfig"]["NetworkMode"] == "host":
        held.append("the host's network")
    if shares_a_network(state):
        held.append("another container's network")
    for network, known in _endpoints(state).items():
        held += [f"the address {address} on {network}" for address in _addresses(known)]
    if state["Config"].get("MacAddress"):
        held.append(f"the MAC address {state['Config']['MacAddress']}")
    return held + own_volumes(state)


def can_be_tried(state: Json) -> bool:
    """Whether a container with the new image can run beside this one, without what only one can hold."""
    return state["HostConfig"]["NetworkMode"] != "host" and not shares_a_network(state) and not own_volumes(state)


def shares_a_network(state: Json) -> bool:
    """Whether the container runs in the network of another one (`--network container:NAME`)."""
    return str(state["HostConfig"]["NetworkMode"]).startswith("container:")


def own_volumes(state: Json) -> list[str]:
    """Returns the writable unnamed volumes, as `the volume at /data`."""
    return [
        f"the volume at {mount['Destination']}"
        for mount in state.get("Mounts") or []
        if mount["Type"] == "volume" and mount.get("RW", True) and _UNNAMED_VOLUME.fullmatch(mount.get("Name", ""))
    ]


def networks(state: Json) -> list[str]:
    """Returns the names of the networks that the container is in, the one it was made with first."""
    first = state["HostConfig"]["NetworkMode"]
    by_id = {entry.get("NetworkID"): name for name, entry in _endpoints(state).items()}
    first = by_id.get(first, first)
    return sorted(_endpoints(state), key=lambda name: (name not in {first, {"default": "bridge"}.get(first, first)}, name))


def names(state: Json, network: str) -> list[str]:
    """Returns the names by which others reach the container on a network: its aliases, and its own name."""
    if network in _WITHOUT_NAMES:
        return []
    known = (_endpoints(state).get(network) or {}).get("Aliases") or []
    own = [alias for alias in known if not state["Id"].startswith(alias)]
    name = state["Name"].lstrip("/")
    return [*own, *([name] if name not in own else [])]


def endpoint(state: Json, network: str, *, takes_over: bool, called: str = "") -> Json:
    """Returns how a successor joins a network (`EndpointSettings`): its links and options.

    With `takes_over` also the container's names and static addresses there. `called` replaces the container's own name
    among them.
    """
    known = _endpoints(state).get(network) or {}
    joined: Json = {name: known[name] for name in ("Links", "DriverOpts", "GwPriority") if known.get(name)}
    if takes_over:
        reached = names({**state, "Name": f"/{called}"} if called else state, network)
        joined |= {"Aliases": reached} if reached else {}
        joined |= {"IPAMConfig": known["IPAMConfig"]} if _addresses(known) else {}
        joined |= {"MacAddress": mac} if (mac := state["Config"].get("MacAddress")) and network == networks(state)[0] else {}
    return joined


def _endpoints(state: Json) -> dict[str, Json]:
    found: dict[str, Json] = state["NetworkSettings"]["Networks"]
    return found


def _addresses(known: Json) -> list[str]:
    own = known.get("IPAMConfig") or {}
    return [own[name] for name in ("IPv4Address", "IPv6Address") if own.get(name)] + list(own.get("LinkLocalIPs") or [])


def _labels(config: Mapping[str, Any]) -> dict[str, str]:
    return dict(config.get("Labels") or {})


def _link(entry: str) -> str:
    """Turns `/db:/api/database`, as `inspect` prints a link, into `db:database`, as a request names it."""
    source, _, alias = entry.partition(":")
    return f"{source.lstrip('/')}:{alias.rpartition('/')[2]}"


def _name_volumes(state: Json, host: Json) -> None:
    """Names every volume of the container in the request: a volume that it only asked for would be a new, empty one."""
    binds = [bind for bind in host.get("Binds") or [] if ":" in bind]
    bound = {posixpath.normpath(bind.split(":")[1]) for bind in binds}
    mounts = {posixpath.normpath(mount["Target"]): mount for mount in host.get("Mounts") or []}
    for mount in state.get("Mounts") or []:
        at = posixpath.normpath(mount["Destination"])
        if mount["Type"] != "volume" or at in bound:
            continue
        if at in mounts:
            mounts[at]["Source"] = mount["Name"]
        else:
            binds.append(f"{mount['Name']}:{at}" + ("" if mount.get("RW", True) else ":ro"))
    host["Binds"] = binds
