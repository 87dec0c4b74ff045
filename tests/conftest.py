"""What all tests share: how they are spread over workers, and that a skip fails the run where none is allowed."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.harness.fixtures", "tests.harness.golden"]

# Programs that the tests start keep their byte code: an import compiles in three times the time that it takes.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# How long an example takes says something about the machine, not about the code: figures belong in benchmarks/.
# In CI the examples are the same each time, so that a commit does not turn red by itself; the nightly run draws new ones.
# Only this file loads a profile: a profile that a folder loads would apply to every folder.
NO_SKIP = os.environ.get("CICD_ACTIONS_NO_SKIP") == "1"
_EXAMPLES = {"ci": 15, "default": 40, "nightly": 200}
for _name, _count in _EXAMPLES.items():
    settings.register_profile(
        f"cicd-actions-{_name}",
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
        max_examples=_count,
        derandomize=_name == "ci",
    )
settings.load_profile(f"cicd-actions-{os.environ.get('CICD_ACTIONS_EXAMPLES', 'ci' if NO_SKIP else 'default')}")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: much of the time is spent waiting for engines and databases."""
    return (os.cpu_count() or 1) + 1


def _shares_the_engine(item: pytest.Item) -> bool:
    return "docker_client" in getattr(item, "fixturenames", ())


def _group(item: pytest.Item) -> str:
    """Whose tests go to one worker. Those on the engine go to two: they wait more than they work."""
    file, _, _ = item.nodeid.partition("::")
    if "kubernetes" in getattr(item, "fixturenames", ()):
        return "kubernetes"
    if _shares_the_engine(item) and not file.startswith("tests/e2e/test_demo"):
        return "engine: releases" if file.startswith("tests/integration/roll") else "engine: the rest"
    return file


def pytest_itemcollected(item: pytest.Item) -> None:
    """A file's tests go to one worker, which shares what they stand on."""
    item.add_marker(pytest.mark.xdist_group(_group(item)))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest starts first, so that no worker is left with it at the end."""
    first = ("tests/e2e/test_demo", "tests/e2e", "tests/integration/verify", "tests/integration", "tests")
    items.sort(
        key=lambda item: (
            not _shares_the_engine(item),
            next(number for number, folder in enumerate(first) if item.nodeid.startswith(folder)),
        )
    )


def pytest_make_parametrize_id(val: object) -> str | None:
    """The beginning of a long text is enough of a name."""
    return f"{val[:60]}…" if isinstance(val, str) and len(val) > 60 else None


_skipped: list[str] = []
_seconds: dict[str, float] = {}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    folder = report.nodeid.partition("::")[0].rpartition("/")[0]
    _seconds[folder] = _seconds.get(folder, 0.0) + report.duration
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        _skipped.append(f"{report.nodeid}: {reason}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    if NO_SKIP and _skipped and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if NO_SKIP:
        terminalreporter.section("seconds a folder, on all workers together")
        for folder, seconds in sorted(_seconds.items(), key=lambda each: -each[1]):
            terminalreporter.line(f"{seconds:8.1f}  {folder}")
    if NO_SKIP and _skipped:
        terminalreporter.section("skipped, though nothing may be skipped here")
        for line in _skipped:
            terminalreporter.line(line)
