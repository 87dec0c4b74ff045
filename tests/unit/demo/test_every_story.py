"""Every story of the demo is told somewhere on both engines: each week, because all of them take longer than CI may."""

from __future__ import annotations

import re
from pathlib import Path

from cicd_actions.toolkit.yaml12 import plain, read
from demo.engines import Local
from demo.story import BROKEN
from demo.swarm.engine import Swarm

WEEKLY = Path(__file__).resolve().parents[3] / ".github" / "workflows" / "weekly.yml"


def test_weekly_runs_every_story_on_both_engines() -> None:
    document = plain(read(WEEKLY.read_text("utf-8")).root)
    assert isinstance(document, dict)
    job = document["jobs"]["demo"]
    assert job["strategy"]["matrix"]["engine"] == [Local.name, Swarm.name]
    run = next(step["run"] for step in job["steps"] if step.get("name") == "Every story")
    listed = re.search(r"for story in (.*); do", run)
    assert listed
    # Errors in a share of the requests show only beside the release before.
    assert sorted([*listed[1].replace('"', "").split(), "errors"]) == sorted(BROKEN)
    assert "STRATEGY=canary BREAK=errors" in run
