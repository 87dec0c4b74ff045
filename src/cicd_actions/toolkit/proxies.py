"""The proxies that the environment names, and the credentials in their URLs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import quote, unquote

_NAMES = tuple(spelling for name in ("http_proxy", "https_proxy", "all_proxy") for spelling in (name, name.upper()))

_USERINFO = "!$%&'()*+,;=:-._~"
"""What may stand in a URL's userinfo as it is (RFC 3986, section 3.2.1)."""


def parts(text: str) -> tuple[str, str, str]:
    """Returns scheme, userinfo and the rest of a proxy's URL.

    The last `@` ends the userinfo: a proxy has no path, and a password may have been pasted with its `/`, `#`, `?` and `@`.
    """
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "http", text
    userinfo, _, place = rest.rpartition("@")
    return scheme.lower(), userinfo, place


def encoded(variables: Mapping[str, str]) -> dict[str, str]:
    """Returns the variables whose credentials no library could read, with these percent-encoded.

    Libraries quote the part of a URL that they stumble over, which may be half a password.
    """
    return {
        name: text.replace(f"{userinfo}@", f"{quote(userinfo, safe=_USERINFO)}@", 1)
        for name, text, userinfo in _proxies(variables)
        if quote(userinfo, safe=_USERINFO) != userinfo
    }


def secrets(variables: Mapping[str, str]) -> list[str]:
    """Returns the passwords in the proxies' URLs, as written and decoded; the user name where there is no password."""
    found: list[str] = []
    for _, _, userinfo in _proxies(variables):
        user, _, password = userinfo.partition(":")
        found += [password or user, unquote(password or user)]
    return [secret for secret in dict.fromkeys(found) if secret]


def _proxies(variables: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yields the name, the URL and its userinfo of each proxy that is set."""
    for name in _NAMES:
        if text := variables.get(name, ""):
            yield name, text, parts(text)[1]
