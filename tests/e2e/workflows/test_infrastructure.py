"""A deploy with infrastructure, run by act: planned in one job, applied in another, its outputs in the deploy's programs."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from demo.picture import Picture
from tests.e2e.workflows.conftest import ROOT, Consumer
from tests.e2e.workflows.test_pipeline import calls_deploy, steps
from tests.e2e.workflows.world import OPERATIONS, World
from tests.harness.releases import KEY

HOST = "db.internal.example"


def test_plan_is_applied_before_the_migration_and_a_failed_apply_ends_the_deploy(
    consumer: Consumer, world: World, environment: dict[str, str], tmp_path: Path
) -> None:
    program = shutil.copy(ROOT / "tests" / "harness" / "terraform.py", tmp_path / "terraform")
    Path(program).chmod(0o755)
    knows = f"sh -c 'test $DB_HOST = {HOST}'"
    infrastructure = {"directory": "infra", "outputs": {"DB_HOST": "host"}}
    calls_deploy(consumer, world, {"infrastructure": infrastructure, "smoke": knows})

    def deployed(**resources: Any) -> Picture:
        backend = {"backend": {"local": {"path": str(world.folder / "terraform.tfstate")}}}
        code = {"terraform": backend, "resource": {"terraform_data": resources}, "output": {"host": {"value": HOST}}}
        files = {"operations.py": OPERATIONS.read_text(encoding="utf-8"), "infra/main.tf.json": json.dumps(code)}
        surroundings = world.begin(consumer.commit(files))
        surroundings["PATH"] = f"{tmp_path}{os.pathsep}{environment['PATH']}"
        return consumer.run(step_environment=surroundings, secrets={"GITHUB_TOKEN": world.token, "RECORD_KEY": KEY})

    database = {"input": "one"}
    run = deployed(database=database)
    assert run.results() == {"call / plan infrastructure": "success", "call / deploy": "success"}, run.log()
    assert "1 to create" in "".join(each.text for each in run.summaries)
    assert list(steps(run)).index("Apply the infrastructure") < list(steps(run)).index("Migrate")
    assert HOST not in run.log()

    passed = world.runs("staging")
    run = deployed(database=database, worker={"input": "x", "provisioner": [{"local-exec": {"command": "exit 1"}}]})
    assert run.results() == {"call / plan infrastructure": "success", "call / deploy": "failure"}
    assert steps(run)["Apply the infrastructure"] == "failure"
    assert not {"Migrate", "Roll out", "Gate", "Roll back"} & set(steps(run))
    assert world.runs("staging") == passed
    assert [task for _, task, _ in world.tasks()] == ["deploy", "passed", "deploy"], "what never ran is not quarantined"
