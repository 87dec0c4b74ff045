"""What becomes of a finding: allowed, acknowledged, known, overdue; and the patch for what is safe to write."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
from pathlib import Path

import pytest

from cicd_actions.pipeline_audit import audit, fixes, life, reporting, zizmor
from cicd_actions.pipeline_audit.audit import Audit, Options
from cicd_actions.pipeline_audit.life import Item, State
from cicd_actions.pipeline_audit.rules.catalogue import RULES
from cicd_actions.pipeline_audit.rules.definition import Status, Tier
from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.toolkit.yaml12 import plain, read
from cicd_actions.workflows.place import Place
from tests.unit.pipeline_audit.cases import KUBECTL, STATUS, UNDO, ci, deploy, job
from tests.unit.pipeline_audit.repositories import facts
from tests.unit.toolkit.test_sarif import SCHEMA

TODAY = dt.date(2026, 11, 28)
WORKFLOW = ".github/workflows/w.yml"


def audited(root: Path, text: str, **options: object) -> Audit:
    judged = facts(root, {WORKFLOW: text})
    return audit.judged(judged, zizmor.Run(why="none"), Options(**options), None, TODAY)  # type: ignore[arg-type]


def item(tier: Tier, since: dt.date | None, state: State = State.OPEN) -> Item:
    return Item("no-rollback", tier, Place("a.yml", 1), "x", since=since, state=state)


@pytest.mark.parametrize(
    ("tier", "days", "overdue"),
    [
        (Tier.CRITICAL, 0, True),
        (Tier.MAJOR, 14, False),
        (Tier.MAJOR, 15, True),
        (Tier.MINOR, 28, False),
        (Tier.MINOR, 29, True),
    ],
)
def test_finding_is_overdue_after_its_sla(tier: Tier, days: int, overdue: bool) -> None:
    assert item(tier, TODAY - dt.timedelta(days=days)).overdue(TODAY) is overdue


def test_finding_of_unknown_age_is_overdue_only_when_critical() -> None:
    assert item(Tier.CRITICAL, None).overdue(TODAY)
    assert not item(Tier.MAJOR, None).overdue(TODAY)
    assert not item(Tier.CRITICAL, None, State.ALLOWED).overdue(TODAY)


@pytest.mark.parametrize("comment", ["— it is a lab", "-- it is a lab", ": it is a lab", "- it is a lab"])
def test_allow_comment_with_reason_accepts_the_finding(comment: str, tmp_path: Path) -> None:
    text = deploy(KUBECTL, STATUS, UNDO).replace("  deploy:\n", f"  deploy: # pipeline-audit: allow no-staging {comment}\n")
    found = audited(tmp_path, text)
    (staging,) = [one for one in found.items if one.rule == "no-staging"]
    assert (staging.state, staging.reason) == (State.ALLOWED, "it is a lab")
    assert found.accepted()["no-staging"] == "accepted: it is a lab"


def test_allow_comment_above_covers_several_rules(tmp_path: Path) -> None:
    above = "  # pipeline-audit: allow no-staging,ungated-release — a lab\n  deploy:\n"
    found = audited(tmp_path, deploy(KUBECTL, STATUS, UNDO).replace("  deploy:\n", above))
    assert {one.rule for one in found.items if one.state is State.ALLOWED} == {"no-staging", "ungated-release"}


def test_allow_comment_without_reason_accepts_nothing(tmp_path: Path) -> None:
    found = audited(tmp_path, deploy(KUBECTL).replace("  deploy:\n", "  deploy: # pipeline-audit: allow no-staging\n"))
    assert all(one.state is State.OPEN for one in found.items)
    assert [rule for _, rule in found.bare] == ["no-staging"]
    assert any(one.rule == "pipeline-audit/no-reason" for one in reporting.findings(found, []))


def test_acknowledgement_holds_until_its_last_day(tmp_path: Path) -> None:
    path = tmp_path / "accepted.yml"
    path.write_text("- rule: no-staging\n  reason: moving\n  expires: 2026-11-28\n")
    accepted = life.acknowledgements(path, "accepted.yml", RULES)
    one = Item("no-staging", Tier.CRITICAL, Place("a.yml", 1), "x")
    assert life.acknowledge([one], accepted, TODAY) == []
    assert one.state is State.ACKNOWLEDGED
    late = Item("no-staging", Tier.CRITICAL, Place("a.yml", 1), "x")
    assert life.acknowledge([late], accepted, TODAY + dt.timedelta(days=1)) == accepted
    assert late.state is State.OPEN


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: b", "has to be a list"),
        ("- rule: no-staging\n  reason: x", "`expires` is missing"),
        ("- rule: no-such-rule\n  reason: x\n  expires: 2026-01-01", "there is no rule"),
        ("- rule: no-staging\n  reason: x\n  expires: soon", "is not a date"),
        ("- rule: no-staging\n  because: x", "the key `because` is unknown"),
        ("- [", "is not YAML"),
    ],
)
def test_acknowledgement_that_is_not_clear_is_refused(text: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "accepted.yml"
    path.write_text(text)
    with pytest.raises(UnusableInput, match=r"(?s)accepted\.yml.*") as caught:
        life.acknowledgements(path, "accepted.yml", RULES)
    assert problem in str(caught.value) or "have to be a list" in str(caught.value)


def test_baseline_keeps_the_day_on_which_a_finding_was_first_seen(tmp_path: Path) -> None:
    found = audited(tmp_path, deploy(KUBECTL, STATUS, UNDO))
    path = tmp_path / "baseline.json"
    path.write_text(life.baseline_text(found.items, dt.date(2026, 1, 1)))
    known = life.baseline(path, "baseline.json")
    again = audited(tmp_path, "# a line more\n" + deploy(KUBECTL, STATUS, UNDO), baseline=known)
    assert {one.since for one in again.items} == {dt.date(2026, 1, 1)}
    assert all(one.overdue(TODAY) for one in again.items)
    assert life.baseline_text(again.items, TODAY) == path.read_text()


def test_baseline_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "b.json").write_text("[]")
    with pytest.raises(UnusableInput, match="is not a baseline"):
        life.baseline(tmp_path / "b.json", "b.json")


def test_fail_on_tier_takes_the_open_findings_from_there(tmp_path: Path) -> None:
    found = audited(tmp_path, deploy(KUBECTL, STATUS, UNDO))
    assert {one.tier for one in found.failing("overdue")} == {Tier.CRITICAL}
    assert {one.tier for one in found.failing("major")} == {Tier.CRITICAL, Tier.MAJOR}
    assert {one.tier for one in found.failing("minor")} == set(Tier)


def test_report_holds_every_rule_and_sarif_its_severity(tmp_path: Path) -> None:
    found = audited(tmp_path, deploy(KUBECTL))
    whole = reporting.as_json(found, [])
    assert [rule["id"] for rule in whole["rules"]] == list(RULES)
    assert len(whole["checklists"]["harness"]) == 11
    assert len(whole["checklists"]["stages"]) == 5
    document = reporting.as_sarif(reporting.findings(found, []), "v1")
    (run,) = document["runs"]
    severities = {rule["id"]: rule["properties"]["security-severity"] for rule in run["tool"]["driver"]["rules"]}
    assert severities["pipeline-audit/no-staging"] == "9.1"
    assert all(result["partialFingerprints"] for result in run["results"])
    assert [error.message for error in SCHEMA.iter_errors(json.loads(json.dumps(document)))] == []


def test_checklist_of_a_repository_that_deploys_nothing_is_not_applicable(tmp_path: Path) -> None:
    found = audited(tmp_path, ci("pytest"))
    marks = {point["point"]: point["mark"] for point in reporting.as_json(found, [])["checklists"]["harness"]}
    assert marks["Every roll-out is verified, and can be rolled back"] == "n/a"
    assert found.results["no-rollback"].status is Status.NOT_APPLICABLE


BARE = "name: CI\non: [pull_request]\n# The jobs.\njobs:\n" + job("test", "pytest", "uses: some/thing@v1").replace(
    "    timeout-minutes: 5\n", ""
)


def test_patch_writes_what_is_safe_and_keeps_the_rest(tmp_path: Path) -> None:
    found = audited(tmp_path, BARE)
    text = fixes.patch(found.facts, found.open, {"some/thing@v1": "a" * 40})
    assert "+    timeout-minutes: 30\n" in text
    assert f"+      - uses: some/thing@{'a' * 40} # v1\n" in text
    assert "+concurrency:\n" in text
    # An action that is not known may need a permission to write.
    assert "permissions" not in text
    removed = [line for line in text.splitlines() if line.startswith("-") and not line.startswith("---")]
    assert removed == ["-      - uses: some/thing@v1"]


def test_patch_of_a_deploy_has_neither_permissions_nor_a_group(tmp_path: Path) -> None:
    found = audited(
        tmp_path, deploy(KUBECTL).replace("permissions:\n  contents: read\n", "").replace("    timeout-minutes: 5\n", "")
    )
    text = fixes.patch(found.facts, found.open, {})
    assert "+    timeout-minutes: 30\n" in text
    assert "concurrency:" not in text.replace(" concurrency: deploy", "")
    assert "+permissions" not in text


def test_patched_file_still_means_the_same(tmp_path: Path) -> None:
    found = audited(tmp_path, BARE)
    (file,) = found.facts.pipeline.workflows
    wanted = {one.rule for one in found.open}
    after = plain(read(fixes._fixed(found.facts, file, BARE, wanted, {})).root)
    before = plain(read(BARE).root)
    del after["concurrency"]
    assert after["jobs"]["test"].pop("timeout-minutes") == 30
    assert after == before


@pytest.mark.parametrize("line", ["docker/x@v1 main", "x", "docker/x@v1"])
def test_pins_file_that_is_not_clear_is_refused(line: str) -> None:
    with pytest.raises(UnusableInput, match="is not an action and a full commit SHA"):
        fixes.pins(line, "pins.txt")


def test_ages_with_a_line_behind_the_end_keep_the_other_ages(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("one\ntwo\n", "utf-8")
    identity = ("-c", "user.name=x", "-c", "user.email=x@example.test")
    for words in (("init", "-q"), ("add", "."), (*identity, "commit", "-q", "-m", "x")):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    items = [Item("no-rollback", Tier.MAJOR, Place("a.yml", line), "x") for line in (0, 1, 2, 3)]

    life.Ages(tmp_path).fill(items)

    assert [item.since is not None for item in items] == [False, True, True, False]
