"""Reads the phases that verify-migrations proved."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from cicd_actions.toolkit.errors import UnusableInput

_LONGEST = 4 * 1024 * 1024
"""Bytes of the file: a report of some hundred revisions has one hundredth of it."""

_MOST = 500
"""Revisions that are passed on; they travel in an argument, which holds 128 KiB."""


def load(shown: str) -> Mapping[str, str]:
    """Returns the phase of each revision in the file: `expand` or `contract`. What was not proven is left out.

    Raises `UnusableInput`.
    """
    try:
        with Path(shown).open("rb") as file:
            found = json.loads(file.read(_LONGEST))
        listed = found.get("phases", found)
        phases = {str(revision): one["phase"] if isinstance(one, dict) else one for revision, one in listed.items()}
    except (OSError, ValueError, AttributeError, KeyError, RecursionError) as error:
        raise UnusableInput(
            f"Could not read {shown}, the file of the input `proven-phases`: {error}.",
            cause="It is the report of `verify-migrations`, or its output `phases`.",
            fix="    with:\n      proven-phases: ${{ steps.verify.outputs.report }}",
        ) from None
    strange = sorted({str(phase) for phase in phases.values()} - {"expand", "contract", "unknown"})
    if strange:
        raise UnusableInput(
            f"The file {shown} of the input `proven-phases` has the phase `{strange[0]}`.", fix='    {"0007": "expand"}'
        )
    return {revision: phase for revision, phase in list(phases.items())[:_MOST] if phase != "unknown"}
