"""Staged releases on a Swarm: a second service beside the first, whose only alias is `NAME-next`.

A copied alias would bring traffic to it that no gate let through. The name can exist once, so it is also the lock. A proxy
divides the traffic here; `staged_replicas` does it without one.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from docker import errors as sdk

from cicd_actions.engines import swarm_spec
from cicd_actions.engines.docker_client import Json
from cicd_actions.engines.protocol import NotStarted, Refused, RollOutFailed, Running, Target
from cicd_actions.engines.stage_labels import STAGE, SUFFIX
from cicd_actions.engines.staged_beside import Standing
from cicd_actions.engines.staged_proxy import ByProxy
from cicd_actions.engines.swarm import POLL, Swarm
from cicd_actions.engines.swarm_tasks import Failures
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import ActionError, Failed
from cicd_actions.toolkit.runtime import Runtime

_STACK = "com.docker.stack.namespace"

_BRIDGE = "docker_gwbridge"
"""The network over which a node reaches its own replicas: https://docs.docker.com/engine/swarm/networking/"""


_LASTS = "3600"
"""Seconds after which a messenger ends by itself, where the run that made it was killed."""


class SwarmStages(Swarm):
    """The second service: how it starts, is found, and goes. What divides the traffic is for the classes that build on it."""

    def __init__(self, runtime: Runtime, *, monitor: float = 5.0, **options: Any) -> None:
        super().__init__(runtime, monitor=monitor, **options)
        self._stay_up = monitor

    def _stand(self, target: Target, before: Running, labels: Mapping[str, str], deadline: Deadline) -> None:
        service = target.service
        spec = _beside(self._existing(service)["Spec"], target, labels)
        try:
            with self._api.asking(f"start the new release of {service}"):
                self._api.client.new_service(spec)
        except sdk.NotFound as error:
            raise Failed(f"The Swarm refused to start the new release of {service}: {error.explanation}") from None
        except Failed as error:
            if self._look(service + SUFFIX) is None:
                raise
            raise Refused(
                f"Cannot stage {service}: the service {spec['Name']} is there already.",
                cause=error.what,
                fix=f"If no run works on it:\n\n    docker service rm {spec['Name']}",
            ) from None
        try:
            self._await_stage(target, deadline, self._tasks.all_run, "It never had traffic.")
        except BaseException:
            self._remove_stage(service)
            raise

    def _await_stage(
        self,
        target: Target,
        deadline: Deadline,
        arrived: Callable[[Sequence[Json], Json], bool],
        traffic: str,
        *,
        again: bool = False,
    ) -> None:
        """Waits until the replicas have arrived, and then for the time of `monitor`. `traffic` says what they got of it.

        With `again`, replicas that ended before it was changed count for nothing.
        """
        service, since = target.service, None
        failures = (
            self._failures(service + SUFFIX, target.image.pinned) if again else Failures(self._tasks, target.image.pinned)
        )
        while True:
            state = self._existing(service + SUFFIX)
            with self._api.asking("ask for the replicas"):
                tasks = failures.look(state["ID"])
            if failures.doubtful and deadline.expired:
                what = f"Could not tell whether the new release of {service} comes up. {traffic}"
                found = failures.evidence
                raise NotStarted(service, what, evidence=found, cause=found.reason if found else "")
            if failures.proven or deadline.expired:
                what = "did not come up healthy" if failures.proven else "was not healthy before the deadline passed"
                evidence = failures.evidence or self.logs(service + SUFFIX, deadline)
                raise RollOutFailed(
                    service,
                    f"The new release of {service} {what}. {traffic}",
                    reverted=True,
                    evidence=evidence,
                    cause=evidence.reason,
                )
            now = self._runtime.clock()
            since = (since or now) if arrived(tasks, state) else None
            if since is not None and now - since >= self._stay_up:
                return
            self._runtime.sleep(POLL)

    def _standing(self, service: str) -> Standing | None:
        with self._api.asking(f"look for a stage of {service}"):
            state = self._look(service + SUFFIX)
        spec = state["Spec"] if state else {}
        labels = spec.get("Labels") or {}
        if state is None or labels.get(STAGE) != service:
            return None
        return Standing(swarm_spec.image(spec), labels, self._addresses(state["ID"]))

    def _addresses(self, identity: str) -> tuple[str, ...]:
        """Returns the addresses of the replicas on this node."""
        with self._api.asking("ask where the new release is"):
            tasks = running(self._tasks.of(identity))
            try:
                reached = self._api.client.inspect_network(_BRIDGE).get("Containers") or {}
            except sdk.NotFound:
                reached = {}
        ends = [reached.get(_container(task)) or {} for task in tasks]
        return tuple(sorted(end["IPv4Address"].partition("/")[0] for end in ends if end.get("IPv4Address")))

    def _remove_stage(self, service: str) -> None:
        state = self._look(service + SUFFIX)
        if state is None or (state["Spec"].get("Labels") or {}).get(STAGE) != service:
            return
        try:
            with self._api.asking(f"remove the stage of {service}"):
                self._api.client.remove_service(state["ID"])
        except sdk.NotFound:
            return


class StagedSwarm(SwarmStages, ByProxy):
    """See `staged_protocol.Weighted`. `proxy` is the service of HAProxy, `socket` the path of its runtime socket.

    `control` is `NETWORK:PORT`: an attachable network of the stack on which every replica of the proxy, on any node, takes its
    weights.
    """

    names = "tasks."

    def __init__(self, runtime: Runtime, *, proxy: str, socket: str, control: str = "", **options: Any) -> None:
        super().__init__(runtime, **options)
        self._proxy = proxy
        self._socket = socket
        network, _, self._port = control.rpartition(":")
        self._network = f"{self._prefix}{network}" if network else ""
        self._messenger = ""

    def close(self) -> None:
        if self._messenger:
            with contextlib.suppress(sdk.NotFound, ActionError), self._api.asking("remove the messenger"):
                self._api.client.remove_container(self._messenger, force=True)
        super().close()

    def _places(self, name: str) -> list[frozenset[str]]:
        state = self._existing(name)
        with self._api.asking(f"ask where {name} is"):
            tasks = running(self._tasks.of(state["ID"]))
        joined = [
            [end for each in task.get("NetworksAttachments") or [] for end in each.get("Addresses") or []] for task in tasks
        ]
        return [frozenset(end.partition("/")[0] for end in ends) for ends in joined]

    def _proxies(self) -> list[str]:
        state = self._existing(self._proxy)
        with self._api.asking(f"look for the proxy {self._proxy}"):
            tasks = running(self._tasks.of(state["ID"]))
        if self._network:
            # The replica's own name tells the counts of one that was replaced from those of its successor.
            return [f"{self._address(task)}:{self._port} {task['ID']}" for task in tasks]
        found = [_container(task) for task in tasks]
        if any(self._api.container(identity) is None for identity in found):
            raise Failed(
                f"Cannot set the weights of the proxy {self._proxy}: a replica of it runs on another node.",
                cause="The weights are set by a program in the proxy's container, which only its own node can start.",
                fix="Let every replica of the proxy run on the manager that DOCKER_HOST names, by a placement constraint, or"
                " tell the proxy its weights over a network:\n\n    with:\n      proxy-control: control:9990",
            )
        return found

    def _reach(self, proxy: str) -> tuple[str, str]:
        if not self._network:
            return super()._reach(proxy)
        if not self._messenger:
            self._messenger = self._made_messenger()
        return self._messenger, proxy.partition(" ")[0]

    def _made_messenger(self) -> str:
        """Starts a container of the proxy's own image on the control network. It waits there for messages to send."""
        image = self._api.resolve(swarm_spec.image(self._existing(self._proxy)["Spec"]), self._api.deadline)
        self._api.pull(image, self._api.deadline)
        config = {
            "Image": image.pinned,
            "Entrypoint": ["sleep"],
            "Cmd": [_LASTS],
            "Labels": {STAGE: self._proxy},
            "Healthcheck": {"Test": ["NONE"]},
            "HostConfig": {"AutoRemove": True, "NetworkMode": self._network},
        }
        short = self._network.removeprefix(self._prefix)
        try:
            with self._api.asking(f"start a container on the network {self._network}"):
                client = self._api.client
                identity = str(client.create_container_from_config(config)["Id"])
                client.start(identity)
        except (sdk.NotFound, Failed) as error:
            raise Failed(
                f"Cannot reach the proxy {self._proxy} over the network {self._network}: {error}",
                fix="Let this engine attach containers to it:\n\n"
                f"    networks:\n      {short}:\n        internal: true\n        attachable: true",
            ) from None
        return identity

    def _address(self, task: Json) -> str:
        """Returns a replica's address on the control network. Raises `Failed` where it has not joined it."""
        for end in task.get("NetworksAttachments") or []:
            if end["Network"]["Spec"]["Name"] == self._network and end.get("Addresses"):
                return str(end["Addresses"][0]).partition("/")[0]
        raise Failed(
            f"Cannot reach the proxy over the network {self._network}: a replica of it has not joined it.",
            fix=f"    services:\n      proxy:\n        networks: [default, {self._network.removeprefix(self._prefix)}]",
        )


def running(tasks: Sequence[Json]) -> list[Json]:
    """Returns the tasks that run, and are meant to."""
    return [task for task in tasks if task["DesiredState"] == task["Status"]["State"] == "running"]


def _container(task: Json) -> str:
    return str((task["Status"].get("ContainerStatus") or {}).get("ContainerID", ""))


def _beside(spec: Json, target: Target, labels: Mapping[str, str]) -> Json:
    """Returns the specification of the stage: that of the service, with the new image and without its names and ports.

    It is not a part of the stack: `docker stack deploy --prune` would remove it while it has the traffic.
    """
    made = copy.deepcopy(swarm_spec.with_image(swarm_spec.disarmed(spec), target.image.pinned, target.sha))
    made["Name"] = spec["Name"] + SUFFIX
    made["Labels"] = {name: text for name, text in made["Labels"].items() if name != _STACK} | dict(labels)
    container = made["TaskTemplate"]["ContainerSpec"]
    container["Labels"] = {name: text for name, text in (container.get("Labels") or {}).items() if name != _STACK}
    for network in made["TaskTemplate"].get("Networks") or []:
        network["Aliases"] = [target.service + SUFFIX]
    made.get("EndpointSpec", {}).pop("Ports", None)
    return made
