"""A pytest plugin under which GitHub's stand-in gives another JSON now and then than GitHub would.

Tests fail under it as they may. What it tells at the end is each error of ours that no action expects: a defect. Load it by
`-p tests.harness.odd_answers`; `CICD_ACTIONS_SEED` is the number that it prints, to draw the same answers again.
"""

from __future__ import annotations

import copy
import os
import random
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cicd_actions.toolkit import error_report
from cicd_actions.toolkit.errors import ActionError
from tests.fakes.github.server import Answer, FakeGitHub
from tests.harness.action import Ended, Step

SOURCE = str(Path(error_report.__file__).parents[1])
SEED = int(os.environ.get("CICD_ACTIONS_SEED") or random.SystemRandom().randrange(2**32))
ODD: tuple[object, ...] = (None, True, 7, -1, 1.5, 10**30, "text", "", "9" * 400, [], [None], ["text"], {}, {"id": "x"})
"""What stands in a value's place."""

OFTEN = 0.2
"""Of the answers with a body."""

_random = random.Random(SEED)  # noqa: S311 - a seed draws the same again
_altered: list[str] = []
_unexpected: list[str] = []


def places(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yields the way to each value of a document, the whole one's first."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from places(each, (*path, key))


def altered(document: Any) -> Any:
    """Returns the document with one value removed, or with another one in its place."""
    document = copy.deepcopy(document)
    *way, last = _random.choice([*places([document])][1:])
    around: Any = [document]
    holder = around
    for key in way:
        holder = holder[key]
    if way and _random.random() < 0.3:
        del holder[last]
    else:
        holder[last] = _random.choice(ODD)
    return around[0]


def pytest_configure() -> None:
    patch = pytest.MonkeyPatch()
    answer, broken, end = FakeGitHub.answer, error_report._broken, Step.end

    def odd(self: FakeGitHub, *request: Any) -> Answer | None:
        given = answer(self, *request)
        with self.lock:
            if given is None or given.status >= 300 or not isinstance(given.body, dict | list) or _random.random() > OFTEN:
                return given
            body = altered(given.body)
            _altered.append(" ".join(request[:2]))
        headers = {name: text for name, text in given.headers.items() if name != "ETag"}
        # A text is sent as it is, `None` not at all.
        return Answer(given.status, "null" if body is None else f'"{body}"' if isinstance(body, str) else body, headers)

    def noted(error: Exception, *more: Any) -> Any:
        _unexpected.append("".join(traceback.format_exception(error)))
        return broken(error, *more)

    def ended(self: Step, *more: Any) -> Ended:
        found = end(self, *more)
        if "stopped at an unexpected error" in found.log:
            _unexpected.append(found.log)
        return found

    patch.setattr(FakeGitHub, "answer", odd)
    patch.setattr(error_report, "_broken", noted)
    patch.setattr(Step, "end", ended)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    if call.excinfo is not None and not isinstance(call.excinfo.value, ActionError):
        files = [str(entry.path) for entry in call.excinfo.traceback]
        ours = max((at for at, path in enumerate(files) if path.startswith(SOURCE)), default=-1)
        if ours > max((at for at, path in enumerate(files) if "/tests/" in path), default=-1):
            _unexpected.append(f"{item.nodeid}\n{call.excinfo.getrepr(style='native')}")
    return (yield)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    terminalreporter.section("odd answers")
    for text in _unexpected:
        terminalreporter.write_line(text)
    terminalreporter.write_line(f"{len(_altered)} answers altered, {len(_unexpected)} unexpected errors, seed {SEED}")
