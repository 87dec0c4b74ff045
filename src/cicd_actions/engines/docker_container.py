"""Containers that are services: how they are found, replaced and set aside, and what a killed run left of them."""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from docker import errors as sdk

from cicd_actions.engines import docker_settings, left_behind
from cicd_actions.engines.docker_api import DockerApi
from cicd_actions.engines.docker_client import Json
from cicd_actions.engines.protocol import REVISION, ChangedMeanwhile, Refused, Target
from cicd_actions.engines.reference import reference
from cicd_actions.toolkit.errors import ActionError
from cicd_actions.toolkit.grammar import NotUnderstood

SERVICE = "org.cicd-actions.service"
"""The label that names the service of a container that this engine made."""

_MADE = "org.cicd-actions.made"
"""The label that marks a container that this engine made; its random text is one that no image carries."""

STOP = 10
"""Seconds between SIGTERM and SIGKILL for a container without an own setting."""

_KEPT = ".before"
_PASSING = re.compile(r"(?P<own>.+)(?:\.before|(?P<made>\.next|\.candidate-[0-9a-f]{6}))")
"""The names of containers that are not the service: the one kept for the rollback, and those of a roll-out under way."""

_COMPOSE_PROJECT = "com.docker.compose.project"
_COMPOSE_SERVICE = "com.docker.compose.service"
_COMPOSE_NUMBER = "com.docker.compose.container-number"
_COMPOSE_ONE_OFF = "com.docker.compose.oneoff"


@dataclass
class Slot:
    """The containers of one replica, which share a name: the service's own, the kept one, and those a roll-out made."""

    name: str
    own: Json | None = None
    kept: Json | None = None
    made: list[Json] = field(default_factory=list)

    @property
    def current(self) -> Json | None:
        """The container that is the service now.

        After a killed run that is the container that took over, else the one that was to be replaced.
        """
        if self.own is not None and self.own["State"]["Running"]:
            return self.own
        # A candidate never gets what only one container can hold.
        before = self.own or self.kept
        whole = before is None or not docker_settings.alone(before)
        serving = [each for each in self.made if each["State"]["Running"] and (whole or each["Name"].endswith(".next"))]
        if serving:
            return max(serving, key=lambda each: str(each["Created"]))
        return self.own or (self.kept if self.made else None)


class Containers:
    """The services' containers on one engine; `project` narrows them to one Compose project."""

    def __init__(self, api: DockerApi, project: str) -> None:
        self._api = api
        self._project = project
        self._set_aside: set[str] = set()
        self._images: dict[str, Json | None] = {}

    def image_of(self, state: Json) -> Json | None:
        """Returns the image of a container as this engine has it; `None` where it was removed."""
        identity = str(state["Image"])
        if identity not in self._images:
            self._images[identity] = self._api.local_image(identity)
        return self._images[identity]

    def slots(self, service: str) -> list[Slot]:
        """Returns the replicas of a service, in the order of their names.

        Without a project the container of the service's name is its one replica. In a project Compose's labels say which
        containers are, but never labels that an image carries.
        """
        if self._project:
            chosen = [f"{_COMPOSE_PROJECT}={self._project}", f"{_COMPOSE_SERVICE}={service}"]
            found = self._states({"label": chosen})
        else:
            found = self._states({"name": re.escape(service)})
        slots: dict[str, Slot] = {}
        for state in found:
            name = str(state["Name"]).lstrip("/")
            passing = _PASSING.fullmatch(name)
            own = passing["own"] if passing else name
            if not self._project and own != service:
                continue  # the engine takes a part of a name, too
            labels = docker_settings.own_labels(state, self.image_of(state))
            made = labels.get(SERVICE) == f"{self._project}/{service}" and _MADE in labels
            if self._project and not self._claims(labels, state):
                continue
            slot = slots.setdefault(own, Slot(own))
            if not passing:
                slot.own = state
            elif not passing["made"]:
                slot.kept = state
            elif made:
                slot.made.append(state)
        return _alive([slots[name] for name in sorted(slots, key=lambda name: (len(name), name))])

    def busy(self, service: str) -> bool:
        """Whether a run that is alive works on the service."""
        holder = self._api.container(self._mutex(service))
        return holder is not None and not self._abandoned(holder)

    @contextlib.contextmanager
    def held(self, service: str, like: Json) -> Iterator[None]:
        """Keeps other runs away from the service: by a container that is never started, because its name can exist once only.

        `like` is a container whose image the engine has. Raises `ChangedMeanwhile` where another run works on the service.
        """
        name, identity = self._mutex(service), ""
        brought = ((self.image_of(like) or {}).get("Config") or {}).get("Volumes") or {}
        mounts = [{"Type": "tmpfs", "Target": path} for path in brought]  # instead of volumes, which the engine would fill
        until = left_behind.labels(self._api.runtime.variables, self._api.deadline.remaining)
        config = {"Image": like["Image"], "Cmd": ["true"], "Labels": until, "HostConfig": {"Mounts": mounts}}
        with self._api.asking(f"begin the roll-out of {service}"):
            holder = self._api.container(name)
            if holder is not None and self._abandoned(holder):
                self._drop([holder])
            try:
                identity = str(self._api.client.create_container_from_config(config, name)["Id"])
            except sdk.APIError as error:
                if error.status_code != 409:
                    raise
        if not identity:
            raise ChangedMeanwhile(
                service,
                f"Another run works on {service}.",
                cause=f"It holds the container {name}, which is never started.",
                fix=f"Wait for that run. If there is none, remove what it left: docker rm {name}",
            )
        try:
            yield
        finally:
            self.discard(identity, volumes=True)

    def _mutex(self, service: str) -> str:
        return f"{self._project}-{service}.rolling" if self._project else f"{service}.rolling"

    def _abandoned(self, holder: Json) -> bool:
        return left_behind.abandoned(holder["Config"].get("Labels") or {}, self._api.runtime.variables)

    def examine(self, service: str) -> None:
        """Raises `Refused` where a container of the service cannot be replaced without losing something."""
        slots = self.slots(service)
        with self._api.asking(f"look at the containers beside {service}"):
            others = list(filter(None, (self._api.container(each["Id"]) for each in self._api.client.containers(all=True))))
        for slot in slots:
            for problem, fix in _problems(slot, others):
                raise Refused(f"Cannot replace {slot.name}: {problem}.", cause="Nothing was changed.", fix=fix)

    def end_leftovers(self, service: str) -> None:
        """Ends what earlier runs left: the container kept for their rollback, and what a killed run was about to do.

        What took over already in a killed run becomes the service, else the old container runs again.
        """
        for slot in self.slots(service):
            current = slot.current
            if current is None:
                continue
            others = [each for each in slot.made if each is not current]
            with self._api.asking(f"end what an earlier run left of {slot.name}"):
                if slot.made:
                    self._api.runtime.log(f"{slot.name}: a killed run left {len(slot.made)} container(s). Ending them first.")
                if current in slot.made:
                    self._take_the_place(current, slot)
                elif slot.made and not current["State"]["Running"]:
                    # They may hold its ports.
                    self._drop([each for each in others if each["Name"].endswith(".next")])
                    self.restore(current["Id"], others[0]["HostConfig"]["RestartPolicy"])
                self._drop([*others, *([slot.kept] if slot.kept and slot.kept is not current else [])])

    def candidate(self, old: Json, target: Target) -> str:
        """Creates a container with the old one's settings and the new image, without its ports, names and addresses."""
        return self._create(old, target, f".candidate-{secrets.token_hex(3)}", takes_over=False)

    def successor(self, old: Json, target: Target) -> str:
        """Creates the container that takes over the old one's ports, names and addresses. It is not started."""
        return self._create(old, target, ".next", takes_over=True)

    def give_names(self, candidate: str, old: Json, called: str = "") -> None:
        """Lets the old container's names on its networks lead to the candidate as well."""
        for network in docker_settings.networks(old):
            joined = docker_settings.endpoint(old, network, takes_over=True, called=called)
            if not joined.get("Aliases"):
                continue
            # A container's names on a network cannot be changed in place.
            try:
                self._api.client.disconnect_container_from_network(candidate, network, force=True)
            except sdk.APIError as error:
                if "not connected" not in str(error.explanation):
                    raise
            self._api.client.join(network, candidate, joined)

    def stop(self, state: Json) -> None:
        """Stops a container as `docker stop` does, with the container's own grace period, within the deadline."""
        # Named here, because the library waits only ten seconds, whatever the container's setting is.
        grace = self._api.deadline.timeout(state["Config"].get("StopTimeout") or STOP)
        self._api.client.stop(state["Id"], timeout=max(int(grace), 1))

    def keep(self, old: Json) -> None:
        """Stops the old container and sets it aside under another name; the engine does not restart it by itself."""
        name = old["Name"].lstrip("/")
        self._drop(filter(None, [self._api.container(name + _KEPT)]))
        self._set_aside.add(old["Id"])
        if old["HostConfig"]["RestartPolicy"].get("Name") == "always":
            # It would start together with the engine, beside its successor.
            self._api.client.update_container(old["Id"], restart_policy={"Name": "unless-stopped"})
        # Stopped before it is renamed: the engine's DNS never forgets the name under which a running container was renamed.
        self.stop(old)
        self._api.client.rename(old["Id"], name + _KEPT)

    def discard(self, container: str, *, volumes: bool) -> None:
        """Removes a container that this run made. `volumes`: with the unnamed ones that nothing else uses."""
        if not container:
            return
        try:
            with self._api.asking("remove a container"):
                self._api.client.remove_container(container, force=True, v=volumes)
        except sdk.NotFound:
            return
        except ActionError as error:
            self._api.runtime.log(f"Could not remove the container {container[:12]}: {error.what}")

    def was_set_aside(self, identity: str) -> bool:
        """Whether this run set the container aside, so that this run may start it again."""
        return identity in self._set_aside

    def restore(self, identity: str, policy: Json) -> None:
        """Starts a container that was set aside, under its own name and with the service's restart policy."""
        state = self._api.container(identity)
        if state is None:
            return
        name = state["Name"].lstrip("/")
        if name.endswith(_KEPT):
            self._api.client.rename(identity, name.removesuffix(_KEPT))
        if policy.get("Name") == "always":
            self._api.client.update_container(identity, restart_policy=policy)
        self._api.client.start(identity)

    def step_down(self, newer: Json) -> None:
        """Renames a container that is about to be left, so that the old one can have its name again."""
        self._api.client.rename(newer["Id"], f"{newer['Name'].lstrip('/')}.candidate-{secrets.token_hex(3)}")

    def made_for(self, target: Target, state: Json) -> bool:
        """Whether a roll-out of this target made the container."""
        labels = docker_settings.own_labels(state, self.image_of(state))
        return _MADE in labels and str(state["Config"]["Image"]) == target.image.pinned

    def settings(self, state: Json) -> Json:
        """Returns `docker_settings.settings`, with the container's image as this engine has it."""
        return docker_settings.settings(state, self.image_of(state))

    def like(self, state: Json) -> Json:
        """Returns a service's settings for a job: variables, networks, mounts, limits; no command, ports or health check."""
        config = self.settings(state)
        for name in ("Cmd", "Entrypoint", "ExposedPorts", "Healthcheck", "User", "WorkingDir", "StopSignal"):
            config.pop(name, None)
        return config

    def deployable(self, state: Json, image: Json) -> str:
        """Returns the name under which the container's image can be deployed again: by digest, or by id without a registry."""
        digest = self.digest(str(state["Config"]["Image"]), image, str(state["Image"]))
        if digest == state["Image"]:
            return digest
        return f"{reference(str(state['Config']['Image'])).repository}@{digest}"

    def digest(self, name: str, image: Json, identity: str) -> str:
        """Returns the digest under which the image was pulled or pushed, else its id."""
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

    def _states(self, filters: Json) -> list[Json]:
        with self._api.asking("look for containers"):
            found = self._api.client.containers(all=True, filters=filters)
        return list(filter(None, (self._api.container(each["Id"]) for each in found)))

    def _claims(self, labels: dict[str, str], state: Json) -> bool:
        """Whether Compose, or a person, made the container for the service.

        The number is what Compose gives every container: it labels the images that it builds, too, but not with that.
        """
        given = _COMPOSE_NUMBER in labels or {_COMPOSE_PROJECT, _COMPOSE_SERVICE} <= set(labels)
        return given and (state["Config"].get("Labels") or {}).get(_COMPOSE_ONE_OFF, "").lower() != "true"

    def _create(self, old: Json, target: Target, suffix: str, *, takes_over: bool) -> str:
        config = self.settings(old)
        config["Image"] = target.image.pinned
        labels = {name: text for name, text in config["Labels"].items() if name != REVISION}
        if target.sha:
            labels[REVISION] = target.sha
        marks = {SERVICE: f"{self._project}/{target.service}", _MADE: secrets.token_hex(8)}
        config["Labels"] = {**labels, **marks}
        if takes_over:
            docker_settings.take_over_alone(config, old)
        joined = {name: docker_settings.endpoint(old, name, takes_over=takes_over) for name in docker_settings.networks(old)}
        first, *more = joined or {"": {}}
        if joined.get(first):
            config["NetworkingConfig"] = {"EndpointsConfig": {first: joined[first]}}
        identity = ""
        try:
            with self._api.asking(f"create a new container of {target.service}"):
                identity = str(self._api.client.create_container_from_config(config, old["Name"].lstrip("/") + suffix)["Id"])
                for network in more:
                    self._api.client.join(network, identity, joined[network])
                mac = config.get("MacAddress")
                if mac and not docker_settings.has_mac(self._api.container(identity), mac):
                    raise Refused(
                        f"Cannot replace {target.service}: this engine did not give the new container the MAC address {mac}.",
                        cause="The old container still runs.",
                        fix="Create the container without `--mac-address`.",
                    )
        except BaseException as error:
            if identity:
                self._api.client.remove_container(identity, force=True, v=True)
            if isinstance(error, sdk.NotFound):
                raise Refused(f"Cannot create a new container of {target.service}: {error.explanation}") from None
            raise
        return identity

    def _take_the_place(self, current: Json, slot: Slot) -> None:
        """Makes a container that took over in a killed run the service's own."""
        old = slot.own or slot.kept
        if old is not None and not current["Name"].endswith(".next"):
            self.give_names(current["Id"], old, called=slot.name)
        if slot.own is not None:
            self._drop([slot.own])
        self._api.client.rename(current["Id"], slot.name)

    def _drop(self, states: Iterable[Json]) -> None:
        """Removes containers of an earlier run. Their volumes stay: another container may have the data now, or need it."""
        for state in states:
            with contextlib.suppress(sdk.NotFound):
                if state["State"]["Running"]:
                    self.stop(state)  # it may be in the middle of an answer
                self._api.client.remove_container(state["Id"], force=True)


def _alive(slots: list[Slot]) -> list[Slot]:
    """Leaves replicas out that stand still while others run; of a service that stands still, the youngest is it."""
    found = [slot for slot in slots if slot.current is not None]
    running = [slot for slot in found if slot.made or (slot.current or {})["State"]["Running"]]
    return running or sorted(found, key=lambda slot: str((slot.current or {})["Created"]))[-1:]


def _problems(slot: Slot, others: Iterable[Json]) -> Iterable[tuple[str, str]]:
    """Yields what would be lost, and the fix."""
    current = slot.current
    if current is None:
        return
    if current["HostConfig"].get("AutoRemove"):
        yield (
            "it was started with `--rm`, so the engine deletes it as soon as it stops, and nothing is left to roll back to",
            "Start it without `--rm`, for example with `--restart unless-stopped`.",
        )
    if slot.kept is not None and slot.kept is not current and slot.kept["State"]["Running"]:
        name = slot.kept["Name"].lstrip("/")
        yield f"{name}, the container kept for the rollback, runs", f"Stop or rename the one that is wrong: docker stop {name}"
    known = {str(current["Id"]), str(current["Id"])[:12], slot.name}
    gone = {str(each["Name"]).lstrip("/") for each in others} | {str(each["Id"]) for each in others}
    for source in current["HostConfig"].get("VolumesFrom") or []:
        if not any(name.startswith(source.partition(":")[0]) for name in gone):
            yield f"it uses the volumes of {source}, which does not exist", "Name those volumes on the container itself."
    for other in others:
        if other["Id"] == current["Id"] or other in slot.made or other is slot.kept:
            continue
        name, host = str(other["Name"]).lstrip("/"), other["HostConfig"]
        for kind in ("NetworkMode", "PidMode", "IpcMode"):
            if str(host.get(kind) or "").partition("container:")[2] in known:
                yield (
                    f"{name} shares its {kind.removesuffix('Mode').lower()} namespace, and would keep the old one",
                    f"Give {name} its own network, or update both with `docker compose up`.",
                )
        if any(entry.partition(":")[0].lstrip("/") == slot.name for entry in host.get("Links") or []):
            yield (
                f"{name} is linked to it (`--link`), and would keep the old address",
                "Put both on a network (`docker network create`); names there lead to the new container.",
            )
