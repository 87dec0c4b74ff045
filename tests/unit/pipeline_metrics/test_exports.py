from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from cicd_actions.pipeline_metrics import files, openmetrics, traces
from cicd_actions.pipeline_metrics.compute import Scope, compute
from cicd_actions.pipeline_metrics.facts import Facts
from tests.unit.pipeline_metrics.making import NOW, facts, job, run

HOSTILE = 'a"b\\c\n# EOF\n</script>{x="y"} =HYPERLINK("http://evil") \u2028 ::error::x'
SCOPE = Scope(NOW - 30 * 86_400, NOW)


@pytest.fixture
def made() -> Facts:
    runs = [
        run(number, workflow=HOSTILE, branch="=1+1", conclusion="success" if number % 4 else "failure") for number in range(40)
    ]
    return facts(*runs, *(job(one, "failure", name=HOSTILE) for one in runs if not one.good))


def test_openmetrics_has_each_family_once_in_base_units(made: Facts) -> None:
    text = openmetrics.text(compute([made], SCOPE))
    assert text.endswith("\n# EOF\n")
    assert text.count("# EOF\n") == 1
    families = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(families) == len(set(families))
    assert 'cicd_success_rate_ratio{environment="production"} 0.75' in text
    assert 'cicd_success_rate_samples{environment="production"} 40' in text
    assert "cicd_restore_p50_seconds{" not in text
    assert all(line.startswith(("# ", "cicd_")) for line in text.rstrip("\n").split("\n"))


def test_json_has_every_figure_with_its_samples(made: Facts) -> None:
    found = files.as_json(compute([made], SCOPE))
    again = json.loads(json.dumps(found))
    assert again["figures"]["success-rate"] == {"value": 75.0, "unit": "%", "n": 40}
    assert again["figures"]["restore-p50"]["value"] is None
    assert again["schema"] == 1


def test_csv_has_no_cell_that_a_spreadsheet_computes(made: Facts, tmp_path: Path) -> None:
    files.write(tmp_path, compute([made], SCOPE), [made])
    rows = list(csv.reader(io.StringIO((tmp_path / "runs.csv").read_text("utf-8"))))
    assert len(rows) == 41
    assert {row[4] for row in rows[1:]} == {"'=1+1"}
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figures.csv", "figures.json", "metrics.txt", "runs.csv"]


def test_trace_has_the_run_its_jobs_and_their_steps_with_stable_ids(made: Facts) -> None:
    red = made.runs[4]
    request = traces.request(made, [red], "https://github.com")
    assert request == traces.request(made, [red], "https://github.com")
    (resource,) = request["resourceSpans"]
    about = {each["key"]: each["value"]["stringValue"] for each in resource["resource"]["attributes"]}
    assert about["cicd.pipeline.run.url.full"] == "https://github.com/org/app/actions/runs/4/attempts/1"
    assert about["vcs.ref.head.revision"] == red.sha
    root, task, step = resource["scopeSpans"][0]["spans"]
    assert (task["parentSpanId"], step["parentSpanId"]) == (root["spanId"], task["spanId"])
    assert "parentSpanId" not in root
    assert root["status"] == {"code": 2}
    assert (int(root["endTimeUnixNano"]) - int(root["startTimeUnixNano"])) == red.seconds * 10**9
    assert (len(root["traceId"]), len(root["spanId"])) == (32, 16)
    results = {each["key"]: each["value"]["stringValue"] for each in root["attributes"]}
    assert results == {"cicd.pipeline.result": "failure", "error.type": "failure"}
