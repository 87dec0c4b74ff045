"""When replicas that ended prove something against a release."""

from __future__ import annotations

import pytest

from cicd_actions.deployment_record.finish import moments
from cicd_actions.engines.docker_api import moment


@pytest.mark.parametrize(
    ("times", "count"),
    [
        ([], 0),
        ([100.0], 1),
        ([100.0, 100.3, 101.9], 1),  # the engine restarted, and took all of them with it
        ([100.0, 104.0], 2),  # each replica failed four seconds after its start
        ([100.0, 101.9, 103.8, 120.0], 2),
    ],
)
def test_moments_counts_what_ended_together_once(times: list[float], count: int) -> None:
    assert moments(times) == count


def test_moment_reads_nanoseconds() -> None:
    assert moment("1970-01-01T00:01:40.123456789Z") == 100.0
    assert moment("0001-01-01T00:00:00Z") < 0, "a container that never started"
