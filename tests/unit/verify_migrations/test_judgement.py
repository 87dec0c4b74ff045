"""What a finding leads to: by its rule, the inputs, the declared phase, the table's size, and the file of accepted findings."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from cicd_actions.toolkit.verdict import Verdict
from cicd_actions.verify_migrations.inputs import setting
from cicd_actions.verify_migrations.judgement import Judgement, judge
from cicd_actions.verify_migrations.rules import CLASSES, Trouble
from cicd_actions.verify_migrations.verification import Evidence
from cicd_actions.verify_openapi_client.acknowledge import Acknowledgement

TODAY = dt.date(2026, 1, 10)
LOCK = Trouble("blocking-index", "an index", "a2", "users")
BREAK = Trouble("column-missing", "users.name is gone", "a2", "users#name")


def judged(*troubles: Trouble, phase: str = "", **given: Any) -> Judgement:
    evidence = Evidence(new=[{"revision": "a2", "phase": phase}], troubles=list(troubles))
    options = {"fail_on": CLASSES, "settings": (), "acknowledged": (), "sizes": {}, **given}
    return judge(evidence, "main", today=TODAY, **options)


@pytest.mark.parametrize(
    ("given", "fails"),
    [
        ({}, True),
        ({"fail_on": ("old-code",)}, False),
        ({"sizes": {"users": 9_999}}, False),
        ({"sizes": {"users": 10_000}}, True),
        ({"settings": (setting("blocking-*: warn"),)}, False),
        ({"settings": (setting("*: off"), setting("blocking-index at users: error"))}, True),
        ({"settings": (setting("blocking-index at orders: off"),)}, True),
        ({"phase": "contract"}, True),
    ],
)
def test_lock_fails_unless_the_inputs_say_otherwise(given: dict[str, Any], fails: bool) -> None:
    assert (judged(LOCK, **given).verdict is Verdict.FAIL) is fails


def test_break_of_a_declared_contract_is_a_warning() -> None:
    (ruling,) = judged(BREAK, phase="contract").rulings
    assert (ruling.fails, ruling.severity.value) == (False, "warning")
    assert judged(BREAK, phase="expand").verdict is Verdict.FAIL


def test_acknowledged_finding_passes_until_its_last_day() -> None:
    (ruling,) = judged(BREAK).rulings

    def accepted(expires: dt.date | None) -> Judgement:
        return judged(BREAK, acknowledged=[Acknowledgement(ruling.fingerprint, "Nothing reads it.", expires, 1)])

    assert accepted(TODAY).verdict is Verdict.PASS
    assert "acknowledgement-unused" not in {each.trouble.rule for each in accepted(TODAY).rulings}
    late = accepted(TODAY - dt.timedelta(days=1))
    assert late.verdict is Verdict.FAIL
    assert "acknowledgement-expired" in {each.trouble.rule for each in late.rulings}


def test_acknowledgement_of_nothing_is_reported() -> None:
    found = judged(acknowledged=[Acknowledgement("0" * 32, "x", None, 1)])
    assert [each.trouble.rule for each in found.rulings] == ["acknowledgement-unused"]


def test_rule_that_is_off_is_not_reported() -> None:
    assert list(judged(LOCK, settings=(setting("blocking-index: off"),)).rulings) == []
