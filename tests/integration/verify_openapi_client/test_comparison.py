"""The comparison with the current API: where the base comes from, what fails, what is accepted, which files come out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.verify_openapi_client.conftest import ITEM, Outcome, Project, spec


@pytest.fixture
def breaking(outdated: Project) -> Project:
    """The client is regenerated, but the change breaks callers: `name` became `title`."""
    outdated.run(fix="true")
    outdated.commit("regenerate")
    return outdated


def before(project: Project) -> str:
    return project.git("rev-list", "--max-parents=0", "HEAD").strip()


def test_a_breaking_change_is_a_warning_unless_it_is_to_fail(breaking: Project) -> None:
    outcome = breaking.run(base_ref=before(breaking))
    assert (outcome.code, outcome.outputs["breaking"]) == (0, "1")
    (found,) = [found for found in outcome.findings if found["rule"] == "response-property-removed"]
    assert found["severity"] == "warning"
    assert found["file"] == "openapi.json"
    assert found["pointer"] == "#/components/schemas/Item/properties/name"
    assert len(found["fingerprint"]) == 32
    failing = breaking.run(base_ref=before(breaking), fail_on="drift\nbreaking")
    assert (failing.code, failing.verdict, failing.outputs["drift"]) == (1, "fail", "false")


def test_the_base_may_be_a_file(breaking: Project) -> None:
    breaking.write("base.local", breaking.git("show", f"{before(breaking)}:openapi.json"))
    assert breaking.run(base_spec="base.local").outputs["breaking"] == "1"
    assert breaking.run(base_spec="openapi.json").outputs["breaking"] == "0"
    assert breaking.run(base_spec="none.json").code == 2
    assert breaking.run(base_spec="base.local", base_ref="main").code == 2


def test_generated_names_are_a_class_of_their_own(project: Project) -> None:
    renamed = spec(Item=ITEM)
    renamed["paths"]["/items"]["get"]["operationId"] = "read_items"
    project.write("openapi.json", renamed)
    project.commit()
    outcome = project.run(base_ref="HEAD~1", fail_on="breaking")
    assert (outcome.code, outcome.outputs["breaking"]) == (0, "0")
    outcome = project.run(base_ref="HEAD~1", fail_on="generated-symbol")
    assert outcome.code == 1
    assert "operation-id" in outcome.rules


def test_an_accepted_change_does_not_fail(breaking: Project) -> None:
    arguments = {"base_ref": before(breaking), "fail_on": "breaking", "acknowledge": "accepted.yaml"}
    breaking.write("accepted.yaml", "[]")
    (found,) = [found for found in breaking.run(**arguments).findings if found["rule"] == "response-property-removed"]
    entry = f"- fingerprint: {found['fingerprint']}\n  reason: no caller reads it\n"
    breaking.write("accepted.yaml", entry + "  expires: 2999-01-01\n")
    outcome = breaking.run(**arguments)
    assert (outcome.code, outcome.outputs["breaking"]) == (0, "0")
    assert [found["severity"] for found in outcome.findings if found["rule"] == "response-property-removed"] == ["notice"]
    assert "no caller reads it" in outcome.said
    breaking.write("accepted.yaml", entry + "  expires: 2020-01-01\n")
    outcome = breaking.run(**arguments)
    assert outcome.code == 1
    assert "ended on 2020-01-01" in outcome.said
    breaking.write("accepted.yaml", f"- fingerprint: {'0' * 32}\n  reason: x\n")
    outcome = breaking.run(**arguments)
    assert outcome.code == 1
    assert "acknowledgement-unused" in outcome.rules
    breaking.write("accepted.yaml", "- fingerprint: x")
    assert breaking.run(**arguments).code == 2


def test_a_rule_can_be_turned_down_or_up_at_a_place(breaking: Project) -> None:
    arguments = {"base_ref": before(breaking), "fail_on": "breaking"}
    assert breaking.run(**arguments, rules="response-property-removed at Other: off").code == 1
    outcome = breaking.run(**arguments, rules="response-*: error\nresponse-property-removed at /items: off")
    assert (outcome.code, outcome.outputs["breaking"]) == (0, "0")
    assert breaking.run(**arguments, rules="response-property-removed at Item: warn").outputs["breaking"] == "1"
    outcome = breaking.run(base_ref=before(breaking), rules="response-property-removed at GET /items: error")
    assert (outcome.code, outcome.report["failing"]) == (1, ["breaking"])
    outcome = breaking.run(**arguments, rules="response-propperty-removed: off")
    assert outcome.code == 2
    assert breaking.run(**arguments, rules="response-property-removed: ignore").code == 2


def test_the_report_has_entries_to_paste_that_accept_what_fails(breaking: Project) -> None:
    summary = breaking.temp / "summary"
    breaking.variables |= {"GITHUB_STEP_SUMMARY": str(summary)}
    arguments = {"base_ref": before(breaking), "fail_on": "breaking"}
    assert breaking.run(**arguments).code == 1
    text = summary.read_text()
    assert text.index("Changes that break callers") < text.index("What changed in the API")
    entries = text.partition("```yaml\n")[2].partition("```")[0]
    breaking.write("accepted.yaml", entries)
    assert breaking.run(**arguments, acknowledge="accepted.yaml").code == 0


def test_the_fingerprint_stays_when_the_document_is_reordered(breaking: Project) -> None:
    def fingerprint() -> str:
        outcome = breaking.run(base_ref=before(breaking))
        return str(next(found["fingerprint"] for found in outcome.findings if found["rule"] == "response-property-removed"))

    first = fingerprint()
    document = json.loads((breaking.root / "openapi.json").read_text())
    document["components"]["schemas"] = {"Added": {"type": "string"}, **document["components"]["schemas"]}
    breaking.write("openapi.json", json.dumps(dict(reversed(list(document.items())))))
    assert fingerprint() == first


EVENTS: list[tuple[str, Callable[[str], Any]]] = [
    ("pull_request", lambda sha: {"pull_request": {"number": 1, "base": {"sha": sha}}}),
    ("merge_group", lambda sha: {"merge_group": {"base_sha": sha}}),
    ("push", lambda sha: {"before": sha}),
]


@pytest.mark.parametrize(("name", "payload"), EVENTS, ids=[name for name, _ in EVENTS])
def test_the_base_is_the_one_of_the_event(
    breaking: Project, event: Callable[..., None], name: str, payload: Callable[[str], Any]
) -> None:
    event(name, **payload(before(breaking)))
    assert breaking.run().outputs["breaking"] == "1"
    event(name, **payload(breaking.git("rev-parse", "HEAD").strip()))
    assert breaking.run().outputs["breaking"] == "0"
    event(name, **payload("1" * 40))
    outcome = breaking.run(fail_on="drift\nbreaking")
    assert (outcome.code, outcome.verdict, outcome.outputs["breaking"]) == (3, "inconclusive", "")
    assert "is not in this checkout" in outcome.said
    assert "fetch-depth: 0" in outcome.said


def test_what_the_base_s_branch_got_later_is_not_missing_from_a_pull_request(
    project: Project, event: Callable[..., None]
) -> None:
    project.git("checkout", "-q", "-b", "feature")
    project.commit("on the branch")
    project.git("checkout", "-q", "main")
    project.write("openapi.json", spec(Item=ITEM, Later={"type": "string"}))
    later = project.commit("on main")
    project.git("checkout", "-q", "feature")
    event("pull_request", pull_request={"number": 1, "base": {"sha": later}})
    outcome = project.run(fail_on="generated-symbol\nbreaking")
    assert (outcome.code, outcome.outputs["breaking"]) == (0, "0")


def test_a_new_branch_and_events_without_a_base_skip_the_comparison(breaking: Project, event: Callable[..., None]) -> None:
    event("push", before="0" * 40)
    outcome = breaking.run(fail_on="breaking")
    assert outcome.code == 0
    assert "the push made a new branch" in outcome.said
    event("schedule", schedule="0 0 * * *")
    outcome = breaking.run(fail_on="breaking")
    assert outcome.code == 3
    assert "the event `schedule` has no base" in outcome.said
    assert "base-missing:" in outcome.said
    assert "all zeros" in breaking.run(base_ref="0" * 40).said
    (breaking.temp / "event.json").write_text("{")
    assert "the event file could not be read" in breaking.run().said


def test_a_base_that_cannot_be_used_skips_the_comparison_and_drift_is_still_checked(outdated: Project) -> None:
    outdated.write("openapi.json", {"swagger": "2.0"})
    old = outdated.commit("swagger")
    outdated.write("openapi.json", spec(Item={"type": "string"}))
    outdated.commit("openapi")
    outcome = outdated.run(base_ref=old)
    assert (outcome.code, outcome.outputs["drift"]) == (1, "true")
    assert "the base's document cannot be used" in outcome.said
    assert outdated.run(base_ref=old, fail_on="breaking").code == 3
    new = outdated.run(base_ref=old, spec_path="other.json", fail_on="breaking")
    assert new.code == 0
    assert "does not have other.json yet" in new.said
    outdated.write("large.json", " " * 34_000_000)
    large = outdated.commit("large")
    assert "large.json of " in (said := outdated.run(base_ref=large, spec_path="large.json").said)
    assert "34.0 MB" in said


def test_comparison_of_an_untracked_document_without_a_base_is_inconclusive(project: Project) -> None:
    project.write("made.local", spec(Item=ITEM))
    outcome = project.run(spec="made.local", fail_on="breaking")
    assert outcome.code == 3
    assert "base-spec: base/openapi.json" in outcome.said
    assert project.run(spec="made.local").code == 0
    assert project.run(spec="made.local", base_ref="HEAD").code == 2


def test_a_comparison_that_would_not_end_is_inconclusive(project: Project) -> None:
    def entangled(extra: int) -> Any:
        names = [f"N{index}" for index in range(30)]
        schemas = {
            name: {
                "anyOf": [
                    {
                        "type": "object",
                        "required": ["next"],
                        "properties": {"next": {"$ref": f"#/components/schemas/{other}"}, "n": {"maximum": index + extra}},
                    }
                    for index, other in enumerate(names)
                ]
            }
            for name in names
        }
        return spec(**schemas)

    project.write("base.local", entangled(0))
    project.write("openapi.json", entangled(1))
    project.run(fix="true")
    project.commit()
    outcome = project.run(base_spec="base.local", fail_on="drift\nbreaking")
    assert (outcome.code, outcome.verdict) == (3, "inconclusive")
    assert "too entangled" in outcome.said


def test_sarif_and_json_hold_everything(breaking: Project) -> None:
    breaking.write("web/client.ts", "// stale\n")
    breaking.commit("stale")
    outcome = breaking.run(base_ref=before(breaking))
    sarif = json.loads(Path(outcome.outputs["sarif"]).read_text())
    (run,) = sarif["runs"]
    assert sarif["version"] == "2.1.0"
    assert {result["ruleId"] for result in run["results"]} == {"client-drift", "response-property-removed"}
    assert all(result["partialFingerprints"] for result in run["results"])
    assert {rule["id"] for rule in run["tool"]["driver"]["rules"]} == {"client-drift", "response-property-removed"}
    assert "security-severity" not in json.dumps(sarif)
    (change,) = outcome.report["changes"]
    assert change["operations"] == ["GET /items"]
    assert {"rule", "whom", "why", "compatibly", "pointer", "fingerprint"} <= change.keys()
    assert outcome.report["comparison"]["schemas"] == [{"schema": "Item", "what": "changed"}]


def test_on_github_the_annotation_stands_on_the_client(outdated: Project) -> None:
    import subprocess  # noqa: PLC0415 - the one run without --json

    summary, output = outdated.temp / "summary", outdated.temp / "output"
    outdated.variables |= {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary), "GITHUB_OUTPUT": str(output)}
    words = [word for word in outdated.argv(base_ref=before(outdated)) if word != "--json"]
    done = subprocess.run(words, cwd=outdated.root, env=outdated.environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "::error title=client-drift,file=web/client.ts,line=2::" in done.stdout
    text = summary.read_text()
    assert "```diff" in text
    assert "The client is out of date" in text
    assert "Changes that break callers" in text
    assert "breaking<<" in output.read_text()


def test_hostile_names_in_the_document_stay_text(project: Project) -> None:
    names = ["::error::x", "<script>", "|a|`b`", "](http://evil.example)", "\u202eabc"]
    project.write("base.local", spec(Item={"type": "object", "properties": {name: {"type": "string"} for name in names}}))
    project.write("openapi.json", spec(Item={"type": "object"}))
    project.variables["GITHUB_STEP_SUMMARY"] = str(project.temp / "summary")
    outcome: Outcome = project.run(base_spec="base.local")
    assert outcome.outputs["breaking"] == str(len(names))
    text = (project.temp / "summary").read_text()
    assert "<script>" not in text
    assert "](http://evil" not in text
    assert "\u202e" not in text
    assert not any(line.startswith("::error") for line in outcome.log.splitlines())


def test_a_long_diff_is_cut_in_the_report_and_whole_in_the_patch(project: Project) -> None:
    project.write("openapi.json", spec(**{f"S{index}": {"type": "string"} for index in range(1000)}))
    project.variables["GITHUB_STEP_SUMMARY"] = str(project.temp / "summary")
    outcome = project.run()
    text = (project.temp / "summary").read_text()
    assert "more lines in the output `patch`" in text
    assert text.count("+export type") < 200
    assert Path(outcome.outputs["patch"]).read_text().count("+export type") == 1000


def test_a_base_that_is_missing_this_time_is_said_and_fails_nothing(breaking: Project) -> None:
    outcome = breaking.run(base_missing="it is a new branch", fail_on="drift\nbreaking", spec="openapi.json")
    assert (outcome.code, outcome.outputs["breaking"]) == (0, "")
    assert "it is a new branch" in outcome.log
    assert breaking.run(base_missing="x", base_ref="HEAD").code == 2
