from __future__ import annotations

import io

import pytest

from demo.act import Annotated, Event, JobEnded, JobStarted, StartedAgain, StepEnded, StepStarted
from demo.picture import Picture
from demo.report import table
from demo.view import Live, Plain, Screen, seconds, short

PLANNED = ["verify / api", "pipeline / result"]
STORY: list[Event] = [
    JobStarted("verify / api"),
    StepStarted("verify / api", "Lint"),
    StepEnded("verify / api", "Lint", "failure"),
    Annotated("verify / api", "error", "it is wrong\nand more", {}),
    StepStarted("verify / api", "Test"),
    StepEnded("verify / api", "Test", "skipped"),
    JobEnded("verify / api", "failure"),
]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("value", "text"), [(0.04, "0.0s"), (59.94, "59.9s"), (60.0, "1m00.0s"), (125.26, "2m05.3s")])
def test_seconds(value: float, text: str) -> None:
    assert seconds(value) == text


def test_short() -> None:
    assert [short(name) for name in PLANNED] == ["verify / api", "result"]


def test_a_log_has_a_line_for_what_ended_and_no_escape() -> None:
    stream = io.StringIO()
    picture = Picture(clock=lambda: 0.0)
    plain = Plain(Screen(stream), picture)
    for event in [*STORY, StartedAgain("fatal error: a race")]:
        picture.apply(event)
        plain.event(event)
    text = stream.getvalue()
    assert "\x1b" not in text
    assert [line.split(None, 1)[1] for line in text.splitlines()] == [
        "● verify / api         started",
        "✗ verify / api         Lint  0.0s",
        "✗ verify / api         it is wrong",
        "✗ verify / api         failed in 0.0s",
        "■ act                  ended itself (fatal error: a race), which is not a step's fault: the same run again",
    ]
    assert picture.results() == {}


def test_a_terminal_is_redrawn_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    screen = Screen(stream)
    assert screen.live
    picture = Picture(clock=lambda: 0.0)
    live = Live(screen, picture, PLANNED)
    live.draw()
    assert stream.getvalue().count("\n") == 2
    picture.apply(STORY[0])
    picture.apply(STORY[1])
    stream.truncate(0)
    live.draw()
    assert "\x1b[2F" in stream.getvalue()
    assert "Lint …" in stream.getvalue()
    for event in STORY[2:]:
        picture.apply(event)
    live.draw()
    assert "failed: Lint" in stream.getvalue()
    assert "\x1b[31m✗" in stream.getvalue()


def test_a_terminal_that_can_do_nothing_gets_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert not Screen(Terminal()).live
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    screen = Screen(Terminal())
    assert screen.live
    assert "\x1b" not in screen.mark("failure")


def test_a_table_is_even() -> None:
    assert table(["a", "b"], [["long", "✓"], ["", "x"]]) == ["| a    | b |", "|------|---|", "| long | ✓ |", "|      | x |"]
