"""Containers that are services: how they are found, and how one becomes the next with another image."""

from __future__ import annotations

import contextlib
import copy
import re
import secrets
from collections.abc import Sequence

from docker import errors as sdk

from cicd_actions.engines.docker_api import DockerApi, Json
from cicd_actions.engines.protocol import REVISION, Target
from cicd_actions.engines.reference import reference
from cicd_actions.toolkit.grammar import NotUnderstood

SERVICE = "org.cicd-actions.service"
"""Whose container it is; set on every container that this engine makes."""

STOP = 10
"""Seconds between SIGTERM and SIGKILL where a container does not say."""

_SUFFIX = ".before"
_COMPOSE_PROJECT = "com.docker.compose.project"
_COMPOSE_SERVICE = "com.docker.compose.service"

# What belongs to the one container and not to the service's settings.
_OWN_CONFIG = ("Image", "AttachStdin", "AttachStdout", "AttachStderr", "OnBuild", "MacAddress")
_FROM_IMAGE = ("Cmd", "Entrypoint", "User", "WorkingDir", "Healthcheck", "StopSignal", "Shell", "ExposedPorts", "Volumes")
_OWN_HOST = ("ContainerIDFile", "PortBindings", "PublishAllPorts", "Links")


class Containers:
    """The services' containers on one engine; `project` narrows them to one Compose project."""

    def __init__(self, api: DockerApi, project: str) -> None:
        self._api = api
        self._project = project

    def of(self, service: str) -> Json | None:
        """The container that is the service now: the one labelled so, the Compose project's, or the one so named."""
        wanted = f"{self._project}/{service}"
        labels = [[f"{SERVICE}={wanted}"]]
        if self._project:
            labels.append([f"{_COMPOSE_PROJECT}={self._project}", f"{_COMPOSE_SERVICE}={service}"])
        with self._api.asking(f"look for the container of {service}"):
            for chosen in labels:
                found = self._api.client.containers(all=True, filters={"label": chosen})
                states = [state for state in map(self._api.container, (each["Id"] for each in found)) if state is not None]
                current = [state for state in states if not state["Name"].endswith(_SUFFIX) and not _is_candidate(state)]
                if current:
                    # One that runs, and among those the youngest: an interrupted run may have left another.
                    return max(current, key=lambda state: (bool(state["State"]["Running"]), state["Created"]))
        named = None if self._project else self._api.container(service)
        # The engine also takes the beginning of an id for a name.
        return named if named is not None and named["Name"] == f"/{service}" else None

    def drop_kept(self, service: str) -> None:
        """Remove what earlier roll-outs left: the container kept for the way back, and candidates of interrupted runs."""
        current = self.of(service)
        if current is None:
            return
        kept = current["Name"] + _SUFFIX
        with self._api.asking(f"remove what an earlier roll-out of {service} kept"):
            labelled = self._api.client.containers(all=True, filters={"label": f"{SERVICE}={self._project}/{service}"})
            named = self._api.client.containers(all=True, filters={"name": f"^{re.escape(kept)}$"})
            for identity in {each["Id"] for each in [*labelled, *named]} - {current["Id"]}:
                with contextlib.suppress(sdk.NotFound):
                    self._api.client.remove_container(identity, force=True, v=True)

    def candidate(self, old: Json, target: Target) -> str:
        """A container with the old one's settings and the new image: without published ports, and without its names."""
        config = self._next(old, target)
        name = f"{old['Name'].lstrip('/')}.candidate-{secrets.token_hex(3)}"
        with self._api.asking(f"make a new container of {target.service}"):
            identity = str(self._api.client.create_container_from_config(config, name)["Id"])
            for network in self.networks(old)[1:]:
                self._api.client.connect_container_to_network(identity, network)
        return identity

    def successor(self, old: Json, target: Target) -> str:
        """The container that takes the old one's published ports and names over; not started yet."""
        config = self._next(old, target)
        config["HostConfig"]["PortBindings"] = old["HostConfig"].get("PortBindings") or {}
        networks = self.networks(old)
        identity = str(self._api.client.create_container_from_config(config, f"{old['Name'].lstrip('/')}.next")["Id"])
        for network in networks:
            self._join(identity, network, old)
        return identity

    def give_names(self, candidate: str, old: Json) -> None:
        """Let the old container's names on its networks lead to the candidate as well."""
        for network in self.networks(old):
            if _aliases(old, network):
                self._join(candidate, network, old)

    def stop(self, state: Json) -> None:
        """As `docker stop`: it has the time to end that it was made with, within the deadline."""
        # Named here, because the library waits for ten seconds only, whatever the container was made with.
        grace = self._api.deadline.timeout(state["Config"].get("StopTimeout") or STOP)
        self._api.client.stop(state["Id"], timeout=max(int(grace), 1))

    def keep(self, old: Json) -> None:
        """Stop the old container and set it aside under another name; the engine does not start it by itself again."""
        if old["HostConfig"]["RestartPolicy"].get("Name") == "always":
            # It would start again together with the engine, beside its successor.
            self._api.client.update_container(old["Id"], restart_policy={"Name": "unless-stopped"})
        # Only then renamed: the engine's DNS never forgets the name under which a running container was renamed.
        self.stop(old)
        self._api.client.rename(old["Id"], old["Name"].lstrip("/") + _SUFFIX)

    def restore(self, identity: str, policy: Json) -> None:
        """Start a container that was set aside, under its own name and with the service's restart policy."""
        state = self._api.container(identity)
        if state is None:
            return
        name = state["Name"].lstrip("/")
        if name.endswith(_SUFFIX):
            self._api.client.rename(identity, name.removesuffix(_SUFFIX))
        if policy.get("Name") == "always":
            self._api.client.update_container(identity, restart_policy=policy)
        self._api.client.start(identity)

    def like(self, state: Json) -> Json:
        """The settings of a service for a job: variables, networks, mounts, limits; not its command, ports and health check."""
        config = self._settings(state)
        for name in ("Cmd", "Entrypoint", "ExposedPorts", "Healthcheck", "User", "WorkingDir", "StopSignal"):
            config.pop(name, None)
        return config

    def networks(self, state: Json) -> list[str]:
        """The names of the networks the container is in, the one it was made with first."""
        first = state["HostConfig"]["NetworkMode"]
        names = list(state["NetworkSettings"]["Networks"])
        by_id = {entry.get("NetworkID"): name for name, entry in state["NetworkSettings"]["Networks"].items()}
        first = by_id.get(first, first)
        return sorted(names, key=lambda name: (name not in {first, {"default": "bridge"}.get(first, first)}, name))

    def deployable(self, state: Json, image: Json) -> str:
        """What names the container's image for another roll-out: by digest, or by its id where no registry has it."""
        digest = self.digest(str(state["Config"]["Image"]), image, str(state["Image"]))
        if digest == state["Image"]:
            return digest
        return f"{reference(str(state['Config']['Image'])).repository}@{digest}"

    def digest(self, name: str, image: Json, identity: str) -> str:
        """The digest under which the image was pulled or pushed; its id where it never was."""
        try:
            parts = reference(name)
        except NotUnderstood:
            return identity  # the container was made from an id
        if parts.digest:
            return parts.digest
        for entry in image.get("RepoDigests") or []:
            repository, _, digest = entry.partition("@")
            if repository == parts.repository:
                return str(digest)
        return identity

    def _next(self, old: Json, target: Target) -> Json:
        config = self._settings(old)
        config["Image"] = target.image.pinned
        labels = {name: text for name, text in config["Labels"].items() if name != REVISION}
        if target.sha:
            labels[REVISION] = target.sha
        config["Labels"] = {**labels, SERVICE: f"{self._project}/{target.service}"}
        return config

    def _settings(self, state: Json) -> Json:
        """What was asked of the container, without what its image brought: the next image brings its own."""
        config = copy.deepcopy(state["Config"])
        image = ((self._api.local_image(state["Image"]) or {}).get("Config")) or {}
        for name in _OWN_CONFIG:
            config.pop(name, None)
        if state["Id"].startswith(config.get("Hostname") or ""):
            config.pop("Hostname", None)
        for name in _FROM_IMAGE:
            if config.get(name) == image.get(name):
                config.pop(name, None)
        for name in ("ExposedPorts", "Volumes"):
            own = {key: value for key, value in (config.get(name) or {}).items() if key not in (image.get(name) or {})}
            config[name] = own
        config["Env"] = [entry for entry in config.get("Env") or [] if entry not in set(image.get("Env") or [])]
        inherited = image.get("Labels") or {}
        config["Labels"] = {key: text for key, text in (config.get("Labels") or {}).items() if inherited.get(key) != text}
        host = copy.deepcopy(state["HostConfig"])
        for name in _OWN_HOST:
            host.pop(name, None)
        networks = self.networks(state)
        if networks:
            host["NetworkMode"] = networks[0]
        config["HostConfig"] = host
        return config  # type: ignore[no-any-return]

    def _join(self, identity: str, network: str, old: Json) -> None:
        """Put the container into the network under the old one's names; a container's names cannot be changed in place."""
        try:
            self._api.client.disconnect_container_from_network(identity, network, force=True)
        except sdk.APIError as error:
            if "not connected" not in str(error.explanation):
                raise
        self._api.client.connect_container_to_network(identity, network, aliases=_aliases(old, network) or None)


def published(state: Json) -> Sequence[str]:
    """The ports of the host that the container holds, as `8080->80/tcp`."""
    if state["HostConfig"]["NetworkMode"] == "host":
        return ["the host's own network"]
    bindings = state["HostConfig"].get("PortBindings") or {}
    return [f"{bound.get('HostPort') or 'any'}->{port}" for port, each in bindings.items() for bound in each or []]


def _aliases(state: Json, network: str) -> list[str]:
    """The names others know the container by on a network: its aliases, and the container's own name."""
    known = (state["NetworkSettings"]["Networks"].get(network) or {}).get("Aliases") or []
    if network in {"bridge", "host", "none"}:
        return []  # these have no names
    own = [alias for alias in known if not state["Id"].startswith(alias)]
    name = state["Name"].lstrip("/")
    return [*own, *([name] if name not in own else [])]


def _is_candidate(state: Json) -> bool:
    return ".candidate-" in state["Name"] or state["Name"].endswith(".next")
