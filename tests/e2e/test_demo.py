"""The demo itself, for real: the example's own tools, its own engine, the actions as they are."""

from __future__ import annotations

import re
import signal

import pytest

from tests.harness.demo import Demo, left_running
from tests.harness.golden import Golden

pytestmark = [pytest.mark.network, pytest.mark.node]


def told(report: str) -> str:
    """Returns what the demo tells at its end, without the summaries of its jobs and without what differs from run to run."""
    head = re.sub(r"\| all .*\n", "", report.split("\n# ", 1)[0])
    head = re.sub(r" (?:\d+m)?[\d.]+s(?= )", "", head)
    head = re.sub(r"\bsha256:[0-9a-f]{12}\b|\b[0-9a-f]{19}\b", "…", head)
    for number, commit in enumerate(dict.fromkeys(re.findall(r"\b[0-9a-f]{12}\b", head)), 1):
        head = head.replace(commit, f"commit {number}")
    head = re.sub(r"(http://127\.0\.0\.1):\d+", r"\1:8000", head)
    # The columns are even in a terminal, whose widths hold the times: a kept table needs no width.
    return re.sub(r"-{2,}", "---", re.sub(r" {2,}(?=\|)", " ", head)).rstrip("\n") + "\n"


@pytest.mark.nightly
def test_a_release_that_never_becomes_ready_is_rolled_back(golden: Golden) -> None:
    with Demo("--break", "health", "--quick", "first") as demo:
        assert demo.end() == 0, demo.text
    assert "The pipeline was red, as it had to be." in demo.text
    assert "SEARCH_URL is not set" in (demo.folder / "logs" / "run-2.log").read_text()
    table = demo.jobs()
    assert table["verify / lane"] == ["✓", "✓"]
    assert table["verify / client"] == ["✓", "✓"]
    assert table["environment 1 / deploy"] == ["✓", "✗"]
    assert table["environment 2 / deploy"] == ["✓", "–"]
    golden.hold("demo/health", told((demo.folder / "report.md").read_text()))
    people = demo.text.partition("What people were told")[2]
    assert "org/two-lane in staging was rolled back" in people
    assert "org/two-lane failed" in people
    page = (demo.folder / "dashboard" / "index.html").read_text()
    assert '"workflows":["Pipeline"]' in page
    assert left_running(demo.folder) == []


def test_interrupted_in_the_middle_of_a_deployment_it_leaves_nothing_running() -> None:
    with Demo("--quick") as demo:
        for line in demo.lines():
            if "environment 1 / deploy" in line and "Roll out" in line:
                assert left_running(demo.folder), "the environment should be up by now"
                demo.process.send_signal(signal.SIGINT)
                break
        assert demo.end() == 130, demo.text
    assert "nothing is left running" in demo.text
    assert left_running(demo.folder) == []
