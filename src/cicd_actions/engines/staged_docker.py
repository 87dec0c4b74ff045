"""Staged releases on one Docker Engine: a second container beside each of the service, reached as `NAME-next` only.

A proxy divides the traffic between both, or the service's name leads to one after the other.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from docker import errors as sdk

from cicd_actions.engines import docker_settings
from cicd_actions.engines.docker_client import Json
from cicd_actions.engines.docker_engine import DockerEngine
from cicd_actions.engines.protocol import REVISION, Refused, Running, Target
from cicd_actions.engines.stage_labels import STAGE, SUFFIX
from cicd_actions.engines.staged_beside import Beside, Standing
from cicd_actions.engines.staged_protocol import WITHOUT_PROXY
from cicd_actions.engines.staged_proxy import ByProxy
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.runtime import Runtime

_PROJECT = "org.cicd-actions.stage-project"
"""The label with the Compose project. The stage is not a part of it: `docker compose up --remove-orphans` would end it."""

_COMPOSE = "com.docker.compose."


class DockerStages(DockerEngine):
    """The second containers: how they start, are found, and go. What leads traffic to them is for the classes built on it."""

    def __init__(self, runtime: Runtime, *, project: str = "", monitor: float = 5.0) -> None:
        super().__init__(runtime, project=project, monitor=monitor)
        self._project = project

    def _stand(self, target: Target, before: Running, labels: Mapping[str, str], deadline: Deadline) -> None:
        service = target.service
        first = self._existing(service)
        for old in first:
            if not docker_settings.can_be_tried(old):
                raise Refused(
                    f"Cannot stage {service}: only one container can hold {', '.join(docker_settings.alone(old))}.",
                    cause="A stage needs a second container beside the first.",
                    fix="    with:\n      strategy: rolling",
                )
        with self._containers.held(service, first[0]):
            if self._stages(service):
                label = shlex.quote(f"label={STAGE}={service}")
                raise Refused(
                    f"Cannot stage {service}: a stage is there already.",
                    fix=f"If no run works on it:\n\n    docker rm --force $(docker ps -aq --filter {label})",
                )
            try:
                made = [self._create_beside(old, target, labels) for old in first]
                for identity in made:
                    self._healthy(identity, target, deadline)
                for identity in made:
                    self._watch(identity, service, deadline)
            except BaseException:
                self._remove_stage(service)
                raise

    def _create_beside(self, old: Json, target: Target, labels: Mapping[str, str]) -> str:
        config = self._containers.settings(old)
        own = {name: text for name, text in config["Labels"].items() if not name.startswith(_COMPOSE) and name != REVISION}
        config |= {"Image": target.image.pinned, "Labels": {**own, **labels, _PROJECT: self._project}}
        alias = {"Aliases": [target.service + SUFFIX]}
        joined = {
            name: docker_settings.endpoint(old, name, takes_over=False) | (alias if docker_settings.names(old, name) else {})
            for name in docker_settings.networks(old)
        }
        first, *more = joined
        config["NetworkingConfig"] = {"EndpointsConfig": {first: joined[first]}}
        with self._api.asking(f"create the new release of {target.service}"):
            client = self._api.client
            identity = str(client.create_container_from_config(config, old["Name"].lstrip("/") + SUFFIX)["Id"])
            for network in more:
                client.join(network, identity, joined[network])
        return identity

    def _stages(self, service: str) -> list[Json]:
        chosen = {"label": [f"{STAGE}={service}", f"{_PROJECT}={self._project}"]}
        with self._api.asking(f"look for a stage of {service}"):
            found = self._api.client.containers(all=True, filters=chosen)
        return [state for each in found if (state := self._api.container(each["Id"])) is not None]

    def _standing(self, service: str) -> Standing | None:
        found = self._stages(service)
        if not found:
            return None
        image = str(found[0]["Config"]["Image"])
        addresses = [min(place) for place in self._places(service + SUFFIX) if place]
        return Standing(image, found[0]["Config"]["Labels"], tuple(sorted(addresses)))

    def _places(self, name: str) -> list[frozenset[str]]:
        service = name.removesuffix(SUFFIX)
        states = self._stages(service) if name != service else self._existing(service)
        running = [state["NetworkSettings"]["Networks"].values() for state in states if state["State"]["Running"]]
        return [frozenset(str(end["IPAddress"]) for end in ends if end["IPAddress"]) for ends in running]

    def _remove_stage(self, service: str) -> None:
        for state in self._stages(service):
            try:
                with self._api.asking(f"remove the stage of {service}"):
                    if state["State"]["Running"]:
                        self._containers.stop(state)
                    self._api.client.remove_container(state["Id"], force=True)
            except sdk.NotFound:
                continue


class StagedDocker(DockerStages, ByProxy):
    """See `staged_protocol.Weighted`. `proxy` is the service of HAProxy, `socket` the path of its runtime socket."""

    def __init__(self, runtime: Runtime, *, proxy: str, socket: str, **options: Any) -> None:
        super().__init__(runtime, **options)
        self._proxy = proxy
        self._socket = socket

    def _proxies(self) -> list[str]:
        return [str(state["Id"]) for state in self._existing(self._proxy) if state["State"]["Running"]]


class DockerByAlias(DockerStages, Beside):
    """See `staged_protocol.Staged`. The release is gated beside the old one, then the engine's own roll-out moves the name."""

    strategies: tuple[str, ...] = (WITHOUT_PROXY["docker"],)
    without_bake = "There is no bake: the old container stops once its name leads to the new one. It is back within seconds."
    divided_by = "alias"

    def _share(self, service: str) -> float:
        """Returns 0: no client knows the name `NAME-next`."""
        return 0.0
