"""Rehearses deploys that go wrong, on a real Swarm with PostgreSQL and under load, and tells how often the verdict was wrong.

Not a part of the actions. `faults` are the data, and `injections` what they do. `trial` runs one: `place` is the environment
in which, `releases` builds its images (`image/`), and `world` is the engine below. `job` runs a job of deploy.yml, or of
`plain.yml`, as a runner does; `evaluation` has its expressions. `results` keeps the figures and makes docs/rehearsal.md of
`page.md`.
"""

import sys
from pathlib import Path

_SOURCES = str(Path(__file__).resolve().parents[1] / "src")
if _SOURCES not in sys.path:
    sys.path.insert(0, _SOURCES)
