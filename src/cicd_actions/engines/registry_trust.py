"""Decides which hosts a registry may send a login to: only those of the registry's domain, and never in plain text.

A registry names its token service itself (`realm`) and may redirect. Both can be forged by a server in its place, so a login
for registry.example.com goes to hosts under example.com alone. There is no list of public suffixes here (it changes weekly
and has 200 kB); the rule below refuses more than such a list would.
"""

from __future__ import annotations

import ipaddress

from cicd_actions.toolkit.grammar import is_whole

_SECOND_LEVELS = frozenset(
    {"ac", "co", "com", "edu", "go", "gob", "gouv", "gov", "govt", "gv", "mil", "ne", "net", "or", "org"}
)
"""Below a country's two letters, these are not owned by one party: example.co.uk has three labels."""

_SHARED = frozenset(
    {
        "aliyuncs.com",
        "amazonaws.com",
        "appspot.com",
        "azurecontainer.io",
        "azurecr.io",
        "azurewebsites.net",
        "cloudfront.net",
        "digitaloceanspaces.com",
        "fly.dev",
        "github.io",
        "gitlab.io",
        "googleapis.com",
        "herokuapp.com",
        "jfrog.io",
        "myhuaweicloud.com",
        "netlify.app",
        "ngrok.io",
        "ocir.io",
        "onrender.com",
        "pages.dev",
        "pkg.dev",
        "run.app",
        "scw.cloud",
        "vercel.app",
        "windows.net",
        "workers.dev",
    }
)
"""Domains whose names below belong to different customers."""

_KNOWN = frozenset(
    {
        # https://access.redhat.com/articles/RegistryAuthentication
        ("registry.redhat.io", "sso.redhat.com"),
        ("registry.connect.redhat.com", "sso.redhat.com"),
    }
)
"""Registries with a token service in another domain that their vendor documents."""


_THIS_MACHINE = frozenset({"localhost", "127.0.0.1", "::1", "[::1]"})


def loopback(host: str) -> bool:
    """Returns whether a host is this machine. Docker, too, speaks plain HTTP to registries there, and only there."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def may_get_login(registry: str, host: str) -> bool:
    """Returns whether a login for the host `registry` may be sent to `host`.

    It may where both are the same host or have the same registrable domain: the last two labels, or three below a country's
    second level (`co.uk`). Addresses, and hosts in a domain that many customers share, have to be the same.
    """
    registry, host = registry.lower().rstrip("."), host.lower().rstrip(".")
    if registry == host or (registry, host) in _KNOWN or {registry, host} <= _THIS_MACHINE:
        return True
    if host == f"dockerauth.{registry.partition('.')[2]}" and host.endswith(".aliyuncs.com"):
        return True  # Alibaba Cloud's, one a region
    domain = _domain(registry)
    return bool(domain) and domain == _domain(host)


def _domain(host: str) -> str:
    labels = host.split(".")
    if len(labels) < 2 or not all(labels) or is_whole(labels[-1]) or ":" in host:
        return ""
    count = 3 if len(labels[-1]) == 2 and labels[-2] in _SECOND_LEVELS else 2
    domain = ".".join(labels[-count:])
    return domain if len(labels) >= count and domain not in _SHARED else ""
