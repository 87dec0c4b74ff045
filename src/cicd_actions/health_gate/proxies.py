"""Which proxy a request takes, and which answers are the proxy's.

`HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` count in either case. curl ignores `HTTP_PROXY` in upper case, because
a web server hands a visitor's header `Proxy` to a CGI program under that name. A step of a workflow is not a CGI program.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from cicd_actions.health_gate.answer import Answer
from cicd_actions.health_gate.urls import Url, parse
from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.toolkit.grammar import NotUnderstood
from cicd_actions.toolkit.proxies import parts


@dataclass(frozen=True)
class Proxy:
    """An HTTP proxy. `authorization` is the value of `Proxy-Authorization`, or empty."""

    url: Url
    authorization: str


def proxy_for(url: Url, variables: Mapping[str, str]) -> Proxy | None:
    """Returns the proxy for the URL, `None` for a direct connection. Raises `UnusableInput` for a proxy that cannot be used."""
    name, text = _variable(f"{url.scheme}_proxy", variables)
    if not text:
        name, text = _variable("all_proxy", variables)
    if not text or _bypassed(url, _variable("no_proxy", variables)[1]):
        return None
    scheme, userinfo, place = parts(text)
    try:
        proxy = parse(f"{scheme}://{place}")
    except NotUnderstood as error:
        cause = "It is set on this runner, or in the workflow's `env:`."
        if scheme.startswith("socks"):
            cause += " The gate does not speak SOCKS."
        raise UnusableInput(
            f"Cannot use the proxy that the environment variable {name} names: {error}.",
            cause=cause,
            fix=f"Name an HTTP proxy:\n\n    env:\n      {name}: http://proxy.example.com:3128\n\n"
            f"Or connect to this host without a proxy:\n\n    env:\n      NO_PROXY: {url.host}",
        ) from None
    user, _, password = userinfo.partition(":")
    credentials = f"{unquote(user)}:{unquote(password)}" if user or password else ""
    return Proxy(proxy, f"Basic {base64.b64encode(credentials.encode()).decode()}" if credentials else "")


def _variable(name: str, variables: Mapping[str, str]) -> tuple[str, str]:
    """Returns its name as written, and its value; lower case comes first, as in curl."""
    for spelling in (name, name.upper()):
        if variables.get(spelling, "").strip():
            return spelling, variables[spelling].strip()
    return "", ""


_ADDRESS = re.compile(r"[0-9.]+|[0-9a-f]*:[0-9a-f:.]*(%.*)?")
_ENTRY = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::([0-9]+))?")


def _bypassed(url: Url, no_proxy: str) -> bool:
    """Whether an entry names the host: `*`, a name (and all names below it), an address or a network; each may have a port."""
    host = url.host.rstrip(".")
    for entry in re.split(r"[\s,]+", no_proxy.lower()):
        found = _ENTRY.fullmatch(entry)
        name, port = (found[1].strip("[]"), found[2]) if found else (entry, None)
        if not name or (port and int(port[:6]) != url.port):
            continue
        suffix = name.removeprefix("*").strip(".")
        below = not _ADDRESS.fullmatch(host) and host.endswith(f".{suffix}")
        if name == "*" or host == suffix or below or _within(host, suffix):
            return True
    return False


def _within(host: str, entry: str) -> bool:
    """Whether both are addresses, and the entry is the same one in any spelling or a network that contains it."""
    if not _ADDRESS.fullmatch(host):
        return False

    try:
        address = ipaddress.ip_address(host.partition("%")[0])
        return address in ipaddress.ip_network(entry.partition("%")[0], strict=False)
    except ValueError:
        return False


"""Forward proxies that write their name as `Server` into the answers that they make themselves."""


def own_answer(answer: Answer) -> str:
    """Returns how the answer to a request through a proxy says that the proxy made it; empty when it does not."""
    # RFC 9209, section 2: the last member is the proxy nearest to us, and `error` says that it made the answer.
    members = re.sub(r'"(?:\\.|[^"\\])*"', "", answer.header("proxy-status") or "").split(",")
    if re.search(r";\s*error\s*=", members[-1]):
        return "Proxy-Status has an error"
    squid = answer.header("x-squid-error")
    if squid:
        return f"X-Squid-Error is {squid[:60]}"
    if answer.status < 400:
        return ""
    if answer.header("proxy-agent"):
        return "it has Proxy-Agent"
    # A proxy that passes an answer on leaves `Server` as it is, and writes its own name into `Via`.
    server = (answer.header("server") or "").lower()
    via = re.search(r"\(([^()]+)\)\s*$", answer.header("via") or "")
    if re.match(r"(squid|tinyproxy|privoxy|mitmproxy|zscaler|polipo|winproxy|ccproxy)\b", server, re.IGNORECASE) or (
        via and server and via[1].lower().split("/")[0] == server.split("/")[0]
    ):
        return f"Server is {server[:60]}"
    return ""
