"""The docker library's client: how an engine is found and trusted, and how long its answers are waited for."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Any

import docker
import requests
from docker import errors as sdk

from cicd_actions.engines import docker_ssh
from cicd_actions.engines.protocol import EngineUnreachable
from cicd_actions.toolkit.errors import UnusableInput

Json = dict[str, Any]

CALL = 30.0
"""Seconds that one answer of the engine may take."""

PULL = 600.0
"""Seconds between two lines of progress of an image that is pulled."""

_LARGEST_FRAME = 4 * 1024 * 1024
"""Bytes. The engine writes frames of 16 KiB; a terminal's raw output, read as frames, can claim any length."""

_SSH_FIX = (
    "Have the host's key in the known_hosts of this runner's user, and a key that the host takes in its ssh agent or"
    " configuration. Nothing is asked on the terminal. See that this works:\n\n    ssh -o BatchMode=yes HOST docker version"
)
_TLS_FIX = (
    "DOCKER_CERT_PATH names a folder with ca.pem (the authority that signed the engine's certificate), and cert.pem and key.pem"
    " of a client that the engine knows. The engine's certificate has to name the host of DOCKER_HOST."
)


class Untrusted(Exception):
    """Certificates or keys do not do: the engine is not proven to be the one that is meant, or does not let this runner in.

    Asking again changes nothing. `fix` says what has to be there.
    """

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.fix = _SSH_FIX if isinstance(error, docker_ssh.NotLetIn) else _TLS_FIX


def connected(variables: Mapping[str, str], patience: Callable[[float], float]) -> Client:
    """A client that has had its first answer. `patience` says how long one is waited for, given the longest it may take.

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
                "DOCKER_CERT_PATH is set and DOCKER_TLS_VERIFY is not, so nobody would check which engine answers.",
                fix='    env:\n      DOCKER_TLS_VERIFY: "1"',
            )
        try:
            settings = docker.utils.kwargs_from_env(environment=dict(variables))
        except sdk.TLSParameterError as error:
            raise Untrusted(error) from None
    try:
        return Client(patience, ssh, **settings)
    except sdk.DockerException as error:
        if isinstance(error.__cause__, (requests.exceptions.SSLError, docker_ssh.NotLetIn)):
            raise Untrusted(error.__cause__) from None
        raise


class Client(docker.APIClient):  # type: ignore[misc]
    """The library's client, with three calls that it does not have, and time limits that follow the deadline.

    `ssh` is the way to the engine where that is none of the library's.
    """

    def __init__(self, patience: Callable[[float], float], ssh: docker_ssh.SshAdapter | None = None, **settings: Any) -> None:
        self._patience = patience
        self._ssh = ssh
        try:
            super().__init__(version="auto", timeout=CALL, **settings)
        except BaseException:
            # Half made, it has connections, and a program, that nobody else could close.
            self.close()
            if ssh is not None:
                ssh.close()
            raise

    def _retrieve_server_version(self) -> str:
        """The first request of all, and so the moment to put the connection in place that it takes."""
        if self._ssh is not None:
            self.mount("http+docker://", self._ssh)
        version: str = super()._retrieve_server_version()
        return version

    def _set_request_timeout(self, kwargs: Json) -> Json:
        if kwargs.get("timeout") is None:
            # The library has calls that wait for ever, and says so by `None`.
            kwargs["timeout"] = self._patience(PULL if "timeout" in kwargs else CALL)
        # Left to itself, the library underneath takes REQUESTS_CA_BUNDLE for the engine's authority.
        kwargs.setdefault("verify", self.verify)
        return kwargs

    def change_service(self, service: str, version: int, spec: Json, *, image: str, rollback: bool = False) -> None:
        """`ServiceUpdate` with the whole specification, or the engine's own rollback to the one before."""
        params: Json = {"version": version}
        if rollback:
            params["rollback"] = "previous"
        self._answered(
            self._post_json(
                self._url("/services/{0}/update", service), data=spec, params=params, headers=self._credentials(image)
            )
        )

    def new_service(self, spec: Json) -> str:
        """`ServiceCreate`; the id."""
        image = spec["TaskTemplate"]["ContainerSpec"]["Image"]
        url = self._url("/services/create")
        made: Json = self._result(self._post_json(url, data=spec, headers=self._credentials(image)), json=True)
        return str(made["ID"])

    def frames(self, path: str, name: str, params: Mapping[str, object]) -> Generator[tuple[str, bytes], None, None]:
        """The log's frames: `stdout` or `stderr`, and bytes. See "Stream format" at `ContainerAttach`."""
        response = self._get(self._url(path, name), params=params, stream=True)
        self._answered(response)
        try:
            while len(header := response.raw.read(8)) == 8:
                length = int.from_bytes(header[4:], "big")
                if length > _LARGEST_FRAME:
                    raise EngineUnreachable(f"The log of {name} is not in the engine's framing: a frame of {length} bytes.")
                yield ("stderr" if header[0] == 2 else "stdout"), response.raw.read(length)
        finally:
            response.close()

    def _answered(self, response: Any) -> None:
        self._raise_for_status(response)

    def _credentials(self, image: str) -> dict[str, str]:
        from docker import auth  # noqa: PLC0415 - part of the library

        registry, _ = auth.resolve_repository_name(image)
        header = auth.get_config_header(self, registry)
        return {"X-Registry-Auth": header.decode() if isinstance(header, bytes) else header} if header else {}
