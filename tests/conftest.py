"""What all tests share: how they are spread over workers, and that a skip fails the run where none is allowed."""

from __future__ import annotations

import gc
import os
import resource
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.harness.fixtures", "tests.harness.golden", "tests.harness.measuring"]

# Programs that the tests start keep their byte code: an import compiles in three times the time that it takes.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# A workflow that runs the tests has a token, files for outputs and a summary: no test may use them, or say anything there.
# Terminals and CI change what programs print.
_OF_THE_SURROUNDINGS = ("GITHUB_", "GH_", "RUNNER_", "ACTIONS_", "INPUT")
_PRINTING = {"CI", "BUILD_NUMBER", "COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "PY_COLORS"}
for _name in [*os.environ]:
    if _name.startswith(_OF_THE_SURROUNDINGS) or _name in _PRINTING:
        del os.environ[_name]

# How long an example takes says something about the machine, not about the code: figures belong in benchmarks/.
# In CI the examples are the same each time, so that a commit does not turn red by itself; the nightly run draws new ones.
# On further Pythons a few examples show that the code runs there: what it does was shown on the first one.
# Only this file loads a profile: a profile that a folder loads would apply to every folder.
NO_SKIP = os.environ.get("CICD_ACTIONS_NO_SKIP") == "1"
_EXAMPLES = {"few": 3, "ci": 15, "default": 15, "nightly": 200}
for _name, _count in _EXAMPLES.items():
    settings.register_profile(
        f"cicd-actions-{_name}",
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
        max_examples=_count,
        derandomize=_name in {"few", "ci"},
    )
settings.load_profile(f"cicd-actions-{os.environ.get('CICD_ACTIONS_EXAMPLES', 'ci' if NO_SKIP else 'default')}")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: a third of the time is spent waiting for engines and databases."""
    return (os.cpu_count() or 1) + 1


def _shares_the_engine(item: pytest.Item) -> bool:
    return "docker_client" in getattr(item, "fixturenames", ())


def _shares_the_cluster(item: pytest.Item) -> bool:
    return "kubernetes" in getattr(item, "fixturenames", ())


def _group(item: pytest.Item) -> str:
    """Whose tests go to one worker. Those on the engine go to two, which take about as long: they wait more than they work."""
    file, _, _ = item.nodeid.partition("::")
    if _shares_the_cluster(item):
        return "kubernetes"
    if _shares_the_engine(item) and not file.startswith("tests/e2e/test_demo"):
        itself = file.startswith(("tests/integration/engines", "tests/integration/run_migrations"))
        return "engine: itself and its jobs" if itself else "engine: releases"
    return file


def pytest_itemcollected(item: pytest.Item) -> None:
    """A file's tests go to one worker, which shares what they stand on."""
    item.add_marker(pytest.mark.xdist_group(_group(item)))


def _place(item: pytest.Item) -> tuple[bool, int]:
    if _shares_the_cluster(item):
        return True, 0
    first = (
        *("tests/e2e/test_demo", "tests/e2e", "tests/integration/verify", "tests/integration"),
        *("tests/unit/verify_openapi_client/test_properties", "tests/unit/test_regular", "tests/unit/verify_openapi_client"),
        "tests",
    )
    return not _shares_the_engine(item), next(at for at, folder in enumerate(first) if item.nodeid.startswith(folder))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest starts first, so that no worker is left with it at the end."""
    items.sort(key=_place)


def pytest_collection_finish() -> None:
    """The tests and their modules stay until the end: the garbage collector need not look at them each time."""
    gc.collect()
    gc.freeze()


def pytest_make_parametrize_id(val: object) -> str | None:
    """The beginning of a long text is enough of a name."""
    return f"{val[:60]}…" if isinstance(val, str) and len(val) > 60 else None


def _used() -> float:
    """Seconds of processor time that this process has used, with the programs that it started and that have ended."""
    each = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(used.ru_utime + used.ru_stime for used in each)


_skipped: list[str] = []
_crashed: list[object] = []
_seconds: dict[str, tuple[float, float]] = {}
_used_before = _used()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Notes the processor time of a test: a worker hands its reports on with all that they hold."""
    global _used_before  # noqa: PLW0603 - a process has one
    report = yield
    now = _used()
    report.processor = now - _used_before  # type: ignore[attr-defined]
    _used_before = now
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    folder = report.nodeid.partition("::")[0].rpartition("/")[0]
    passed, used = _seconds.get(folder, (0.0, 0.0))
    _seconds[folder] = passed + report.duration, used + getattr(report, "processor", 0.0)
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        _skipped.append(f"{report.nodeid}: {reason}")


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(error: object) -> None:
    """Notes a worker that crashed: xdist fails the test that it ran, and passes where it ran none any more."""
    if error:
        _crashed.append(error)


def pytest_internalerror(excinfo: object) -> None:
    """Notes an error of pytest itself: xdist passes where it is a worker's, now and then."""
    _crashed.append(excinfo)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if (_crashed or (NO_SKIP and _skipped)) and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if NO_SKIP:
        terminalreporter.section("seconds a folder on all workers together, and how much of it is processor time")
        for folder, (passed, used) in sorted(_seconds.items(), key=lambda each: -each[1][0]):
            terminalreporter.line(f"{passed:8.1f} {used:8.1f}  {folder}")
        passed, used = (sum(column) for column in zip(*_seconds.values(), strict=True)) if _seconds else (0.0, 0.0)
        terminalreporter.line(f"{passed:8.1f} {used:8.1f}  together, without what engines and databases used")
    if NO_SKIP and _skipped:
        terminalreporter.section("skipped, though nothing may be skipped here")
        for line in _skipped:
            terminalreporter.line(line)
