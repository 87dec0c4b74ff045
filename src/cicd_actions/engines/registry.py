"""Asks a container registry for the digest of a reference, for engines that cannot ask themselves.

The protocol is OCI's (https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests), tokens are
Docker's (https://distribution.github.io/distribution/spec/auth/token/), logins those of `docker login`.
"""

from __future__ import annotations

import base64
import hashlib
import re
import ssl
from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import httpx

from cicd_actions.engines.protocol import EngineUnreachable, Image, ImageMissing, LoginNeeded, WrongDigest
from cicd_actions.engines.reference import Reference, is_digest, reference
from cicd_actions.engines.registry_logins import logins
from cicd_actions.engines.registry_trust import loopback, may_get_login
from cicd_actions.toolkit.background import within
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.retry import Retry, retry_after
from cicd_actions.toolkit.runtime import Runtime

CALL = 15.0
_ACCEPT = (
    "application/vnd.oci.image.index.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.v2+json"
)
_PARAMETER = re.compile(r'(?<![a-z])([a-z]{1,32})="([^"]*)"')
_LONGEST_CHALLENGE = 8 * 1024
"""Characters of a WWW-Authenticate header that are read."""

_REDIRECTS = 5
_MOST_PLATFORMS = 20
_LARGEST = 4 * 1024 * 1024
"""Bytes of a manifest: the limit that registries have to accept at least."""


class Registry:
    """Reads from the registries that images are named after."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._client: httpx.Client | None = None

    def close(self) -> None:
        """Closes the connections."""
        if self._client is not None:
            self._client.close()

    def resolve(self, image: str, deadline: Deadline) -> Image:
        """Returns the image with its digest. A digest that is asked for is proven by the bytes of the manifest.

        Raises `ImageMissing`, `WrongDigest`, `LoginNeeded`, and `EngineUnreachable` when the registry does not say.
        """
        parts = reference(image)
        again = Retry(f"ask {parts.registry} for {image}", _transient, deadline, self._runtime, attempts=4)
        try:
            return Image(parts.repository, again(lambda: self._digest(parts, deadline)))
        except httpx.HTTPError as error:
            # The library's own text may quote a URL, and with it a login.
            raise EngineUnreachable(
                f"Could not determine whether the image {image} exists: {_explained(error)}.",
                cause=f"The registry {parts.registry} did not answer this runner.",
            ) from None

    def configurations(self, image: str, deadline: Deadline) -> list[dict[str, Any]]:
        """Returns the configuration of an image that is named by digest; of an index, that of every platform.

        Each document is proven by its digest. Raises `ImageMissing`, `WrongDigest`, `EngineUnreachable`.
        """
        parts = reference(image)
        again = Retry(f"ask {parts.registry} for {image}", _transient, deadline, self._runtime, attempts=4)
        try:
            return again(lambda: self._configurations(parts, deadline))
        except httpx.HTTPError as error:
            raise EngineUnreachable(
                f"Could not read the configuration of the image {image}: {_explained(error)}.",
                cause=f"The registry {parts.registry} did not answer this runner.",
            ) from None

    def _configurations(self, parts: Reference, deadline: Deadline) -> list[dict[str, Any]]:
        manifest = self._document(parts, "manifests", parts.digest, deadline)
        listed = manifest.get("manifests")
        inner = [manifest]
        if isinstance(listed, list):
            digests = [each["digest"] for each in listed[:_MOST_PLATFORMS] if _of_a_platform(each)]
            inner = [self._document(parts, "manifests", digest, deadline) for digest in digests]
        named = [each.get("config", {}).get("digest", "") if isinstance(each.get("config"), dict) else "" for each in inner]
        return [self._document(parts, "blobs", digest, deadline) for digest in named if is_digest(digest)]

    def _document(self, parts: Reference, kind: str, digest: str, deadline: Deadline) -> dict[str, Any]:
        """Returns the JSON object of a digest. Its bytes are proven, so any host may serve them, without a login."""
        url = f"{_base(parts.registry)}/v2/{parts.path}/{kind}/{digest}"
        headers = {"Accept": _ACCEPT if kind == "manifests" else "*/*"}
        response = self._ask("GET", url, headers, parts, deadline, elsewhere=True)
        if response.status_code == httpx.codes.UNAUTHORIZED:
            headers |= self._authorization(response, parts, deadline)
            response = self._ask("GET", url, headers, parts, deadline, elsewhere=True)
        if response.status_code == httpx.codes.NOT_FOUND:
            raise ImageMissing(f"Could not find {digest} of the image {parts}.")
        response.raise_for_status()
        algorithm = digest.partition(":")[0]
        computed = f"{algorithm}:{hashlib.new(algorithm, response.content).hexdigest()}"
        if computed != digest:
            raise WrongDigest(parts.registry, str(parts), computed)
        try:
            found = response.json()
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise EngineUnreachable(f"The registry {parts.registry} serves no JSON object for {digest}.")
        return found

    def _digest(self, parts: Reference, deadline: Deadline) -> str:
        url = f"{_base(parts.registry)}/v2/{parts.path}/manifests/{parts.digest or parts.tag}"
        headers = {"Accept": _ACCEPT}
        response = self._ask("HEAD", url, headers, parts, deadline)
        if response.status_code == httpx.codes.UNAUTHORIZED:
            headers |= self._authorization(response, parts, deadline)
            response = self._ask("HEAD", url, headers, parts, deadline)
        if response.status_code == httpx.codes.NOT_FOUND:
            raise ImageMissing(
                f"Could not find the image {parts}.", cause=f"The registry {parts.registry} answers that it does not exist."
            )
        if response.status_code in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
            raise LoginNeeded(parts.registry, str(parts), f"status {response.status_code}.")
        response.raise_for_status()
        said = response.headers.get("Docker-Content-Digest", "")
        if not parts.digest:
            return said if is_digest(said) else self._computed(url, headers, parts, "sha256", deadline)
        if said not in {"", parts.digest}:
            raise WrongDigest(parts.registry, str(parts), said)
        computed = self._computed(url, headers, parts, parts.digest.partition(":")[0], deadline)
        if computed != parts.digest:
            raise WrongDigest(parts.registry, str(parts), computed)
        return parts.digest

    def _computed(self, url: str, headers: Mapping[str, str], parts: Reference, algorithm: str, deadline: Deadline) -> str:
        """Returns the hash of the manifest's bytes, which is its digest."""
        response = self._ask("GET", url, headers, parts, deadline)
        response.raise_for_status()
        return f"{algorithm}:{hashlib.new(algorithm, response.content).hexdigest()}"

    def _ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        parts: Reference,
        deadline: Deadline,
        *,
        elsewhere: bool = False,
    ) -> httpx.Response:
        """Returns the answer, at the end of its redirects; with `elsewhere` also from another domain, without the login.

        Raises `EngineUnreachable` for a redirect that must not be followed.
        """
        # The system's certificates, so that a company's own authority counts.
        client = self._client = self._client or httpx.Client(verify=ssl.create_default_context())
        limit = max(deadline.timeout(CALL), 0.1)
        began = Deadline(limit, self._runtime.clock)
        now = httpx.URL(url)
        for _ in range(_REDIRECTS):
            at = now
            try:
                response = within(began.remaining, partial(self._exchange, client, method, at, dict(headers), limit))
            except TimeoutError:
                raise httpx.ReadTimeout("the answer did not end in time") from None
            if not response.has_redirect_location:
                return response
            now = self._redirected(response, at, parts, elsewhere=elsewhere)
            if now.host != at.host or now.port != at.port:
                headers = {name: value for name, value in headers.items() if name != "Authorization"}
        raise EngineUnreachable(f"The registry {parts.registry} redirects more than {_REDIRECTS} times.")

    def _redirected(self, response: httpx.Response, at: httpx.URL, parts: Reference, *, elsewhere: bool) -> httpx.URL:
        try:
            to = at.join(response.headers["Location"])
        except (httpx.InvalidURL, ValueError):
            raise EngineUnreachable(f"The registry {parts.registry} redirects to an address that is not valid.") from None
        if to.scheme not in {at.scheme, "https"}:
            raise EngineUnreachable(
                f"The registry {parts.registry} redirects to {to.scheme}://{to.host}, which is not https.",
                cause="In plain text, anybody on the way could answer for the registry.",
            )
        if not elsewhere and not may_get_login(_host(parts), to.host) and self._login(parts.registry):
            raise EngineUnreachable(
                f"The registry {parts.registry} redirects to {to.host}, in another domain. A login is not taken there.",
                fix="Name the image by the registry that serves it, and log in to that one.",
            )
        return to

    def _exchange(
        self, client: httpx.Client, method: str, url: httpx.URL, headers: Mapping[str, str], limit: float
    ) -> httpx.Response:
        with client.stream(method, url, headers={"Accept-Encoding": "identity", **headers}, timeout=limit) as response:
            content = bytearray()
            for piece in response.iter_bytes():
                content += piece
                if len(content) > _LARGEST:
                    raise EngineUnreachable(f"The answer of {url.host} is larger than {_LARGEST} bytes.")
        # As bytes: a registry may send headers that are not ASCII.
        kept = [(name, value) for name, value in response.headers.raw if name.lower() != b"content-encoding"]
        return httpx.Response(response.status_code, headers=kept, content=bytes(content), request=response.request)

    def _authorization(self, response: httpx.Response, parts: Reference, deadline: Deadline) -> dict[str, str]:
        scheme, _, rest = response.headers.get("WWW-Authenticate", "")[:_LONGEST_CHALLENGE].partition(" ")
        # The challenge of a host that the registry redirected to is that host's, and no business of the login.
        own = may_get_login(_host(parts), response.request.url.host)
        login = self._login(parts.registry) if own else None
        if scheme.lower() == "basic" and login:
            return {"Authorization": _basic(*login)}
        if scheme.lower() != "bearer":
            return {}
        asked = dict(_PARAMETER.findall(rest))
        realm = self._realm(asked.get("realm", ""), parts)
        query = {"service": asked.get("service", ""), "scope": asked.get("scope") or f"repository:{parts.path}:pull"}
        headers = {"Authorization": _basic(*login)} if login else {}
        found = self._ask("GET", str(realm.copy_merge_params(query)), headers, parts, deadline)
        if found.status_code != httpx.codes.OK:
            return {}  # the registry's second answer says it better
        try:
            body = found.json()
        except (ValueError, RecursionError):
            return {}
        token = str(body.get("token") or body.get("access_token") or "") if isinstance(body, dict) else ""
        self._runtime.redactor.add(token)
        # A header cannot carry what a token never holds: its text would be quoted in the error.
        return {"Authorization": f"Bearer {token}"} if token.isascii() and token.isprintable() and token else {}

    def _realm(self, text: str, parts: Reference) -> httpx.URL:
        """Returns the address of the token service. Raises `EngineUnreachable` where no login may be sent."""
        try:
            realm = httpx.URL(text)
        except (httpx.InvalidURL, ValueError):
            realm = httpx.URL("")
        plain = realm.scheme == "http" and loopback(realm.host) and loopback(_host(parts))
        if realm.scheme != "https" and not plain:
            where = f"{realm.scheme}://{realm.host}" if realm.host else "an address that is not valid"
            raise EngineUnreachable(f"The registry {parts.registry} wants a token from {where}, which is not https.")
        if not may_get_login(_host(parts), realm.host):
            raise EngineUnreachable(
                f"The registry {parts.registry} wants a token from {realm.host}, in another domain.",
                cause="A registry that was taken over could collect logins there, so nothing is sent.",
                fix="Name the image by a registry whose token service is in its own domain.",
            )
        return realm

    def _login(self, registry: str) -> tuple[str, str] | None:
        found = logins(self._runtime.variables).resolve_authconfig(registry) or {}
        name, password = found.get("username") or found.get("Username"), found.get("password") or found.get("Password")
        if not name or not password:
            return None
        self._runtime.redactor.add(str(password))
        return str(name), str(password)


def _of_a_platform(entry: object) -> bool:
    """Tells whether an entry of an index is an image. BuildKit lists attestations beside them, as of an unknown platform."""
    if not isinstance(entry, dict) or not is_digest(str(entry.get("digest", ""))):
        return False
    platform = entry.get("platform")
    return not isinstance(platform, dict) or platform.get("os") != "unknown"


def _host(parts: Reference) -> str:
    return httpx.URL(_base(parts.registry)).host


def _base(registry: str) -> str:
    host = "registry-1.docker.io" if registry == "docker.io" else registry
    return f"{'http' if loopback(urlsplit(f'//{host}').hostname or '') else 'https'}://{host}"


def _explained(error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        return f"the registry answered with status {error.response.status_code}"
    if isinstance(error, httpx.TimeoutException):
        return "the registry timed out"
    if isinstance(error, httpx.ConnectError):
        return "the registry could not be reached"
    return f"the exchange with the registry broke off ({type(error).__name__})"


def _basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def _transient(error: BaseException) -> float | bool:
    """Retried: no answer, and answers that say "later" (RFC 9110, sections 15.5.9 and 15.6; RFC 6585, section 4)."""
    if isinstance(error, httpx.HTTPStatusError):
        later = error.response.status_code in {408, 429, 502, 503, 504}
        return retry_after(error.response.headers.get("Retry-After", "")) if later else False
    return isinstance(error, httpx.TransportError)
