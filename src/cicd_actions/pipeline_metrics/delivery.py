"""Sends the figures to a Pushgateway and the traces to a collector."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from cicd_actions.toolkit.receiver import Receiver

ONE_REQUEST = 20.0
"""Seconds that one attempt may take."""


def push(gateway: Receiver, text: str, group: Mapping[str, str]) -> None:
    """Replaces the figures of a group of a Pushgateway. Raises `Inconclusive`.

    https://github.com/prometheus/pushgateway#put-method
    """
    # As base64, because a label's value may hold a slash.
    path = "".join(f"/{name}@base64/{base64.urlsafe_b64encode(value.encode()).decode()}" for name, value in group.items())
    content = text.encode("utf-8", "replace")
    _send(gateway, "PUT", content, "text/plain; version=0.0.4", path=f"/metrics{path}")


def trace(collector: Receiver, request: Mapping[str, Any]) -> None:
    """Sends an ExportTraceServiceRequest. Raises `Inconclusive`."""
    _send(collector, "POST", json.dumps(request).encode(), "application/json")


def _send(to: Receiver, verb: str, content: bytes, kind: str, *, path: str = "") -> None:
    headers = {"Content-Type": kind}
    to.send("send the figures to", verb, content, headers, path=path, seconds=ONE_REQUEST, attempts=3)
