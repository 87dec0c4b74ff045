"""The audit line: one record as one line of JSON, POSTed to a log that others keep."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from cicd_actions.toolkit.receiver import Receiver


def write(log: Receiver, record: Mapping[str, Any]) -> None:
    """POSTs one line. Raises `Inconclusive` when it was not taken within the deadline.

    The `Idempotency-Key` is the same for each attempt, so a line whose answer was lost is not kept twice.
    """
    line = (json.dumps(record, separators=(",", ":"), sort_keys=True) + "\n").encode()
    key = hashlib.sha256(line).hexdigest()
    fields = {"Content-Type": "application/x-ndjson", "Idempotency-Key": f'"{key}"'}
    log.send("write the audit line to", "POST", line, fields)
