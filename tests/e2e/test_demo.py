"""The demo itself, for real: the example's own tools, its own engine, the actions as they are."""

from __future__ import annotations

import signal

import pytest

from tests.harness.demo import Demo, left_running

pytestmark = [pytest.mark.network, pytest.mark.node]


def test_a_release_that_never_becomes_ready_is_rolled_back() -> None:
    with Demo("--break", "health") as demo:
        assert demo.end() == 0, demo.text
    assert "The pipeline was red, as it had to be." in demo.text
    assert "SEARCH_URL is not set" in (demo.folder / "logs" / "run-2.log").read_text()
    table = demo.jobs()
    assert table["verify / lane"] == ["✓", "✓"]
    assert table["verify / client"] == ["✓", "✓"]
    assert table["environment 1 / deploy"] == ["✓", "✗"]
    assert table["environment 2 / deploy"] == ["✓", "–"]
    assert (demo.folder / "report.md").read_text().count("✗") >= 1
    told = demo.text.partition("What people were told")[2]
    assert "org/two-lane in staging was rolled back" in told
    assert "org/two-lane failed" in told
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
