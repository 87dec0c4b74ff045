"""The docker library's client: finds an engine, decides whether to trust it, and limits how long an answer may take."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Any

import docker
import requests
from docker import auth
from docker import errors as sdk

from cicd_actions.engines import docker_ssh
from cicd_actions.engines.protocol import EngineUnreachable
from cicd_actions.engines.registry_logins import logins
from cicd_actions.toolkit.errors import UnusableInput

Json = dict[str, Any]

CALL = 30.0
"""Seconds that one answer of the engine may take."""

NEWEST = "1.51"
"""The newest API version that this code speaks. From 1.52 on, an inspected container no longer names the MAC address that it
was given, only one that may be random. https://docs.docker.com/reference/api/engine/version-history/"""

PULL = 600.0
"""Seconds between two lines of progress of an image that is pulled."""

_LARGEST_FRAME = 4 * 1024 * 1024
"""Bytes. The engine writes frames of 16 KiB."""

_PIECE = 16 * 1024
"""Bytes of a terminal's log that are read at a time."""

_SSH_FIX = (
    "Add the host's key to the known_hosts of this runner's user, and a key that the host accepts to its ssh agent or"
    " configuration. Nothing is asked on the terminal. Check that this works:\n\n    ssh -o BatchMode=yes HOST docker version"
)
_TLS_FIX = (
    "Let DOCKER_CERT_PATH name a folder with ca.pem (the authority that signed the engine's certificate), and with cert.pem and"
    " key.pem of a client that the engine knows. The engine's certificate has to name the host of DOCKER_HOST."
)


class Untrusted(Exception):
    """The engine could not prove its identity, or refused this runner's certificate or key.

    A retry changes nothing. `fix` names what is missing.
    """

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.fix = _SSH_FIX if isinstance(error, docker_ssh.NotLetIn) else _TLS_FIX


def connected(variables: Mapping[str, str], patience: Callable[[float], float]) -> Client:
    """Returns a client that has had its first answer. `patience` returns the timeout of a call, given the longest allowed.

    Raises `Untrusted`, `UnusableInput`, and what the library raises.
    """
    host = variables.get("DOCKER_HOST", "")
    ssh = None
    settings: Json = {}  # the engine of this machine
    if host.startswith("ssh://"):
        ssh = docker_ssh.SshAdapter(docker_ssh.command(host, variables), variables, CALL)
        settings = {"base_url": "unix:///ssh"}
    elif host:
        if variables.get("DOCKER_CERT_PATH") and not variables.get("DOCKER_TLS_VERIFY") and not host.startswith("unix://"):
            raise UnusableInput(
                "Cannot check which engine answers: DOCKER_CERT_PATH is set and DOCKER_TLS_VERIFY is not.",
                fix='    env:\n      DOCKER_TLS_VERIFY: "1"',
            )
        try:
            settings = docker.utils.kwargs_from_env(environment=dict(variables))
        except sdk.TLSParameterError as error:
            raise Untrusted(error) from None
    try:
        return Client(patience, logins(variables), ssh, **settings)
    except sdk.DockerException as error:
        if isinstance(error.__cause__, (requests.exceptions.SSLError, docker_ssh.NotLetIn)):
            raise Untrusted(error.__cause__) from None
        raise


class Client(docker.APIClient):  # type: ignore[misc]
    """The library's client, with the calls that it lacks, and timeouts that follow the deadline.

    `known` are the logins to registries, `ssh` is the transport to an engine that the library cannot reach by itself.
    """

    def __init__(
        self,
        patience: Callable[[float], float],
        known: auth.AuthConfig,
        ssh: docker_ssh.SshAdapter | None = None,
        **settings: Any,
    ) -> None:
        self._patience = patience
        self._ssh = ssh
        try:
            super().__init__(version="auto", timeout=CALL, **settings)
        except BaseException:
            # A half-made client holds connections and a program that no caller could close.
            self.close()
            if ssh is not None:
                ssh.close()
            raise
        self._auth_configs = known

    def _retrieve_server_version(self) -> str:
        """Sends the first request of all, and so mounts the transport first."""
        if self._ssh is not None:
            self.mount("http+docker://", self._ssh)
        version: str = super()._retrieve_server_version()
        return NEWEST if docker.utils.version_lt(NEWEST, version) else version

    def _set_request_timeout(self, kwargs: Json) -> Json:
        if kwargs.get("timeout") is None:
            # Some calls of the library wait forever, which it expresses by `None`.
            kwargs["timeout"] = self._patience(PULL if "timeout" in kwargs else CALL)
        # Left to itself, the library underneath takes REQUESTS_CA_BUNDLE for the engine's authority.
        kwargs.setdefault("verify", self.verify)
        return kwargs

    def change_service(self, service: str, version: int, spec: Json, *, image: str) -> None:
        """Sends `ServiceUpdate` with the whole specification, of the given version."""
        url = self._url("/services/{0}/update", service)
        self._answered(self._post_json(url, data=spec, params={"version": version}, headers=self._credentials(image)))

    def new_service(self, spec: Json) -> str:
        """Sends `ServiceCreate` and returns the id."""
        image = spec["TaskTemplate"]["ContainerSpec"]["Image"]
        url = self._url("/services/create")
        made: Json = self._result(self._post_json(url, data=spec, headers=self._credentials(image)), json=True)
        return str(made["ID"])

    def join(self, network: str, container: str, endpoint: Json) -> None:
        """`NetworkConnect` with all that `EndpointSettings` can hold, of which the library knows a part."""
        data = {"Container": container, "EndpointConfig": endpoint}
        self._answered(self._post_json(self._url("/networks/{0}/connect", network), data=data))

    def frames(self, path: str, name: str, params: Mapping[str, object]) -> Generator[tuple[str, bytes], None, None]:
        """Yields the log's frames: `stdout` or `stderr`, and bytes. See "Stream format" at `ContainerAttach`.

        With timestamps among `params`, a terminal's log, which has no frames, begins with a digit, and comes line by line.
        """
        response = self._get(self._url(path, name), params=params, stream=True)
        self._answered(response)
        try:
            header = response.raw.read(8)
            if header and header[0] in b"0123456789":
                yield from (("stdout", line) for line in _lines(header, response.raw))
                return
            while len(header) == 8:
                length = int.from_bytes(header[4:], "big")
                if length > _LARGEST_FRAME:
                    raise EngineUnreachable(f"The log of {name} is not in the engine's framing: a frame of {length} bytes.")
                yield ("stderr" if header[0] == 2 else "stdout"), response.raw.read(length)
                header = response.raw.read(8)
        finally:
            response.close()

    def _answered(self, response: Any) -> None:
        self._raise_for_status(response)

    def _credentials(self, image: str) -> dict[str, str]:
        registry, _ = auth.resolve_repository_name(image)
        header = auth.get_config_header(self, registry)
        return {"X-Registry-Auth": header.decode() if isinstance(header, bytes) else header} if header else {}


def _lines(begun: bytes, stream: Any) -> Generator[bytes, None, None]:
    """Yields the lines of a terminal, which end in `\\r\\n`, and what follows the last."""
    rest = begun
    while piece := stream.read(_PIECE):
        *lines, rest = (rest + piece).split(b"\n")
        yield from (line.removesuffix(b"\r") + b"\n" for line in lines)
        if len(rest) > _LARGEST_FRAME:
            raise EngineUnreachable(f"A line of the log has more than {_LARGEST_FRAME} bytes.")
    if rest:
        yield rest
