"""Long texts are for the nightly run: `tests/unit/test_regular_expressions.py` always shows that no pattern is exponential."""

from __future__ import annotations

import os

collect_ignore = [] if os.environ.get("CICD_ACTIONS_EXAMPLES") == "nightly" else ["test_regular_expressions.py"]
