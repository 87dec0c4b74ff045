"""GitHub's expressions: each case is one of its documentation's rules."""

from __future__ import annotations

from typing import Any

import pytest

from cicd_actions.toolkit.yaml12 import plain, read
from rehearsal.evaluation import condition, filled
from rehearsal.faults import FAULTS
from rehearsal.job import ROOT, outputs

CONTEXTS: dict[str, Any] = {
    "inputs": {"settings": '{"smoke": [""], "minutes": 45, "names": ["a", "b"]}', "empty": "", "Case": "kept"},
    "steps": {"gate": {"outputs": {"verdict": "fail"}, "outcome": "failure"}, "smoke": {"outputs": {}, "outcome": "skipped"}},
    "job": {"status": "success"},
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a ${{ inputs.case }} b", "a kept b"),
        ("${{ inputs.none }}|${{ steps.never.outputs.verdict }}|${{ null }}", "||"),
        ("${{ fromJSON(inputs.settings).minutes }}", "45"),
        ("${{ fromJSON(inputs.settings).names[1] }}", "b"),
        ("${{ toJSON(inputs.empty) }} ${{ toJSON(inputs.none) }} ${{ toJSON(true) }}", '"" null true'),
        ("${{ inputs.empty && 'yes' || 'no' }}", "no"),
        ("${{ steps.smoke.outputs.verdict || steps.smoke.outcome == 'skipped' && steps.gate.outputs.verdict || '' }}", "fail"),
        ("${{ 'A' == 'a' }} ${{ '1' == 1 }} ${{ null == 0 }} ${{ 'x' == 0 }} ${{ !'' }}", "true true true false true"),
        ("${{ format('{0}{{1}}{1}', 'a', 2) }}", "a{1}2"),
        ("${{ contains('Abc', 'b') }} ${{ startsWith('Abc', 'AB') }} ${{ endsWith('abc', 'C') }}", "true true true"),
        ("${{ contains(fromJSON('[\"a\"]'), 'A') }} ${{ join(fromJSON(inputs.settings).names, '-') }}", "true a-b"),
    ],
)
def test_filled(text: str, value: str) -> None:
    assert filled(text, CONTEXTS) == value


@pytest.mark.parametrize(
    ("text", "runs_after"),
    [
        ("", {"success"}),
        ("steps.gate.outputs.verdict == 'fail'", {"success"}),
        ("${{ always() && steps.gate.outputs.verdict == 'fail' }}", {"success", "failure", "cancelled"}),
        ("failure() && steps.gate.outcome == 'failure'", {"failure"}),
        ("${{ !cancelled() }}", {"success", "failure"}),
        ("fromJSON(inputs.settings).smoke[0] != ''", set()),
    ],
)
def test_condition_asks_for_success_unless_it_names_a_status(text: str, runs_after: set[str]) -> None:
    assert {status for status in ("success", "failure", "cancelled") if condition(text, CONTEXTS, status)} == runs_after


def test_outputs_of_several_lines_end_at_their_delimiter() -> None:
    assert outputs("a=1=2\nb<<end-1\nx\nc=3\nend-1\nd=\n") == {"a": "1=2", "b": "x\nc=3", "d": ""}


@pytest.mark.parametrize("workflow", [".github/workflows/deploy.yml", "rehearsal/plain.yml"])
def test_workflow_has_the_steps_at_which_faults_are_injected(workflow: str) -> None:
    described: Any = plain(read((ROOT / workflow).read_text("utf-8")).root)
    steps = {each.get("id") or each.get("name") for each in described["jobs"]["deploy"]["steps"]}
    asked = {at.step for fault in FAULTS for at in fault.at if fault.plain or "deploy.yml" in workflow}
    assert asked <= steps
