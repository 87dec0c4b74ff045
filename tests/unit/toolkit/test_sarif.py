from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from cicd_actions.toolkit.findings import Finding, Severity
from cicd_actions.toolkit.sarif import MOST_RESULTS, RuleText, document
from tests.harness import npm

SCHEMA = Draft7Validator(json.loads(npm.file(*npm.SARIF).read_text("utf-8")))

FINDINGS = st.builds(
    Finding,
    rule=st.sampled_from(["a", "b"]),
    severity=st.sampled_from(Severity),
    message=st.text(min_size=1),
    file=st.sampled_from(["", "src/a b.ts", "x.json", "a\udcff.py"]),
    line=st.none() | st.integers(1, 9),
    column=st.none() | st.integers(1, 9),
    pointer=st.sampled_from(["", "#/paths"]),
    fingerprint=st.sampled_from(["", "0" * 32]),
)


@given(findings=st.lists(FINDINGS, max_size=6))
def test_every_result_has_what_github_needs(findings: list[Finding]) -> None:
    whole = json.loads(json.dumps(document("tool", findings, {"a": RuleText("title", "help", 7.5)}, elsewhere="client.ts")))
    assert [error.message for error in SCHEMA.iter_errors(whole)] == []
    (run,) = whole["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert len(run["results"]) == len(findings)
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in {"error", "warning", "note"}
        assert len(result["partialFingerprints"]["cicdActions/v1"]) == 32
        place = result["locations"][0]["physicalLocation"]
        assert place["artifactLocation"]["uri"] in {"client.ts", "src/a%20b.ts", "x.json", "a%FF.py"}
        assert place["region"]["startLine"] >= 1
    assert [rule.get("properties", {}).get("security-severity") for rule in rules if rule["id"] == "b"] in ([], [None])


def test_the_worst_results_are_kept() -> None:
    many = [Finding("a", Severity.NOTICE, str(index)) for index in range(MOST_RESULTS)]
    whole = document("tool", [*many, Finding("b", Severity.ERROR, "worst")], {})
    results = whole["runs"][0]["results"]
    assert len(results) == MOST_RESULTS
    assert results[0]["ruleId"] == "b"


def test_a_fingerprint_stays_when_lines_move() -> None:
    one, two = (
        document("t", [Finding("a", Severity.ERROR, "m", "f", line)], {})["runs"][0]["results"][0]["partialFingerprints"]
        for line in (1, 2)
    )
    assert one == two
