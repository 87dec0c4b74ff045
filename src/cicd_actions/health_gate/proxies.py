"""Which proxy a request takes: `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`, in either case, as curl reads them."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from cicd_actions.health_gate.urls import Url, parse
from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.toolkit.grammar import NotUnderstood


@dataclass(frozen=True)
class Proxy:
    """An HTTP proxy. `authorization` is the value of `Proxy-Authorization`, or empty."""

    url: Url
    authorization: str


def proxy_for(url: Url, variables: Mapping[str, str]) -> Proxy | None:
    """The proxy for the URL, `None` for a direct connection. Raises `UnusableInput` for a proxy that cannot be used."""
    name, text = _variable(f"{url.scheme}_proxy", variables)
    if not text:
        name, text = _variable("all_proxy", variables)
    if not text or _bypassed(url, _variable("no_proxy", variables)[1]):
        return None
    try:
        proxy = parse(text if "://" in text else f"http://{text}")
    except NotUnderstood as error:
        raise UnusableInput(
            f"The environment variable {name} does not name an HTTP proxy: {error}.",
            cause="It is set on this runner, or in the workflow's `env:`.",
            fix=f"    env:\n      {name}: http://proxy.example.com:3128\n\nor, to go without it for this host:\n\n"
            f"    env:\n      NO_PROXY: {url.host}",
        ) from None
    credentials = f"{proxy.user}:{proxy.password}"
    return Proxy(proxy, f"Basic {base64.b64encode(credentials.encode()).decode()}" if proxy.user else "")


def secrets(variables: Mapping[str, str]) -> list[str]:
    """The passwords in the proxies' URLs."""
    found = []
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        text = _variable(name, variables)[1]
        if "@" in text:
            written = text.rpartition("@")[0].rpartition("//")[2].partition(":")[2]
            found += [written, unquote(written)]
    return [secret for secret in dict.fromkeys(found) if secret]


def _variable(name: str, variables: Mapping[str, str]) -> tuple[str, str]:
    """Its name as written, and its value; the lower case wins, as in curl."""
    for spelling in (name, name.upper()):
        if variables.get(spelling, "").strip():
            return spelling, variables[spelling].strip()
    return "", ""


def _bypassed(url: Url, no_proxy: str) -> bool:
    host = url.host.lower().rstrip(".")
    for entry in no_proxy.replace(" ", ",").lower().split(","):
        if not entry:
            continue
        if entry == "*":
            return True
        name, colon, port = entry.rpartition(":")
        if colon and port.isdigit() and ":" not in name:
            if int(port) != url.port:
                continue
            entry = name  # noqa: PLW2901 - the rest of the entry is what is compared
        suffix = entry.removeprefix("*").strip("[]").lstrip(".")
        if host == suffix or host.endswith(f".{suffix}") or _within(host, suffix):
            return True
    return False


def _within(host: str, network: str) -> bool:
    if "/" not in network:
        return False
    import ipaddress  # noqa: PLC0415 - only such an entry needs it

    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
