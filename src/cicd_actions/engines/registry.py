"""Asks a container registry which digest a reference is, for engines that cannot ask themselves.

The protocol is OCI's (https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests), tokens are
Docker's (https://distribution.github.io/distribution/spec/auth/token/), logins those of `docker login`.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit

import httpx

from cicd_actions.engines.protocol import EngineUnreachable, Image, ImageMissing
from cicd_actions.engines.reference import Reference, is_digest, reference
from cicd_actions.toolkit.deadline import Deadline, within
from cicd_actions.toolkit.retry import Retry
from cicd_actions.toolkit.runtime import Runtime

CALL = 15.0
_ACCEPT = ", ".join(  # noqa: FLY002 - one kind a line
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
_PARAMETER = re.compile(r'([a-z]+)="([^"]*)"')
_LARGEST = 4 * 1024 * 1024
"""Bytes of a manifest: the limit that registries have to accept at least."""


class Registry:
    """The registries that images are named after."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._client: httpx.Client | None = None

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()

    def resolve(self, image: str, deadline: Deadline) -> Image:
        """The image with its digest. Raises `ImageMissing`, and `EngineUnreachable` when the registry does not say."""
        parts = reference(image)
        again = Retry(f"ask {parts.registry} for {image}", _transient, deadline, self._runtime, attempts=4)
        try:
            return Image(parts.repository, again(lambda: self._digest(parts, deadline)))
        except httpx.HTTPError as error:
            raise EngineUnreachable(
                f"Nobody knows whether the image {image} exists: {type(error).__name__}: {error}",
                cause=f"The registry {parts.registry} gave no answer to this runner.",
            ) from None

    def _digest(self, parts: Reference, deadline: Deadline) -> str:
        url = f"{_base(parts.registry)}/v2/{parts.path}/manifests/{parts.digest or parts.tag}"
        headers = {"Accept": _ACCEPT}
        response = self._ask("HEAD", url, headers, deadline)
        if response.status_code == httpx.codes.UNAUTHORIZED:
            headers |= self._authorization(response, parts, deadline)
            response = self._ask("HEAD", url, headers, deadline)
        if response.status_code == httpx.codes.NOT_FOUND:
            raise ImageMissing(f"The image {parts} is not there.", cause=f"The registry {parts.registry} does not know it.")
        if response.status_code in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
            raise EngineUnreachable(
                f"The registry {parts.registry} does not let this runner see {parts}: status {response.status_code}.",
                fix="Log in before this step (docker/login-action) with an account that may pull it.",
            )
        response.raise_for_status()
        digest = response.headers.get("Docker-Content-Digest", "")
        return digest if is_digest(digest) else self._computed(url, headers, deadline)

    def _computed(self, url: str, headers: Mapping[str, str], deadline: Deadline) -> str:
        """Registries need not send the digest's header: it is the hash of the manifest's bytes."""
        response = self._ask("GET", url, headers, deadline)
        response.raise_for_status()
        return "sha256:" + hashlib.sha256(response.content).hexdigest()

    def _ask(self, method: str, url: str, headers: Mapping[str, str], deadline: Deadline) -> httpx.Response:
        if self._client is None:
            # The system's certificates, so that a company's own authority counts.
            self._client = httpx.Client(verify=ssl.create_default_context(), follow_redirects=True)
        limit = max(deadline.timeout(CALL), 0.1)
        try:
            return within(limit, lambda: self._exchange(method, url, headers, limit))
        except TimeoutError as error:
            raise httpx.ReadTimeout(f"the answer did not end: {error}") from None

    def _exchange(self, method: str, url: str, headers: Mapping[str, str], limit: float) -> httpx.Response:
        assert self._client is not None  # noqa: S101 - made before
        with self._client.stream(method, url, headers={"Accept-Encoding": "identity", **headers}, timeout=limit) as response:
            content = bytearray()
            for piece in response.iter_bytes():
                content += piece
                if len(content) > _LARGEST:
                    raise EngineUnreachable(f"The answer of {url} is larger than {_LARGEST} bytes.")
        kept = {name: value for name, value in response.headers.items() if name != "content-encoding"}
        return httpx.Response(response.status_code, headers=kept, content=bytes(content), request=response.request)

    def _authorization(self, response: httpx.Response, parts: Reference, deadline: Deadline) -> dict[str, str]:
        challenge = response.headers.get("WWW-Authenticate", "")
        scheme, _, rest = challenge.partition(" ")
        login = self._login(parts.registry)
        if scheme.lower() == "basic" and login:
            return {"Authorization": _basic(*login)}
        if scheme.lower() != "bearer":
            return {}
        asked = dict(_PARAMETER.findall(rest))
        realm = asked.get("realm", "")
        if not _trusted(realm):
            raise EngineUnreachable(f"The registry {parts.registry} wants a token from {realm}, which is not https.")
        query = {"service": asked.get("service", ""), "scope": asked.get("scope") or f"repository:{parts.path}:pull"}
        headers = {"Authorization": _basic(*login)} if login else {}
        url = str(httpx.URL(realm).copy_merge_params(query))
        found = self._ask("GET", url, headers, deadline)
        if found.status_code != httpx.codes.OK:
            return {}  # the registry's second answer says it better
        body = found.json()
        token = str(body.get("token") or body.get("access_token") or "") if isinstance(body, dict) else ""
        self._runtime.redactor.add(token)
        return {"Authorization": f"Bearer {token}"}

    def _login(self, registry: str) -> tuple[str, str] | None:
        from docker import auth  # noqa: PLC0415 - only a registry that asks for a login needs the docker library

        found = auth.load_config().resolve_authconfig(registry) or {}
        name, password = found.get("username") or found.get("Username"), found.get("password") or found.get("Password")
        if not name or not password:
            return None
        self._runtime.redactor.add(str(password))
        return str(name), str(password)


def _base(registry: str) -> str:
    host = "registry-1.docker.io" if registry == "docker.io" else registry
    return f"{'http' if _loopback(host) else 'https'}://{host}"


def _loopback(host: str) -> bool:
    """Docker, too, speaks plain HTTP to registries on the loopback, and only there."""
    name = urlsplit(f"//{host}").hostname or ""
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _trusted(realm: str) -> bool:
    parts = urlsplit(realm)
    return parts.scheme == "https" or (parts.scheme == "http" and _loopback(parts.netloc))


def _basic(name: str, password: str) -> str:
    import base64  # noqa: PLC0415 - beside its only use

    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def _transient(error: BaseException) -> float | bool:
    """Retried: no answer, and answers that say "later" (RFC 9110, sections 15.5.9 and 15.6; RFC 6585, section 4)."""
    if isinstance(error, httpx.HTTPStatusError):
        wait = error.response.headers.get("Retry-After", "")
        if error.response.status_code in {408, 429, 502, 503, 504}:
            return float(wait) if wait.isdigit() else True
        return False
    return isinstance(error, httpx.TransportError)
