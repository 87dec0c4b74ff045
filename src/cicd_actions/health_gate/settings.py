"""A target's keys: read one by one, with its variables filled in and its secrets masked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote

from cicd_actions.health_gate import urls
from cicd_actions.health_gate.inputs import KEYS
from cicd_actions.health_gate.urls import Url, bracketed
from cicd_actions.toolkit.environment import Environment
from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.toolkit.grammar import NotUnderstood, fits
from cicd_actions.toolkit.inputs import as_yaml, instead

_SECRET_HEADER = re.compile(r"authorization|proxy-authorization|cookie|.*(?:token|key|secret).*", re.IGNORECASE)

SHORTEST_SECRET = 8
"""Characters from which on the value of a header is taken for a secret."""


def _secrets(name: str, value: str) -> list[str]:
    """Returns what to mask of a header: its value, the part after the scheme, and the values of cookies."""
    if not _SECRET_HEADER.fullmatch(name):
        return []
    found = [value, value.partition(" ")[2].strip()]
    if name.lower() == "cookie":
        found += [pair.partition("=")[2].strip() for pair in value.split(";")]
    return [each for each in found if len(each) >= SHORTEST_SECRET]


_EXPANDED = frozenset({"url", "headers", "body", "metric-url"})


class Settings:
    """A target's keys, read one by one: its own text, or else what the inputs say, or else the default.

    `where` says in errors where the target stands.
    """

    def __init__(self, texts: Mapping[str, str], inputs: Mapping[str, Any], environment: Environment, where: str = "") -> None:
        self._texts = texts
        self._inputs = inputs
        self._environment = environment
        self._where = where

    def __call__(self, key: str) -> Any:
        """Returns the value of the key. Raises `UnusableInput`."""
        declaration = KEYS[key]
        text = self._texts.get(key, "")
        # A key that is there and empty means the default, whatever the input says.
        if key not in self._texts and key in self._inputs:
            value = self._inputs[key]
        else:
            try:
                value = declaration.read(text)
            except NotUnderstood as error:
                raise self.unusable(key, f"{error}", error.example) from None
        return self._expanded(key, value) if key in _EXPANDED else value

    def _expanded(self, key: str, value: Any) -> Any:
        if key in {"url", "metric-url"}:
            return self._expanded_url(key, value)
        if isinstance(value, str):
            return self._environment.expand(value, input=key)
        # Lines are split first, so that a value with a line's end cannot become a second header.
        expanded = tuple((name, self._environment.expand(text, input=key)) for name, text in value)
        for name, text in expanded:
            if not text.isprintable() or not text.isascii():
                raise self.unusable(
                    key, f"the value of the header {name} has a line's end or another character that no header has"
                )
        for name, text in expanded:
            for secret in _secrets(name, text):
                self._environment.mask(secret)
        return expanded

    def _expanded_url(self, key: str, text: str) -> str:
        """A variable in the userinfo is percent-encoded: its `/`, `#`, `?` and `@` belong to the password."""
        start, end = urls.userinfo(text)
        safe = "" if ":" in text[start:end] else ":"  # a variable may hold `user:password`
        before, after = (self._environment.expand(piece, input=key, form=self._masked) for piece in (text[:start], text[end:]))
        userinfo = self._environment.expand(text[start:end], input=key, form=lambda value: quote(value, safe=safe))
        return before + userinfo + after

    def _masked(self, value: str) -> str:
        for part in urls.remnants(value):
            self._environment.mask(part)
        return value

    def url(self, key: str) -> Url:
        """Returns the key's URL and masks its password, or a user name without a password. Raises `UnusableInput`."""
        text = self(key)
        socket = _socket(text, self._texts.get(key, "")) if key == "url" else ""
        if socket:
            raise self.unusable(key, "the path of a Unix socket is not a URL; set it in `connect-to`", fix=socket)
        try:
            url = urls.parse(text)
        except NotUnderstood as error:
            problem, example = _of_scheme(text) or (f"{error}", error.example)
            raise self.unusable(key, problem, example if fits(_probed, example) else "") from None
        self._environment.mask(url.password or url.user)
        return url

    def tcp(self) -> tuple[str, int] | None:
        """Returns host and port of a `tcp://` URL; `None` for another one. Raises `UnusableInput`."""
        text = self("url")
        if not text.startswith(TCP):
            return None
        try:
            return _host_port(text)
        except NotUnderstood as error:
            raise self.unusable("url", f"{error}", error.example) from None

    def label(self) -> str:
        """Returns a name for a target without one: its URL without scheme and query. Raises `UnusableInput`."""
        place = self.tcp()
        if place:
            return f"{bracketed(place[0])}:{place[1]}"
        url = self.url("url")
        return url.authority + url.target.partition("?")[0].rstrip("/")

    def unusable(self, key: str, problem: str, example: str = "", *, fix: str = "") -> UnusableInput:
        """Returns the error that says what is wrong with a key, and what to write instead.

        `example` is a value of the key; `fix` is a target in YAML where other keys change too.
        """
        place = f"the key `{key}` of {self._where}" if self._where else f"the input `{key}`"
        if fix:
            fix = instead(as_yaml("targets", f"{fix}\n"))
        elif example:
            fix = instead(as_yaml(key, example), under="" if self._where else "with")
        return UnusableInput(f"Cannot use {place}: {problem}.", fix=fix)


TCP = "tcp://"

_OTHER_PROTOCOLS = {
    "grpc": "the gate speaks no gRPC; use `command` with a gRPC health client, or `tcp://` to check only the connection",
    "grpcs": "the gate speaks no gRPC; use `command` with a gRPC health client, or `tcp://` to check only the connection",
    "ws": "the gate speaks no WebSocket; probe an HTTP path of the same server",
    "wss": "the gate speaks no WebSocket; probe an HTTP path of the same server",
    "socks5": "the gate uses no SOCKS proxy; name an HTTP proxy in HTTP_PROXY and HTTPS_PROXY, or use `command`",
    "socks4": "the gate uses no SOCKS proxy; name an HTTP proxy in HTTP_PROXY and HTTPS_PROXY, or use `command`",
}


def _of_scheme(text: str) -> tuple[str, str] | None:
    """Returns why a URL of another protocol cannot be probed, and perhaps the URL to write instead."""
    scheme, _, rest = text.partition("://")
    if not rest or scheme.lower() in urls.PORTS:
        return None
    why = _OTHER_PROTOCOLS.get(
        scheme.lower(), "the gate probes only http, https and tcp; use `command` with a client of the service"
    )
    web = {"ws": "http", "wss": "https"}.get(scheme.lower())
    # Credentials are not repeated: a password may hold any character, a slash among them.
    place = "db.example.com:5432" if "@" in rest else rest.partition("/")[0]
    example = f"{web}://{rest}" if web else "" if scheme.lower().startswith("socks") else f"{TCP}{place}"
    return f"`{scheme}://…`: {why}", "" if web and "@" in rest else example


def _socket(text: str, template: str) -> str:
    """Returns the YAML of a target for a Unix socket that is written as a URL (curl, nginx, `requests-unixsocket`).

    A path that is not in the template came from a variable, and is not repeated.
    """
    if "unix:" not in text:
        return ""
    found = re.fullmatch(r"(?:https?://(?=unix:/)|[a-z]+\+)?unix:(?://)?([^:?#]*)(?:[:?#].*)?", text.strip())
    if not found:
        return ""
    path = found[1]
    if "%2F" in path.upper():  # the path of the socket stands where a host would, and a path of HTTP follows it
        path = path.lstrip("/").partition("/")[0]
    place = f"unix:/{unquote(path).lstrip('/')}"
    connect_to = place if found[1] in template and fits(KEYS["connect-to"].parse, place) else "unix:/run/app.sock"
    return f"- url: http://localhost/\n  {as_yaml('connect-to', connect_to)}"


def _probed(text: str) -> object:
    """Returns what the URL of a target stands for. Raises `NotUnderstood`."""
    return _host_port(text) if text.startswith(TCP) else urls.parse(text)


def _host_port(text: str) -> tuple[str, int]:
    try:
        return urls.host_port(text.removeprefix(TCP).rstrip("/"))
    except NotUnderstood:
        raise NotUnderstood("a `tcp://` URL is a host and a port", example="tcp://db.example.com:5432") from None
