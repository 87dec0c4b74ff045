"""Both environments as stacks of a Docker Swarm on this machine, each with a PostgreSQL and a proxy, and a registry for both.

All that is made here has a name that begins with the demo's own prefix, or its label: that is how it is found at the end.
"""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import docker
import requests
from docker import errors

from cicd_actions.engines.protocol import REVISION
from demo.described import change
from demo.engines import ENVIRONMENTS
from demo.swarm.images import FOLDER, LABEL, build, push
from demo.tools import SetupError
from demo.workspace import Workspace, answer

BASE = "debian:bookworm-slim"
SERVICES = ("api", "web")
PATIENCE = 90.0
"""Seconds for the stacks to come up, and for what is removed to be gone."""

BRIDGE = "docker_gwbridge"
"""The network that an engine makes for itself when it joins a Swarm, and keeps when it leaves."""


class Swarm:
    """See `demo.engines.Engine`. `base` is an image with Debian's `apt-get`, pulled where the engine does not have it."""

    name = "swarm"

    def __init__(self, say: Callable[[str], None], base: str = BASE) -> None:
        self._say = say
        self._base = base
        self._client = connected()
        self._prefix = f"demo-{secrets.token_hex(3)}-"
        self._ports: dict[str, int] = {}
        self._began = False
        self._joined = False
        self._had_bridge = False

    def set_up(self, workspace: Workspace) -> None:
        self._began = True
        with engine_s_errors():
            self._join()
            self._have_base()
            self._say(f"Building on {self._base}: what the releases stand on, registry, PostgreSQL, proxy (about a minute) …")
            base, tools = (f"{self._prefix}{kind}:1" for kind in ("base", "tools"))
            # Not the engine's own bridge: it can be switched off.
            bridge = self._client.networks.create(f"{self._prefix}bridge", driver="bridge").name
            build(self._client, "base", base, {}, {"BASE": self._base, "DEMO": self._prefix}, {}, network=bridge)
            files = {name: FOLDER / name for name in ("registry.yml", "start-database")}
            build(self._client, "tools", tools, files, {"BASE": base}, {}, network=bridge)
            registry = self._registry(tools, bridge)
            # Under the registry's name, so that no engine asks anybody else for them; and pushed, so that a release's own
            # layers are all that its build has to push.
            base, tools = (self._renamed(each, registry) for each in (base, tools))
            push(self._client, base)
            self._say(
                f"Starting the stacks {' and '.join(self._stack(each) for each in ENVIRONMENTS)}, each with a PostgreSQL and a"
                " proxy. A roll-out changes services that exist: until the first release, api and web are replicas of an image"
                " that serves nothing."
            )
            for environment in ENVIRONMENTS:
                self._deploy(workspace, environment, base, tools)
            self._await_stacks()
            self._point_pipeline(workspace, registry, base)

    def urls(self, environment: str) -> dict[str, str]:
        address = f"http://127.0.0.1:{self._ports[environment]}"
        return {"api": f"{address}/api", "web": address}

    def running(self, environment: str) -> dict[str, dict[str, str]]:
        with engine_s_errors():
            return self._running(environment)

    def stop(self) -> None:
        if self._began:
            with engine_s_errors():
                self._clear()
                self._leave()

    def _running(self, environment: str) -> dict[str, dict[str, str]]:
        found = {}
        for service in SERVICES:
            state = self._client.services.get(f"{self._stack(environment)}_{service}")
            images = {task["Spec"]["ContainerSpec"]["Image"] for task in self._up(state)}
            sha = state.attrs["Spec"]["Labels"].get(REVISION, "")
            # Replicas of two releases are not a release, nor is the image from before the first one.
            if len(images) == 1 and sha:
                image = images.pop()
                found[service] = {"image": image, "digest": image.partition("@")[2], "sha": sha}
        return found

    def _clear(self) -> None:
        client, label = self._client, {"label": f"{LABEL}={self._prefix}"}

        def mine(listed: list[Any]) -> list[Any]:
            # Not the engine's own filter: some of its lists take whole names only.
            return [one for one in listed if one.name.startswith(self._prefix)]

        def containers() -> list[Any]:
            found = [
                client.containers.list(all=True, filters=each, ignore_removed=True) for each in ({"name": self._prefix}, label)
            ]
            return [one for several in found for one in several]

        # In this order: each may be removed when the ones before it are gone. Containers too: Swarm gives them their time to
        # end, and the port is free.
        self._remove("services", lambda: mine(client.services.list()), lambda one: one.remove())
        self._remove("containers", containers, lambda one: one.remove(force=True, v=True))
        self._remove("networks", lambda: mine(client.networks.list()), lambda one: one.remove())
        self._remove("secrets", lambda: mine(client.secrets.list()), lambda one: one.remove())
        self._remove("configs", lambda: mine(client.configs.list()), lambda one: one.remove())
        self._remove(
            "images",
            lambda: client.images.list(all=True, filters=label),
            lambda one: client.images.remove(one.id, force=True),
        )

    def _stack(self, environment: str) -> str:
        return f"{self._prefix}{environment}"

    def _join(self) -> None:
        """Become a Swarm's manager, where the engine is none."""
        if self._client.info()["Swarm"]["LocalNodeState"] == "active":
            return
        self._had_bridge = bool(self._client.networks.list(names=[BRIDGE]))
        self._say("Making the engine a Swarm; it leaves the Swarm at the end.")
        try:
            self._client.swarm.init(advertise_addr="127.0.0.1", listen_addr="127.0.0.1:2377")
        except errors.APIError as error:
            raise SetupError(f"The Docker Engine cannot become a Swarm manager: {error.explanation}") from None
        self._joined = True

    def _leave(self) -> None:
        if not self._joined:
            return
        others = [one.name for one in self._client.services.list()]
        if others:
            self._say(f"The engine stays a Swarm: somebody else's services run on it now ({', '.join(others)}).")
            return
        self._client.swarm.leave(force=True)
        self._joined = False
        if not self._had_bridge:
            self._remove("networks", lambda: self._client.networks.list(names=[BRIDGE]), lambda one: one.remove())

    def _have_base(self) -> None:
        try:
            self._client.images.get(self._base)
        except errors.ImageNotFound:
            self._say(f"Pulling {self._base} (once) …")
            try:
                self._client.images.pull(self._base)
            except errors.APIError as error:
                raise SetupError(
                    f"The image {self._base} is not here and cannot be pulled: {error.explanation}. Name one with Debian's"
                    " apt-get that you have: make demo ENGINE=swarm BASE=…"
                ) from None

    def _renamed(self, image: str, registry: str) -> str:
        name = f"{registry}/{image.removeprefix(self._prefix)}"
        self._client.images.get(image).tag(name)
        return name

    def _registry(self, tools: str, network: str) -> str:
        """Start it on a port of the engine's choice on the loopback, where an engine asks for no certificate; its address."""
        started = self._client.containers.run(
            tools,
            ["docker-registry", "serve", "/etc/demo/registry.yml"],
            name=f"{self._prefix}registry",
            detach=True,
            network=network,
            ports={"5000/tcp": ("127.0.0.1", None)},
        )
        started.reload()
        address = f"127.0.0.1:{started.ports['5000/tcp'][0]['HostPort']}"
        until(lambda: answer(f"http://{address}/v2/")[0] == 200, lambda: f"The registry does not answer: {started.logs()}")
        return address

    def _deploy(self, workspace: Workspace, environment: str, base: str, tools: str) -> None:
        stack, password = self._stack(environment), secrets.token_hex(16)
        self._ports[environment] = free_port()
        for name, value in {
            "database_password": password,
            "database_url": f"postgresql://two_lane:{password}@database/postgres",
        }.items():
            self._client.secrets.create(name=f"{stack}_{name}", data=value.encode())
        variables = {
            "STACK": stack,
            "ENVIRONMENT": environment,
            "HTTP_PORT": str(self._ports[environment]),
            "API_IMAGE": base,
            "WEB_IMAGE": base,
            "PROXY_IMAGE": tools,
        }
        files = ["--compose-file", "infra/stack.yml", "--compose-file", str(FOLDER / "stack.yml")]
        # The images are on this engine alone: no registry has a digest for them.
        words = ["docker", "stack", "deploy", "--resolve-image", "never", *files, stack]
        workspace.run(*words, cwd=workspace.app, variables=variables)

    def _await_stacks(self) -> None:
        services = [one for one in self._client.services.list() if one.name.startswith(self._prefix)]

        def up() -> bool:
            wanted = all(
                len(self._up(one)) == one.attrs["Spec"]["Mode"]["Replicated"]["Replicas"] for one in services if replicated(one)
            )
            return wanted and all(answer(self.urls(each)["web"])[0] for each in ENVIRONMENTS)

        until(up, lambda: "The stacks do not come up:\n" + "\n".join(self._failures(one) for one in services))

    def _failures(self, service: Any) -> str:
        tasks = service.tasks()
        states = {f"{task['Status']['State']} {task['Status'].get('Err', '')}".strip() for task in tasks}
        failed = any(task["Status"]["State"] in {"failed", "rejected"} for task in tasks)
        said = b"".join(service.logs(stdout=True, stderr=True, tail=10)).decode(errors="replace") if failed else ""
        return f"{service.name}: {', '.join(sorted(states)) or 'no task'}\n{said}".strip()

    def _up(self, service: Any) -> list[dict[str, Any]]:
        """The service's tasks that run."""
        tasks: list[dict[str, Any]] = service.tasks(filters={"desired-state": "running"})
        return [task for task in tasks if task["Status"]["State"] == "running"]

    def _point_pipeline(self, workspace: Workspace, registry: str, base: str) -> None:
        """Have the copy's pipeline build images, push them to the registry, and roll them out on the Swarm."""
        asked = ["python3", "-c", "import platform; print(*platform.python_version_tuple()[:2], platform.machine())"]
        major, minor, machine = self._client.containers.run(base, asked, remove=True, network_mode="none").decode().split()
        words = ["env", f"PYTHONPATH={workspace.root}", sys.executable, "-m", "demo.swarm.build", "--base", base]
        command = shlex.join([*words, "--python", f"{major}.{minor}", "--machine", machine]) + " {name} {image} {sha}"
        images = {service: {"repository": f"{registry}/{service}", "command": command} for service in SERVICES}
        release = {"engine": self.name, "stack": f"{self._prefix}{{environment}}", "monitor": "2s"}
        urls = {environment: self.urls(environment) for environment in ENVIRONMENTS}
        change(workspace.app, urls, images, release, workspace.postgres)

    def _remove(self, what: str, listed: Callable[[], list[Any]], remove: Callable[[Any], None]) -> None:
        """Remove until nothing is listed any more: much is in use until something else has gone. Raises SetupError."""
        end = time.monotonic() + PATIENCE
        why = ""
        while left := listed():
            for one in left:
                try:
                    remove(one)
                except errors.APIError as error:
                    why = str(error.explanation)
            if time.monotonic() > end:
                names = ", ".join(str(getattr(one, "name", one.id)) for one in left)
                raise SetupError(f"These {what} could not be removed: {names}. {why}")
            time.sleep(0.1)


def connected() -> docker.DockerClient:
    """A client of the engine on this machine, which is or can become the one node of a Swarm. Raises SetupError."""
    otherwise = "Without ENGINE the demo needs no Docker: make demo"
    host = os.environ.get("DOCKER_HOST", "")
    if host and not host.startswith("unix://"):
        raise SetupError(f"DOCKER_HOST names an engine elsewhere; the demo asks its releases at 127.0.0.1. {otherwise}")
    if not shutil.which("docker"):
        raise SetupError(f"Cannot find the `docker` program, which deploys the stacks. Install Docker. {otherwise}")
    try:
        client = docker.from_env(timeout=300)
        info = client.info()
    except (errors.DockerException, requests.RequestException) as error:
        said = " ".join(str(error).split())
        raise SetupError(f"No Docker Engine answers: {said}. Start one that you may use. {otherwise}") from None
    swarm = info["Swarm"]
    state, nodes = swarm["LocalNodeState"], swarm.get("Nodes") or 1
    if state not in {"inactive", "active"} or (state == "active" and not swarm["ControlAvailable"]):
        raise SetupError(f"The Docker Engine is a Swarm's node in state `{state}` and no manager of it. {otherwise}")
    if nodes != 1:
        raise SetupError(f"This Swarm has {nodes} nodes; the demo's registry is on this machine alone. {otherwise}")
    return client


@contextmanager
def engine_s_errors() -> Iterator[None]:
    """What the engine refuses is said, and nothing goes on. Raises SetupError."""
    try:
        yield
    except (errors.DockerException, requests.RequestException) as error:
        raise SetupError(f"The Docker Engine: {error}") from None


def until(true: Callable[[], bool], otherwise: Callable[[], str]) -> None:
    """Wait for something. Raises SetupError with what *otherwise* says when it does not come."""
    end = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > end:
            raise SetupError(otherwise())
        time.sleep(0.1)


def free_port() -> int:
    """A free port: Swarm publishes on every address, so it is asked for on every address."""
    with socket.create_server(("", 0)) as one:
        return int(one.getsockname()[1])


def replicated(service: Any) -> bool:
    return "Replicated" in service.attrs["Spec"]["Mode"]
