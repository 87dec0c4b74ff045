"""A lane run for real: its commands, its reports, and what each failure says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.harness.action import Ended, Step, run

JUNIT = """<testsuites><testsuite>
<testcase classname="tests.test_cart" name="test_total" time="1.5"><failure message="assert 1 == 2">
tests/helpers.py:3: in check
tests/test_cart.py:7: AssertionError</failure></testcase>
<testcase classname="tests.test_cart" name="test_empty" time="0.25"/>
<testcase classname="tests.test_cart" name="test_later" time="0"><skipped/></testcase>
</testsuite></testsuites>"""


def lane(folder: Path, part: str = "checks", services: str = "{}", **settings: Any) -> dict[str, str]:
    (folder / "app").mkdir(exist_ok=True)
    if "checks" in settings:
        settings["checks"] = [{"name": name, **each} for name, each in settings["checks"].items()]
    job = {"lane": "api", "directory": "app", "install": [], "prepare": [], "env": {}, "checks": [], "backing": {}, **settings}
    return {"job": json.dumps(job), "part": part, "services": services, "spec": str(folder / "spec" / "openapi.json")}


def go(folder: Path, part: str = "checks", services: str = "{}", **settings: Any) -> Ended:
    return run("run-lane", lane(folder, part, services, **settings), folder)


def check(command: str, **more: Any) -> dict[str, Any]:
    return {"run": command, **more}


def test_run_lane_every_check_runs_whatever_the_others_do(tmp_path: Path) -> None:
    ended = go(
        tmp_path,
        install=[{"run": "touch installed", "directory": "."}],
        prepare=["touch prepared"],
        checks={"lint": check("false"), "types": check("no-such-program"), "test": check("touch tested")},
    )
    assert ended.code == 1
    assert (tmp_path / "installed").exists()
    assert (tmp_path / "app" / "prepared").exists()
    assert (tmp_path / "app" / "tested").exists()
    assert [each["message"] for each in ended.findings] == [
        "lint: it ended with exit code 1", "types: `no-such-program` could not be started: No such file or directory",
    ]  # fmt: skip
    assert ended.outputs["installed"] == "true"


def test_run_lane_failed_install_runs_nothing_and_failed_prepare_no_check(tmp_path: Path) -> None:
    checks = {"test": check("touch tested")}
    ended = go(tmp_path, install=[{"run": "false", "directory": "."}], checks=checks)
    assert (ended.code, ended.outputs["installed"]) == (1, "")
    assert "Install failed in the lane `api`: it ended with exit code 1." in ended.findings[0]["message"]
    ended = go(tmp_path, prepare=["false"], checks=checks)
    assert (ended.code, ended.outputs["installed"]) == (1, "true")
    assert not (tmp_path / "app" / "tested").exists()


def test_run_lane_variables_and_addresses_reach_the_commands_alone(tmp_path: Path) -> None:
    services = json.dumps({"postgres": {"ports": {"5432": "49321"}}})
    script = "import json, os; json.dump(dict(os.environ), open('seen', 'w'))"
    ended = go(
        tmp_path,
        services=services,
        backing={"postgres": 5432},
        env={
            "DATABASE_URL": "postgresql://{postgres}/app",
            "HOST": "{postgres.host}",
            "PORT": "{postgres.port}",
            "BRACES": "{other}",
        },
        checks={"test": {"run": f'{sys.executable} -c "{script}"', "env": {"ONLY": "here"}}},
    )
    assert ended.code == 0, ended.log
    seen = json.loads((tmp_path / "app" / "seen").read_text())
    assert seen["DATABASE_URL"] == "postgresql://127.0.0.1:49321/app"
    assert (seen["HOST"], seen["PORT"]) == ("127.0.0.1", "49321")
    assert (seen["BRACES"], seen["ONLY"]) == ("{other}", "here")
    assert "INPUTS" not in seen


def test_run_lane_in_a_container_reaches_the_others_by_name(tmp_path: Path) -> None:
    services = json.dumps({"db": {"ports": {"5432": "49321"}}})
    env = {"URL": "{db}", "HOST": "{db.host}", "PORT": "{db.port}"}
    ended = go(
        tmp_path,
        services=services,
        container="golang:1.23",
        backing={"db": 5432},
        env=env,
        checks={"test": check("sh -c 'echo $URL $HOST $PORT > seen'")},
    )
    assert ended.code == 0, ended.log
    assert (tmp_path / "app" / "seen").read_text() == "db:5432 db 5432\n"


def test_run_lane_container_that_did_not_start_is_told(tmp_path: Path) -> None:
    ended = go(tmp_path, backing={"postgres": 5432})
    assert ended.code == 2
    assert "Could not reach the container `postgres` of `api`" in ended.findings[0]["message"]


def test_run_lane_junit_failure_is_annotated_on_its_line(tmp_path: Path) -> None:
    (tmp_path / "app" / "tests").mkdir(parents=True)
    for name in ("test_cart.py", "helpers.py"):
        (tmp_path / "app" / "tests" / name).write_text("")
    (tmp_path / "report").write_text(JUNIT)
    ended = go(tmp_path, checks={"test": {"run": "bash -c 'cp ../report junit.xml; exit 1'", "junit": "junit.xml"}})
    assert ended.code == 1
    (found,) = ended.findings
    assert (found["file"], found["line"]) == ("app/tests/test_cart.py", 7)
    assert found["message"] == "tests.test_cart::test_total: assert 1 == 2"


def test_run_lane_failed_tests_fail_a_command_that_succeeded(tmp_path: Path) -> None:
    (tmp_path / "report").write_text(JUNIT)
    ended = go(tmp_path, checks={"test": {"run": "cp ../report junit.xml", "junit": "junit.xml"}})
    assert ended.code == 1
    assert "1 of 1 checks failed: test." in ended.log or ended.findings


def test_run_lane_report_of_an_earlier_run_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "coverage.xml").write_text('<coverage line-rate="0.99"/>')
    settings = {"run": "true", "coverage": "coverage.xml", "minimum-coverage": 80}
    ended = go(tmp_path, checks={"test": settings})
    assert ended.code == 1
    assert "coverage.xml was not written by this run" in ended.findings[0]["message"]


def test_run_lane_coverage_below_its_minimum_fails(tmp_path: Path) -> None:
    settings = {"coverage": "coverage.xml", "minimum-coverage": 80}
    (tmp_path / "low").write_text('<coverage lines-valid="10000" lines-covered="7996" line-rate="0.7996"/>')
    ended = go(tmp_path, checks={"test": {"run": "cp ../low coverage.xml", **settings}})
    assert ended.code == 1
    assert ended.findings[0]["message"] == "test: 79.9 % of the lines are covered, and 80 % are the minimum"
    (tmp_path / "high").write_text('<coverage line-rate="0.8"/>')
    assert go(tmp_path, checks={"test": {"run": "cp ../high coverage.xml", **settings}}).code == 0


def test_run_lane_check_that_does_not_end_is_ended_with_its_children(tmp_path: Path) -> None:
    ended = go(
        tmp_path,
        checks={"hang": {"run": "bash -c 'sleep 987 & echo $! > child; wait'", "timeout": "500ms"}, "next": check("true")},
    )
    assert ended.code == 1
    assert ended.findings[0]["message"] == "hang: it did not end within 0.5 s"
    child = (tmp_path / "app" / "child").read_text().strip()
    state = subprocess.run(["ps", "-p", child, "-o", "stat="], capture_output=True, text=True, check=False).stdout
    assert state[:1] in {"", "Z"}


def test_run_lane_cancelled_ends_its_command(tmp_path: Path) -> None:
    inputs = lane(tmp_path, checks={"hang": check("bash -c 'echo started >&2; sleep 987'")})
    step = Step("run-lane", inputs, tmp_path)
    step.await_log("started")
    step.cancel()
    assert step.end().code == 130


def test_run_lane_openapi_is_exported_or_said_to_be_missing(tmp_path: Path) -> None:
    ended = go(tmp_path, "openapi", openapi="bash -c 'echo {} > \"$0\"' {spec}")
    assert ended.code == 0, ended.log
    assert (tmp_path / "spec" / "openapi.json").read_text() == "{}\n"
    (tmp_path / "spec" / "openapi.json").unlink()
    ended = go(tmp_path, "openapi", openapi="true {spec}")
    assert ended.code == 1
    assert "succeeded but did not write the OpenAPI document" in ended.findings[0]["message"]
