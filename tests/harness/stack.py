"""Images, Swarm stacks and containers for tests: built small, named uniquely, removed at the end."""

from __future__ import annotations

import contextlib
import io
import secrets
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
from docker import errors
from docker.types import EndpointSpec, IPAMConfig, IPAMPool, ServiceMode

from tests.harness.engine import BASE
from tests.harness.ports import free_port

SOURCES = Path(__file__).parent / "images"
LABEL = "org.cicd-actions.test"


def new_sha() -> str:
    """A commit's SHA, as far as anyone can tell."""
    return secrets.token_hex(20)


def fetch(url: str, timeout: float = 5) -> str:
    """The body, or why there is none."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:  # noqa: S310 - the test's own address
            return str(answer.read().decode().strip())
    except (urllib.error.URLError, OSError) as error:
        return f"no answer: {error}"


def await_text(url: str, text: str, seconds: float = 60) -> None:
    """Wait until the address answers with `text`."""
    end = time.monotonic() + seconds
    while (found := fetch(url)) != text:
        assert time.monotonic() < end, f"{url} answers {found!r}, not {text!r}"
        time.sleep(0.1)


@dataclass(frozen=True)
class Built:
    """One pushed image. `tagged` is `repository:<sha>`."""

    repository: str
    sha: str
    digest: str

    @property
    def tagged(self) -> str:
        return f"{self.repository}:{self.sha}"

    @property
    def pinned(self) -> str:
        return f"{self.repository}@{self.digest}"


class Images:
    """Builds the tests' images on the engine and pushes them to the tests' registry."""

    def __init__(self, client: docker.DockerClient, registry: str) -> None:
        self.client = client
        self.registry = registry
        self.prefix = f"{registry}/t{secrets.token_hex(3)}"
        self._made: list[str] = []
        self._proxy = self._dividing = ""

    def app(self, name: str = "app", *, push: bool = True, **settings: str) -> Built:
        """The app as a new release; `settings` are its variables (`HEALTH="bad"`, `CRASH="1"`, `START_DELAY="3"`)."""
        sha = new_sha()
        tag = f"{self.prefix}/{name}:{sha}"
        self.build("app", tag, {"SHA": sha}, [f"ENV {key}={value}" for key, value in settings.items()])
        if not push:
            return Built(tag.rpartition(":")[0], sha, "")
        return Built(tag.rpartition(":")[0], sha, self.push(tag))

    def proxy(self) -> str:
        """The proxy, on this engine only."""
        if not self._proxy:
            self._proxy = f"cicd-actions-test-proxy:{secrets.token_hex(3)}"
            self.build("proxy", self._proxy, {}, [])
        return self._proxy

    def dividing_proxy(self) -> str:
        """A proxy that divides the traffic between two releases, on this engine only."""
        if not self._dividing:
            self._dividing = f"cicd-actions-test-proxy:{secrets.token_hex(3)}"
            self.build("proxy", self._dividing, {}, ["COPY dividing.cfg /haproxy.cfg"])
        return self._dividing

    def build(self, kind: str, tag: str, arguments: Mapping[str, str], more: list[str]) -> None:
        """Build `images/<kind>.Dockerfile` with further lines, under a tag."""
        recipe = (SOURCES / f"{kind}.Dockerfile").read_text() + "\n".join(more) + "\n"
        self.make(tag, recipe, {path.name: path for path in SOURCES.iterdir()}, {"BASE": BASE, **arguments})

    def make(self, tag: str, recipe: str, files: Mapping[str, Path], arguments: Mapping[str, str]) -> None:
        """Build a recipe with these files and folders, by their names in it, under a tag."""
        context = io.BytesIO()
        with tarfile.open(fileobj=context, mode="w") as tar:
            entry = tarfile.TarInfo("Dockerfile")
            entry.size = len(recipe.encode())
            tar.addfile(entry, io.BytesIO(recipe.encode()))
            for name, path in files.items():
                tar.add(path, name)
        self.send(context, tag, arguments)

    def send(self, context: io.BytesIO, tag: str, arguments: Mapping[str, str]) -> None:
        """Build a context, which is a tar archive with a `Dockerfile`, under a tag."""
        context.seek(0)
        said: list[dict[str, Any]] = list(
            self.client.api.build(
                fileobj=context, custom_context=True, tag=tag, rm=True, forcerm=True, decode=True, buildargs=dict(arguments)
            )
        )
        failed = [step["error"] for step in said if "error" in step]
        assert not failed, failed
        self._made.append(tag)

    def push(self, tag: str) -> str:
        """Push, and the digest that the registry gave."""
        repository, _, name = tag.rpartition(":")
        for step in self.client.api.push(repository, tag=name, stream=True, decode=True):
            assert "error" not in step, step
            if step.get("aux", {}).get("Digest"):
                return str(step["aux"]["Digest"])
        raise AssertionError(f"the registry gave no digest for {tag}")

    def close(self) -> None:
        """Remove the images that were made."""
        for tag in self._made:
            with contextlib.suppress(errors.APIError):
                self.client.images.remove(tag, force=True)


class Stack:
    """Services of one test on the Swarm; their names are their own, the network is shared with other tests."""

    def __init__(self, client: docker.DockerClient, images: Images, network: str) -> None:
        self.client = client
        self.images = images
        self.network = network
        self.name = f"t{secrets.token_hex(4)}"

    def service(self, name: str, image: str, *, replicas: int = 2, wait: bool = True, **more: Any) -> Any:
        """Create a service, reachable by its name within the network; waits until all its replicas run."""
        service = self.client.services.create(
            image,
            name=f"{self.name}_{name}",
            mode=ServiceMode("replicated", replicas),
            networks=[self.network, *more.pop("networks", [])],
            endpoint_spec=more.pop("endpoint_spec", None) or EndpointSpec(mode="dnsrr"),
            stop_grace_period=5_000_000_000,
            **more,
        )
        if wait:
            self.await_replicas(name, replicas)
        return service

    def await_replicas(self, name: str, count: int, seconds: float = 60) -> None:
        """Wait until this number of replicas runs."""
        end = time.monotonic() + seconds
        while (found := self.up(name)) != count:
            assert time.monotonic() < end, f"{found} of {count} replicas of {name} run"
            time.sleep(0.1)

    def tasks(self, name: str) -> list[dict[str, Any]]:
        """The tasks that are meant to run."""
        found: list[dict[str, Any]] = self.client.api.tasks(
            filters={"service": f"{self.name}_{name}", "desired-state": "running"}
        )
        return found

    def up(self, name: str) -> int:
        """How many replicas run."""
        return sum(task["Status"]["State"] == "running" for task in self.tasks(name))

    def images_of(self, name: str) -> set[str]:
        """The images that run."""
        return {task["Spec"]["ContainerSpec"]["Image"] for task in self.tasks(name) if task["Status"]["State"] == "running"}

    def entrance(self, name: str) -> str:
        """A proxy before a service; the address that clients ask."""
        port = free_port()
        self.service(
            f"proxy-{name}",
            self.images.proxy(),
            replicas=1,
            env=[f"UPSTREAM={self.name}_{name}"],
            endpoint_spec=EndpointSpec(ports={port: (80, "tcp", "host")}),
        )
        return f"http://127.0.0.1:{port}/"

    def close(self) -> None:
        """Remove everything of the test."""
        for service in self.client.services.list(filters={"name": f"{self.name}_"}):
            with contextlib.suppress(errors.NotFound):
                service.remove()


def make_network(client: docker.DockerClient, name: str = "", subnet: str = "") -> str:
    """An overlay network that services and containers may join; its name. One with a subnet leads nowhere else."""
    name = name or f"t{secrets.token_hex(4)}_net"
    pools = IPAMConfig(pool_configs=[IPAMPool(subnet=subnet)]) if subnet else None
    client.networks.create(name, driver="overlay", attachable=True, scope="swarm", internal=bool(subnet), ipam=pools)
    return name


def remove_network(client: docker.DockerClient, name: str) -> None:
    """Remove it, as soon as the containers of removed services have left it."""
    end = time.monotonic() + 40
    while True:
        try:
            client.networks.get(name).remove()
        except errors.NotFound:
            return
        except errors.APIError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)
