"""The addresses under which clouds tell a machine its own credentials."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence

from cicd_actions.health_gate.addresses import Address
from cicd_actions.health_gate.observation import Outcome, Trouble, unjudged
from cicd_actions.health_gate.urls import bracketed

# Each from the cloud's own documentation; the whole of 169.254.0.0/16 and fe80::/10 is local to the link.
_NETWORKS = (
    ("169.254.0.0", 16),  # AWS, Google, Azure, Oracle, DigitalOcean, Hetzner, OpenStack, Tencent; containers on ECS and EKS
    ("168.63.129.16", 32),  # Azure's host
    ("100.100.100.200", 32),  # Alibaba
    ("192.0.0.192", 32),  # Oracle Cloud Classic
    ("fe80::", 10),  # OpenStack: fe80::a9fe:a9fe
    ("fd00:ec2::", 32),  # AWS: ::254, and ::23 for containers on EKS
    # Google: GoogleCloudPlatform/k8s-config-connector sets it as GCE_METADATA_HOST. Only this address: Google gives
    # customers' networks their own ranges in fd20::/20.
    ("fd20:ce::254", 128),
    ("fd00:42::42", 128),  # Scaleway
)

# Where an IPv6 address carries an IPv4 address: the bytes in front of it, and what it is.
_CARRIERS = (
    bytes(12),  # IPv4-compatible
    bytes(10) + b"\xff\xff",  # IPv4-mapped
    bytes(8) + b"\xff\xff\0\0",  # IPv4-translated (RFC 2765)
    bytes.fromhex("0064ff9b0000000000000000"),  # NAT64 (RFC 6052)
    bytes.fromhex("2002"),  # 6to4 (RFC 3056)
)


def refuse(host: str, addresses: Sequence[Address], *, redirected: bool) -> None:
    """Raises `Trouble` when a metadata service would be connected to, unless the input names its very address.

    Its answers are a machine's credentials, and the beginning of an answer gets into a log. Behind a proxy the gate sees only
    an address that stands in the URL: `addresses` is empty then. `redirected` says that a redirect named the host.
    """
    found = [address[1][0] for address in addresses if isinstance(address[1], tuple)] or [host]
    if not redirected and found[0].partition("%")[0] == host.partition("%")[0]:
        return
    if any(map(is_metadata, found)):
        said = f"{bracketed(host)}, where a cloud tells a machine its credentials"
        if redirected:
            raise Trouble("redirect", "redirect", f"a redirect leads to {said}", outcome=Outcome.WRONG)
        raise unjudged("metadata", "metadata", f"the name leads to {found[0]}: {said}")


def is_metadata(address: str) -> bool:
    """Returns whether the text is an IP address of a metadata service, also one that an IPv6 address carries."""
    return any(_inside(packed, *network) for packed in _packed(address.partition("%")[0]) for network in _NETWORKS)


def _packed(address: str) -> Iterator[bytes]:
    try:
        packed = socket.inet_pton(_family(address), address)
    except OSError:  # a name
        return
    yield packed
    if len(packed) == 16:
        for carrier in _CARRIERS:
            if packed.startswith(carrier):
                yield packed[len(carrier) : len(carrier) + 4]


def _inside(packed: bytes, network: str, bits: int) -> bool:
    base = socket.inet_pton(_family(network), network)
    rest = len(base) * 8 - bits
    return len(base) == len(packed) and int.from_bytes(packed, "big") >> rest == int.from_bytes(base, "big") >> rest


def _family(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET
