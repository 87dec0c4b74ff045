"""Runs this repository's pipeline on one machine, with act: `python -m demo`."""

import sys
from pathlib import Path

# The demo belongs to a checkout and is never installed, and neither are the sources it shares a YAML reader with.
_SOURCES = str(Path(__file__).resolve().parent.parent / "src")
if _SOURCES not in sys.path:
    sys.path.insert(0, _SOURCES)
