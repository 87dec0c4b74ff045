"""Reads a URL strictly: what a browser would mend silently is said before the first probe."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote, urljoin, urlsplit

from cicd_actions.toolkit.grammar import NotUnderstood

PORTS = {"http": 80, "https": 443}

# Underscores are not allowed in host names, but in the names of Compose services, which resolve all the same.
_HOST = re.compile(r"(?=.{1,253}\.?$)[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,62}))*\.?")
_SCHEME_LIKE = re.compile(r"([A-Za-z0-9._-]+)(:[0-9]+)?(/.*)?")


@dataclass(frozen=True)
class Url:
    """An absolute HTTP URL in its parts. `host` is without brackets; `target` is the path and query as sent.

    `user` and `password` come from `user:password@`, and are sent as Basic authentication, never shown.
    """

    scheme: str
    host: str
    port: int
    target: str
    user: str = ""
    password: str = ""

    @property
    def secure(self) -> bool:
        return self.scheme == "https"

    @property
    def origin(self) -> tuple[str, str, int]:
        return (self.scheme, self.host, self.port)

    @property
    def authority(self) -> str:
        """What the `Host` header says: the port only where it is not the scheme's own."""
        return bracketed(self.host) if self.port == PORTS[self.scheme] else f"{bracketed(self.host)}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"


def bracketed(host: str) -> str:
    """The host as it stands in a URL."""
    return f"[{host}]" if ":" in host else host


def parse(text: str) -> Url:
    """The URL, or `NotUnderstood` with what to write instead."""
    text = text.strip()
    if any(char.isspace() or ord(char) < 0x20 or ord(char) == 0x7F for char in text):
        raise NotUnderstood(f"`{text}` has white space in it, and a URL has none", example=re.sub(r"\s+", "%20", text))
    # `localhost:8080` would be read as the scheme `localhost`.
    if "://" not in text:
        rest = text.lstrip("/")
        example = f"http://{rest}" if _SCHEME_LIKE.fullmatch(rest) else "https://example.com/health"
        raise NotUnderstood(f"`{_safe(text)}` has no scheme (http:// or https://)", example=example)
    scheme = text.partition("://")[0].lower()
    if scheme not in PORTS:
        raise NotUnderstood(
            f"`{scheme}` is not a scheme that can be probed, only http and https are",
            example=f"https://{_safe(text).partition('://')[2]}",
        )
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise NotUnderstood(f"`{_safe(text)}` is not a URL: {error}", example="https://example.com/health") from None
    if port == 0:
        raise NotUnderstood("port 0 cannot be connected to", example="https://example.com:8443/health")
    target = quote(parts.path or "/", safe="/%:@!$&'()*+,;=-._~") + (
        "?" + quote(parts.query, safe="/%:@!$&'()*+,;=-._~?[]{}|^`") if parts.query else ""
    )
    return Url(
        scheme, _host(parts.hostname or "", text), port or PORTS[scheme], target,
        unquote(parts.username or ""), unquote(parts.password or ""),
    )  # fmt: skip


def _host(host: str, text: str) -> str:
    if not host:
        raise NotUnderstood(f"`{_safe(text)}` names no host", example="https://example.com/health")
    if ":" in host:
        import ipaddress  # noqa: PLC0415 - only addresses of IPv6 need it

        try:
            return str(ipaddress.IPv6Address(host))
        except ValueError as error:
            raise NotUnderstood(f"`{_safe(text)}` is not a URL: {error}", example="http://[::1]:8080/") from None
    try:
        host = host if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise NotUnderstood(f"the host `{host}` is not a name that can be looked up: {error}") from None
    if not _HOST.fullmatch(host):
        raise NotUnderstood(f"`{host}` is not the name of a host", example="https://example.com/health")
    return host


def _safe(text: str) -> str:
    """The text without a password, for an error."""
    return re.sub(r"//[^/@]*@", "//***@", text)


def join(base: Url, location: str) -> Url:
    """Where a `Location` leads. Raises `NotUnderstood`."""
    return parse(urljoin(str(base), quote(location.strip(), safe="/%:@!$&'()*+,;=-._~?#[]")))


def host_port(text: str) -> tuple[str, int]:
    """`host:port` or `[v6]:port`. Raises `NotUnderstood`."""
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:\s/\[\]]+)):([0-9]{1,5})", text.strip())
    if not found or not 0 < int(found[3]) < 65536:
        raise NotUnderstood(f"`{text}` is not a host and a port", example="127.0.0.1:8080")
    return found[1] or found[2], int(found[3])
