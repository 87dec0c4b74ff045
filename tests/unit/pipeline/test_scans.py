"""The scans of the pipeline file: what is planned, what runs, and what scan-gate says of it."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cicd_actions.pipeline import scans
from cicd_actions.pipeline.planning import make
from cicd_actions.pipeline_file.reading import parse
from tests.harness import action
from tests.unit.pipeline.test_planning import PUSH, SHOP, plan
from tests.unit.scan_gate.samples import PIP_AUDIT

LANES = "version: 1\nlanes:\n  api: {directory: api, python: '3.13'}\n  web: {directory: web, node: '24'}\n"
LOCKS = ["api/uv.lock", "web/package-lock.json"]


def planned(keys: str, files: list[str] | None = None) -> dict[str, Any]:
    return make(parse(f"{LANES}scans: {keys}\n"), None, PUSH, LOCKS if files is None else files).scans


def test_file_without_scans_runs_none() -> None:
    found = plan(SHOP)
    assert (found.scans, found.build["scans"]["any"]) == ({}, False)


def test_usual_scans_cover_every_lane_its_code_and_the_images() -> None:
    found = planned("{}")
    assert [each["name"] for each in found["commands"]] == [
        "pip-audit of api/uv.lock", "npm of web/package-lock.json", "bandit of api",
    ]  # fmt: skip
    assert found["reports"].splitlines() == [
        "pip-audit: {folder}/pip-audit-api-uv.lock.json of api/uv.lock",
        "npm: {folder}/npm-web-package-lock.json.json of web/package-lock.json",
        "bandit: {folder}/bandit-api.json of api",
        "trivy: {folder}/secrets.sarif",
    ]
    assert all("==" in each["run"] for each in found["commands"] if "uvx" in each["run"]), "pinned"


@pytest.mark.parametrize(
    ("keys", "sbom", "images", "scan"),
    [
        ("", False, [], False),
        ("", True, ["api"], False),
        ("scans: {images: false}\n", True, ["api"], False),
        ("scans: {images: false}\n", False, [], False),
        ("scans: {}\n", False, ["api"], True),
        ("scans: {}\n", True, ["api"], True),
    ],
)
def test_image_that_is_scanned_or_has_an_attested_sbom_is_read(keys: str, sbom: bool, images: list[str], scan: bool) -> None:
    found = scans.of_images(parse(f"{LANES}{keys}").scans, {"api": {}}, sbom=sbom)
    assert (found["any"], found["images"], found["scan"]) == (bool(images), images, scan)


@pytest.mark.parametrize(
    ("keys", "public", "attest", "sbom"),
    [
        ({}, True, True, True),
        ({}, False, False, False),
        ({"attest": True}, False, True, True),
        ({"attest": False}, True, False, False),
        ({"sbom": False}, True, True, False),
        ({"attest": True, "sbom": False}, False, True, False),
        ({"attest": False, "sbom": True}, True, False, False),
    ],
)
@pytest.mark.parametrize("event", ["push", "workflow_dispatch"])
def test_sbom_is_attested_where_the_provenance_is_unless_the_file_turns_it_off(
    keys: dict[str, bool], public: bool, attest: bool, sbom: bool, event: str
) -> None:
    found = make(parse(f"{SHOP}build: {json.dumps(keys)}\n"), None, replace(PUSH, name=event, public=public), [])
    assert (found.build["attest"], found.build["sbom"]) == (attest, sbom)
    assert found.build["scans"]["images"] == (list(found.build["images"]) if sbom else [])
    assert {each["require-attestation"] for each in found.environments} == {"true" if attest else "false"}


def test_scan_that_is_off_has_no_report_to_miss() -> None:
    assert planned("{dependencies: false, code: false, secrets: false}") == {}
    found = planned(
        "{dependencies: false, code: false, secrets: false, more: {zap: {run: ./zap, report: zap.sarif, of: shop}}}"
    )
    assert (found["reports"], found["commands"][0]["run"]) == ("zap.sarif of shop", "./zap")


@pytest.mark.parametrize("files", [["api/poetry.lock", "web/bun.lock"], []])
def test_lock_file_without_a_usual_audit_is_a_report_that_is_missing(files: list[str]) -> None:
    found = planned("{code: false}", files)
    assert [each["run"] for each in found["commands"]] == ["", ""]
    assert len(found["reports"].splitlines()) == 3


def test_workspace_with_one_lock_file_is_audited_once() -> None:
    text = "version: 1\nscans: {}\nlanes:\n  a: {directory: a, node: '24'}\n  b: {directory: b, node: '24'}\n"
    found = make(parse(text), None, PUSH, ["pnpm-lock.yaml"]).scans
    assert [(each["name"], each["directory"]) for each in found["commands"]] == [("pnpm of pnpm-lock.yaml", ".")]
    assert re.match(r"npx --yes pnpm@\d+\.\d+\.\d+ --config\.pm-on-fail=ignore audit ", found["commands"][0]["run"])


def test_scanner_that_fails_leaves_no_report_and_the_gate_is_inconclusive(tmp_path: Path) -> None:
    def command(name: str, code: int, *, run: str = "") -> dict[str, Any]:
        script = f"import sys; print({json.dumps(PIP_AUDIT)!r}); sys.exit({code})"
        words = run or shlex.join([sys.executable, "-c", script])
        return {"name": name, "run": words, "directory": ".", "report": f"{{folder}}/{name}.json", "printed": True}

    commands = [
        command("good", 1),
        command("bad", 2),
        command("absent", 0, run="no-such-program-here"),
        command("none", 0) | {"run": ""},
    ]
    lines = "\n".join(each["report"] for each in commands)
    given = {"scans": json.dumps({"commands": commands, "reports": lines, "base": ""})}
    ran = action.run("run-scans", given, tmp_path, RUNNER_TEMP=str(tmp_path))
    assert ran.code == 0, ran.log
    assert sorted(path.name for path in (tmp_path / "scan-reports").iterdir()) == ["good.json"]
    judged = action.run("scan-gate", {"reports": ran.outputs["reports"]}, tmp_path)
    assert (judged.code, judged.outputs["major"]) == (3, "1"), judged.log
    assert len(json.loads(judged.outputs["inconclusive"])) == 3


def test_scanner_that_leaves_a_child_with_its_output_open_is_over_when_it_ends(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    script = (
        "import pathlib, subprocess; child = subprocess.Popen(['sleep', '600'], stderr=subprocess.DEVNULL); "
        f"pathlib.Path('{pid}').write_text(str(child.pid)); print(1)"
    )
    scan = {"name": "one", "run": shlex.join([sys.executable, "-c", script]), "directory": "."}
    given = {"commands": [{**scan, "report": "{folder}/one.json", "printed": True}], "reports": "{folder}/one.json", "base": ""}
    try:
        ran = action.Step("run-scans", {"scans": json.dumps(given)}, tmp_path, RUNNER_TEMP=str(tmp_path)).end(60)
        assert ran.code == 0, ran.log
        assert (tmp_path / "scan-reports" / "one.json").read_text() == "1\n"
    finally:
        os.kill(int(pid.read_text()), signal.SIGKILL)
