"""Reports whose numbers are none that a test tool means."""

from __future__ import annotations

from pathlib import Path

import pytest

from cicd_actions.pipeline.reports import NotAReport, coverage, junit


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "1e999", "9" * 5000, "-0.5", "1.01"])
def test_coverage_not_from_0_to_100_is_refused(number: str, tmp_path: Path) -> None:
    """NaN is below no minimum, so it would pass each."""
    file = tmp_path / "coverage.xml"
    for attributes in (f'line-rate="{number}"', f'lines-valid="1" lines-covered="{number}"'):
        file.write_text(f"<coverage {attributes}/>", "utf-8")
        with pytest.raises(NotAReport, match=r"^coverage\.xml tells a coverage of .* %, which is not from 0 to 100$"):
            coverage(file)


@pytest.mark.parametrize("time", ["nan", "inf", "1e999", "fast"])
def test_junit_time_that_is_no_number_of_seconds_counts_as_none(time: str, tmp_path: Path) -> None:
    file = tmp_path / "junit.xml"
    file.write_text(f'<testsuite><testcase name="a" time="{time}"/><testcase name="b" time="2"/></testsuite>', "utf-8")
    assert junit(file, tmp_path).slowest() == [(2.0, "b"), (0.0, "a")]
