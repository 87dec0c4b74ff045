"""HAProxy's runtime socket: which server gets which share of the traffic, and what it answered. Pure functions on text.

A backend has the service's name. Its servers whose name begins with `next` are the new release, all others the one before.
https://docs.haproxy.org/3.2/management.html#9.3
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cicd_actions.engines.staged_protocol import Answers

STAT = "show stat"
"""The command whose answer `servers` reads."""

HEADER = "# pxname"
"""What that answer begins with, after whatever the commands before it in the same message said."""

HEAVIEST = 256
"""The largest weight of a server. https://docs.haproxy.org/3.2/configuration.html#5.2-weight"""

NEW = "next"


@dataclass(frozen=True)
class Server:
    """One server of a backend: `address` without its port, `weight` the one in force, `sessions` those that are open now."""

    name: str
    address: str
    up: bool
    weight: int
    sessions: int
    answers: Answers

    @property
    def new(self) -> bool:
        """Whether it is a slot of the new release."""
        return self.name.startswith(NEW)


def servers(text: str, backend: str) -> list[Server]:
    """Returns the servers of a backend from the answer to `STAT`; empty without such a backend, or for other text."""
    _, header, table = text.partition(HEADER)
    rows = csv.DictReader(io.StringIO(header.lstrip("# ") + table))
    found = [row for row in rows if row.get("pxname") == backend and row.get("svname") not in {"FRONTEND", "BACKEND"}]
    return [
        Server(
            str(row["svname"]),
            str(row["addr"]).rpartition(":")[0],
            up=str(row["status"]).startswith(("UP", "no check")),
            weight=_number(row, "weight"),
            sessions=_number(row, "scur"),
            answers=_answers(row),
        )
        for row in found
    ]


def _answers(row: dict[str, str]) -> Answers:
    # `eresp`: the server took the request and broke off, so the client got a 502 that no class of the server counts.
    broken = _number(row, "eresp")
    requests = sum(_number(row, f"hrsp_{kind}") for kind in ("1xx", "2xx", "3xx", "4xx", "5xx", "other"))
    return Answers(requests=requests + broken, errors=_number(row, "hrsp_5xx") + broken)


def _number(row: dict[str, str], name: str) -> int:
    return int(row.get(name) or 0)


def answered(found: Iterable[Server], *, new: bool) -> Answers:
    """Returns what the servers of one release answered since the proxy started."""
    each = [server.answers for server in found if server.new is new]
    return Answers(sum(one.requests for one in each), sum(one.errors for one in each))


def percent(found: Sequence[Server]) -> float:
    """Returns the new release's share of the next requests, from 0 to 100."""
    new = sum(server.weight for server in found if server.up and server.new)
    total = sum(server.weight for server in found if server.up)
    return 100 * new / total if total else 0.0


def smallest(found: Sequence[Server]) -> float:
    """Returns the smallest share above 0 that whole weights can give the new release, in percent."""
    new, old = _ready(found)
    return 100 * new / (new + HEAVIEST * old) if new else 100.0


def weights(backend: str, found: Sequence[Server], wanted: float) -> str:
    """Returns one message that gives the new release `wanted` percent of the traffic.

    A weight belongs to one server, so it is scaled by how many servers of each release are up. Every slot gets one, for
    replicas that come later. Weights that grow come first: with all of them at 0 there would be no server to ask.
    """
    new, old = _ready(found)
    if wanted <= 0:
        return _message(backend, found, "100%", "100%", new_first=False)
    if wanted >= 100 or not old:
        return _message(backend, found, "100", "0", new_first=True)
    larger = max(new, old)
    heavier = max(1, round(HEAVIEST * wanted / 100 * old / larger))
    lighter = max(1, round(HEAVIEST * (100 - wanted) / 100 * new / larger))
    return _message(backend, found, str(heavier), str(lighter), new_first=wanted >= percent(found))


def trial(backend: str, found: Iterable[Server]) -> str:
    """Returns a message that gives a slot of the new release a weight, and takes it back: not each way of balancing has any."""
    slot = next(f"{backend}/{each.name}" for each in found if each.new)
    return f"set server {slot} weight 1;set server {slot} weight 100%"


def _message(backend: str, found: Sequence[Server], new: str, old: str, *, new_first: bool) -> str:
    """`100%` is the weight of the proxy's own file, which is 0 for a slot of the new release."""
    ordered = sorted(found, key=lambda server: server.new is not new_first)
    return ";".join(f"set server {backend}/{each.name} weight {new if each.new else old}" for each in ordered)


def _ready(found: Iterable[Server]) -> tuple[int, int]:
    up = [server for server in found if server.up]
    return sum(server.new for server in up), sum(not server.new for server in up)
