"""Reads a URL strictly: what a browser would repair silently is reported before the first probe.

The texts of errors are written here: those of `urllib` quote the part that they stumble over, which may be half a password.
"""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from urllib.parse import quote, unquote, urljoin

import idna

from cicd_actions.toolkit.grammar import NotUnderstood

PORTS = {"http": 80, "https": 443}

EXAMPLE = "https://example.com/health"

# The characters that WHATWG's URL standard leaves alone in a path and in a query; httpx and curl do too.
_PATH = "!$%&'()*+,-./:;=@[\\]^_|~"
_QUERY = _PATH + "?`{}"

# Host names have no underscore, but the names of Compose services may, and they resolve.
_LABEL = r"[A-Za-z0-9_-]{1,63}"
_NAME = re.compile(rf"(?=.{{1,253}}\.?$){_LABEL}(\.{_LABEL})*\.?")
# A host that ends in a number is an IPv4 address in one of the spellings of inet_aton, or nothing.
_NUMBERS = re.compile(r"(.*\.)?(0[xX][0-9A-Fa-f]*|[0-9]+)\.?")
_BLANK = re.compile(r"[\s\x00-\x20\x7f]+")
_PARTS = re.compile(r"(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?(?:#.*)?", re.DOTALL)
_LOCATION = re.compile(r"((?:[A-Za-z][A-Za-z0-9+.-]*:)?//[^/?#]*)?([^#]*)(?:#.*)?", re.DOTALL)


@dataclass(frozen=True)
class Url:
    """An absolute HTTP URL in its parts. `target` is the path and query as sent.

    `host` is a name in ASCII, or an address without brackets; an IPv6 address may end in `%` and its zone.
    `user` and `password` come from `user:password@`; they are sent as Basic authentication and never shown.
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
    def credentials(self) -> str:
        """Returns `user:password`, or nothing: one of the two may be empty, as in `:token@`."""
        return f"{self.user}:{self.password}" if self.user or self.password else ""

    @property
    def authority(self) -> str:
        """Returns the `Host` header: the port only where it is not the scheme's own, no zone (RFC 6874, section 4)."""
        return self._authority(self.host.partition("%")[0])

    def _authority(self, host: str) -> str:
        return bracketed(host) if self.port == PORTS[self.scheme] else f"{bracketed(host)}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self._authority(self.host.replace('%', '%25'))}{self.target}"


def bracketed(host: str) -> str:
    """Returns the host as it stands in a URL."""
    return f"[{host}]" if ":" in host else host


def parse(text: str) -> Url:
    """Returns the URL. Raises `NotUnderstood` with an example that `parse` takes."""
    text = text.strip()
    if _BLANK.search(text):
        raise NotUnderstood(f"`{_safe(text)}` contains white space", example=_example(_BLANK.sub("%20", text)))
    # `localhost:8080` would be read as the scheme `localhost`.
    if "://" not in text:
        rest = text.lstrip("/")
        example = f"http://{rest}" if re.fullmatch(r"([A-Za-z0-9._-]+)(:[0-9]+)?(/.*)?", rest) else EXAMPLE
        raise NotUnderstood(f"`{_safe(text)}` has no scheme (http:// or https://)", example=_example(example))
    scheme, _, rest = text.partition("://")
    scheme = scheme.lower()
    if scheme not in PORTS:
        raise NotUnderstood(
            f"`{_safe(text).partition('://')[0]}` is not a scheme that the gate can probe: it speaks http and https",
            example=_example(f"https://{rest}"),
        )
    parts = _fitted(_PARTS, rest)
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise NotUnderstood(f"`{_safe(text)}` contains half a character", example=EXAMPLE) from None
    userinfo, _, place = parts["authority"].rpartition("@")
    host, port = _host_and_port(place, text)
    path = _without_dots(quote(parts["path"] or "/", safe=_PATH, errors="surrogateescape"))
    query = quote(parts["query"] or "", safe=_QUERY, errors="surrogateescape")
    user, _, password = userinfo.partition(":")
    return Url(scheme, host, port or PORTS[scheme], path + (f"?{query}" if query else ""), unquote(user), unquote(password))


def _host_and_port(place: str, text: str) -> tuple[str, int]:
    """The port is 0 when the text names none."""
    found = re.fullmatch(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::([0-9]*))?", place)
    if not found:
        # A password with one of `/?#` ends the authority early, and its first letters stand where the port should be.
        if "@" in text:
            said = "does not name a host and a port; write `%2F` for `/`, `%3F` for `?`, `%23` for `#` in a password"
            raise NotUnderstood(f"`{_safe(text)}` {said}, or a variable", example="https://user:$PASSWORD@example.com/health")
        raise NotUnderstood(f"`{_safe(text)}` does not name a host and a port", example="https://example.com:8443/health")
    host = _host(found[1], text)
    digits = found[2]
    if digits and not (len(digits) <= 5 and 0 < int(digits) < 65536):
        raise NotUnderstood("a port is a number from 1 to 65535", example="https://example.com:8443/health")
    return host, int(digits or 0)


def _host(host: str, text: str) -> str:
    if not host or host == "[]":
        raise NotUnderstood(f"`{_safe(text)}` does not name a host", example=EXAMPLE)
    if host.startswith("["):
        return _ipv6(host[1:-1], text)
    name = host if host.isascii() else _ascii(host, text)
    if _NUMBERS.fullmatch(name):
        return _ipv4(name, text)
    if not _NAME.fullmatch(name):
        raise NotUnderstood(f"`{_safe(text)}` does not have a host name that is valid", example=EXAMPLE)
    return name.lower()


def _ipv4(text: str, url: str) -> str:
    if re.fullmatch(r"(?:0[xX][0-9A-Fa-f]+|[0-9]+)(?:\.(?:0[xX][0-9A-Fa-f]+|[0-9]+)){0,3}\.?", text):
        try:
            return socket.inet_ntoa(socket.inet_aton(text.rstrip(".")))
        except OSError:
            pass
    raise NotUnderstood(f"`{_safe(url)}` does not have a valid IPv4 address as its host", example="http://127.0.0.1:8080/")


def _ipv6(text: str, url: str) -> str:
    address, percent, zone = text.partition("%")
    zone = zone.removeprefix("25") if zone != "25" else zone  # RFC 6874 writes `%25`, people write `%`
    try:
        short = socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, address))
    except (OSError, ValueError):
        short = ""
    if not short or (percent and not re.fullmatch(r"[A-Za-z0-9._~-]+", zone)):
        raise NotUnderstood(f"`{_safe(url)}` does not have an IPv6 address in its brackets", example="http://[::1]:8080/")
    return f"{short}%{zone}" if percent else short


def _ascii(host: str, url: str) -> str:
    """The name as IDNA 2008 writes it, after the mappings of UTS 46 (lower case, full-width letters), as curl does."""

    try:
        mapped = idna.uts46_remap(host, std3_rules=False, transitional=False)
        return ".".join(each if each.isascii() else idna.alabel(each).decode("ascii") for each in mapped.split("."))
    except (idna.IDNAError, UnicodeError):
        raise NotUnderstood(
            f"IDNA 2008 does not allow the host name of `{_safe(url)}`", example="https://xn--bcher-kva.example/"
        ) from None


def _without_dots(path: str) -> str:
    """Resolves `.` and `..` (RFC 3986, section 5.2.4)."""
    if "/." not in path:
        return path
    kept: list[str] = []
    steps = path.split("/")[1:]
    for step in steps:
        if step == "..":
            del kept[-1:]
        elif step != ".":
            kept.append(step)
    return "/" + "/".join(kept + ([""] if kept and steps[-1] in {".", ".."} else []))


def _fitted(pattern: re.Pattern[str], text: str) -> re.Match[str]:
    found = pattern.fullmatch(text)
    assert found is not None  # noqa: S101 - every text has the shape of these patterns
    return found


def _safe(text: str) -> str:
    """The text without credentials, for an error. A raw `/` or `@` in a password must not end them early."""
    shown = re.sub(r"\A([A-Za-z][A-Za-z0-9+.-]*://)?.*@", r"\1***@", text, flags=re.DOTALL)
    return shown.encode("utf-8", "backslashreplace").decode()


def _example(text: str) -> str:
    """The text as a suggestion, without its user's name and password, when `parse` takes it so."""
    shown = _safe(text)
    try:
        parse(shown)
    except NotUnderstood:
        return EXAMPLE
    return shown


def join(base: Url, location: str) -> Url:
    """Returns where a `Location` leads; bytes that are not UTF-8 stand in it as surrogates. Raises `NotUnderstood`."""
    parts = _fitted(_LOCATION, location.strip(" \t\r\n"))
    place, rest = parts[1] or "", quote(parts[2], safe=_QUERY, errors="surrogateescape")
    if re.match(r"https?:", place, re.IGNORECASE):
        return parse(place + rest)
    try:
        joined = urljoin(str(base), place + rest)
    except ValueError:
        raise NotUnderstood(f"`{_safe(location)}` is not a URL", example=EXAMPLE) from None
    return parse(joined)


def server_name(authority: str) -> str:
    """Returns the name that a certificate must have: without port, zone and trailing dot (RFC 6066, section 3)."""
    return parse(f"https://{authority}/").host.partition("%")[0].removesuffix(".")


def host_header(text: str) -> str:
    """Reads `host` or `host:port` and returns it in ASCII. Raises `NotUnderstood`."""
    text = text.strip()
    url = parse(f"http://{text}/")
    if url.target != "/" or url.credentials or re.search(r"[/?#@\\]", text):
        raise NotUnderstood(f"`{_safe(text)}` is not a host with or without a port", example="api.example.com")
    port = re.search(r":([0-9]+)$", text)
    return bracketed(url.host.partition("%")[0]) + (f":{port[1]}" if port else "")


def host_port(text: str) -> tuple[str, int]:
    """Reads `host:port` or `[v6]:port`. Raises `NotUnderstood`."""
    try:
        if re.fullmatch(r"(?:\[[^\[\]/?#@]+\]|[^:\s/?#@\[\]]+):[0-9]+", text.strip()):
            url = parse(f"http://{text.strip()}/")
            return url.host, url.port
    except NotUnderstood:
        pass
    raise NotUnderstood(f"`{text}` is not a host and a port", example="127.0.0.1:8080")


_CUTS = re.compile(r"://|[@?#]")


def remnants(value: str) -> Iterator[str]:
    """Yields what may be left of a text where a URL that it is a part of is cut or shown without scheme or credentials.

    A secret is masked as a whole, so each part that can stand alone has to be known as well.
    """
    # With and without the sign at the cut: a mask may be too short for the rest alone.
    edges = [0, *(edge for match in islice(_CUTS.finditer(value), 8) for edge in match.span()), len(value)]
    parts = [value[start:end] for start in edges for end in edges if start < end]
    yield from (*parts, *(part.rstrip("/") for part in parts))
    with contextlib.suppress(NotUnderstood):
        url = parse(value if "://" in value else f"http://{value}")
        shown = url.authority + url.target
        yield from (shown, shown.partition("?")[0].rstrip("/"))


def userinfo(template: str) -> tuple[int, int]:
    """Returns where the userinfo begins and ends in a URL whose variables are not expanded yet; twice 0 without one."""
    found = re.match(r"\s*[A-Za-z]+://([^/?#]*)@", template)
    return found.span(1) if found else (0, 0)
