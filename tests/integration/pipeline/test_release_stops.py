"""What must stop a release stops it before anything migrates or moves.

The steps of image.yml and deploy.yml that judge and act run in the files' own order, with the values that the files hand on.
GitHub and `gh` are stand-ins; the `command` engine's programs keep what runs in a file.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cicd_actions.__main__ import run
from cicd_actions.github.proof import Trust
from cicd_actions.github.release_record import Record, Run, Task, now
from cicd_actions.pipeline import planning
from cicd_actions.pipeline.event import Event
from cicd_actions.pipeline_file.reading import parse
from cicd_actions.toolkit.yaml12 import plain, read
from tests.fakes.gh import Gh
from tests.fakes.github import deployments
from tests.harness.releases import KEY, REPOSITORY, World, digest, sha
from tests.unit.scan_gate.samples import TRIVY, changed

WORKFLOWS = Path(__file__).resolve().parents[3] / ".github" / "workflows"
STEP = "$/.github/actions/deploy-step"


def job(workflow: str, name: str) -> dict[str, Any]:
    found: Any = plain(read((WORKFLOWS / workflow).read_text("utf-8")).root)
    return dict(found["jobs"][name])


class Ended(NamedTuple):
    """How a step ended."""

    code: int
    outputs: dict[str, str]


class Pipeline:
    """Release 2 of a repository whose images are attested and scanned; release 1 runs."""

    def __init__(self, folder: Path, world: World) -> None:
        self.folder, self.world, self.gh = folder, world, Gh(folder)
        for number in (1, 2):
            world.build(number)
        world.runs(1)
        (folder / "database").write_text("")
        self.log = ""
        self.digests = {"api": digest(2), "web": digest(2)}
        self.gh.attest(digest(2), sha(2))
        (folder / "image.json").write_text(json.dumps(self.scanned()))

    def scanned(self) -> Any:
        """A clean report of the api's image."""
        image = self.world.image("api", 2)
        found = changed(changed(TRIVY, "ArtifactName", to=image), "Metadata", "RepoDigests", to=[image])
        found["CreatedAt"] = now()
        return changed(found, "Results", 0, "Vulnerabilities", to=[])

    def settings(self, environment: str) -> dict[str, Any]:
        """What the plan hands to deploy.yml."""
        images = {name: {"repository": f"registry.test/{name}", "command": "true"} for name in ("api", "web")}
        health = {"version-from": "header:X-Version"}
        file = {
            "version": 1,
            "lanes": {"api": {"directory": ".", "install": "true", "checks": {"test": "true"}}},
            "images": images,
            "build": {"attest": True},
            "services": {name: {"image": name, "health": health} for name in images},
            "release": {
                **self.world.engine,
                "migrate": {"service": "api", "command": "schema up"},
                "gate": {"timeout": "3s"},
                "environments": [
                    {"name": name, "urls": {service: f"{self.world.url}/{service}" for service in images}}
                    for name in ("staging", "production")
                ],
            },
        }
        event = Event("push", "refs/heads/main", sha(2), REPOSITORY, "main")
        plan = planning.make(parse(json.dumps(file)), None, event, [])
        return next(each for each in plan.environments if each["name"] == environment)

    def release(self, *environments: str) -> str:
        """Returns the step that stopped it; empty for none."""
        if self._run("scan-gate", self._scan()).code:
            return "scan"
        return next((stopped for name in environments if (stopped := self._deploy(name))), "")

    def moved(self) -> list[str]:
        """The programs that migrate or roll out, of all that were started."""
        return [line for line in self.world.calls() if line.split()[0] in {"job", "roll-out"}]

    def _scan(self) -> dict[str, str]:
        (step,) = (each for each in job("image.yml", "image")["steps"] if each.get("uses") == "$/actions/scan-gate")
        lines = step["with"]["reports"].replace("${{ runner.temp }}/", "").splitlines()
        # The database's age and the image's configuration need trivy and a registry: tests/integration/scan_gate has them.
        return {"reports": lines[0], "images": self.world.image("api", 2)}

    def _deploy(self, environment: str) -> str:
        settings = self.settings(environment)
        given = {"settings": json.dumps(settings), "digests": json.dumps(self.digests), "sha": sha(2), "vars": "{}"}
        outputs = {"release": self._run("release-images", given).outputs}
        for step in job("deploy.yml", "deploy")["steps"]:
            if step.get("uses") != STEP or "always()" in str(step.get("if", "")):
                continue
            if step.get("if") and not _given(step["if"], settings, outputs):
                continue
            values = re.sub(
                r"\$\{\{ toJSON\((.+?)\) \}\}", lambda found: _value(found[1], settings, outputs), step["with"]["values"]
            )
            inputs = {"action": step["with"]["action"], "settings": json.dumps(settings), "values": values}
            ended = self._run("deploy-step", {**inputs, "github-token": self.world.token})
            if ended.code:
                return str(step["id"])
            outputs[step["id"]] = ended.outputs
        return ""

    def _run(self, name: str, inputs: dict[str, str]) -> Ended:
        stdout, log = io.StringIO(), io.StringIO()
        variables = {
            "PATH": self.gh.path, "INPUTS": json.dumps(inputs), "GITHUB_API_URL": self.world.github.url,
            "GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": REPOSITORY, "GITHUB_SHA": sha(2),
            "GITHUB_REF_NAME": "main", "GITHUB_RUN_ID": "7", "GITHUB_RUN_ATTEMPT": "1",
            "RUNNER_TEMP": str(self.folder), "RECORD_KEY": KEY, "ACTION_REPOSITORY": "org/cicd-actions",
        }  # fmt: skip
        code = run([name, "--json"], variables, stdout, log)
        self.log += log.getvalue()
        return Ended(code, json.loads(stdout.getvalue())["outputs"])


def _given(condition: str, settings: dict[str, Any], outputs: dict[str, dict[str, str]]) -> bool:
    """Evaluates `fromJSON(inputs.settings).KEY == 'TEXT'` or `steps.STEP.outputs.KEY == 'TEXT'`, or `!=`."""
    match = re.fullmatch(r"(?:fromJSON\(inputs\.settings\)|steps\.([a-z-]+)\.outputs)\.([a-z-]+) ([!=]=) '(.*)'", condition)
    assert match, condition
    found = outputs[match[1]] if match[1] else settings
    return (str(found.get(match[2], "")) == match[4]) is (match[3] == "==")


def _value(expression: str, settings: dict[str, Any], outputs: dict[str, dict[str, str]]) -> str:
    """Evaluates what deploy.yml hands to the steps before the gate has judged."""
    if expression == "inputs.sha || github.sha":
        return json.dumps(sha(2))
    if match := re.fullmatch(r"fromJSON\(inputs\.settings\)\.([a-z-]+)", expression):
        return json.dumps(settings.get(match[1]))
    match = re.fullmatch(r"steps\.([a-z-]+)\.outputs\.([a-z-]+)", expression)
    assert match, expression
    return json.dumps(outputs.get(match[1], {}).get(match[2], ""))


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipeline]:
    monkeypatch.chdir(tmp_path)
    with World(tmp_path) as world:
        yield Pipeline(tmp_path, world)


def test_release_that_is_proven_runs(pipeline: Pipeline) -> None:
    assert pipeline.release("staging") == "", pipeline.log
    assert pipeline.world.running() == {"api": sha(2), "web": sha(2)}
    assert [line.split()[0] for line in pipeline.moved()] == ["job", "roll-out", "roll-out"]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({}, id="unattested digest"),
        pytest.param({"subject": digest(1)}, id="swapped digest"),
        # What a poisoned cache of a pull request's lane builds, its run attests, not the release's.
        pytest.param({"ref": "refs/pull/7/merge"}, id="poisoned cache"),
        pytest.param({"workflow": "org/app/.github/workflows/ci.yml"}, id="another workflow"),
        pytest.param({"sha": sha(1)}, id="another commit"),
    ],
)
@pytest.mark.parametrize("lying", [False, True], ids=["gh refuses", "gh lets it pass"])
def test_promise_with_build_attest_true_nothing_unattested_moves(
    pipeline: Pipeline, other: dict[str, str], lying: bool
) -> None:
    pipeline.gh.forget()
    pipeline.gh.lie(quiet=lying)
    if other:
        pipeline.gh.attest(digest(2), **{"sha": sha(2), **other})
    assert pipeline.release("staging") == "proof"
    assert pipeline.moved() == [], "nothing migrated, and nothing rolled out"
    assert pipeline.world.running() == {"api": sha(1), "web": sha(1)}
    assert pipeline.world.tasks() == [], "nothing is recorded"


def test_forged_record_stops_the_release_to_the_next_environment(pipeline: Pipeline) -> None:
    services = {name: pipeline.world.image(name, 2) for name in ("api", "web")}
    forged = Record(Task.PASSED, REPOSITORY, "staging", sha(2), services, verdict="pass", at=now(), run=Run("7"))
    payload, bot = Trust(key=b"another key, which the forger made").signed(forged), "github-actions[bot]"
    github = pipeline.world.github
    deployments.other_tool(github, REPOSITORY, "staging", sha(2), task=forged.task.value, payload=payload, creator=bot)
    assert pipeline.release("production") == "start"
    assert pipeline.moved() == []
    assert pipeline.world.running() == {"api": sha(1), "web": sha(1)}


@pytest.mark.parametrize("report", [None, "", "{}"], ids=["missing", "empty", "without a scan"])
def test_promise_a_scan_that_did_not_run_stops_the_release(pipeline: Pipeline, report: str | None) -> None:
    (pipeline.folder / "image.json").unlink()
    if report is not None:
        (pipeline.folder / "image.json").write_text(report)
    assert pipeline.release("staging") == "scan"
    assert pipeline.moved() == []
    assert pipeline.world.tasks() == []
    assert "needs.image.result == 'success'" in job("release.yml", "environment-1")["if"]
