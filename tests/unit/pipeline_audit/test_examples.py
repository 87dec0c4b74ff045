"""Each rule's own examples, which its page shows: the bad one breaks it, the good one keeps it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cicd_actions.pipeline_audit.rules.catalogue import RULES
from cicd_actions.pipeline_audit.rules.definition import Status
from tests.unit.pipeline_audit.repositories import judged


def changed(files: dict[str, str]) -> frozenset[str]:
    return frozenset(path for path in files if path.endswith(".py"))


@pytest.mark.parametrize("rule", RULES)
def test_bad_example_breaks_the_rule(rule: str, tmp_path: Path) -> None:
    files = dict(RULES[rule].bad)
    result = judged(tmp_path, rule, files, changed=changed(files))
    assert result.status is Status.FAIL, result.answers


@pytest.mark.parametrize("rule", RULES)
def test_good_example_keeps_the_rule(rule: str, tmp_path: Path) -> None:
    files = dict(RULES[rule].good)
    result = judged(tmp_path, rule, files, changed=changed(files))
    assert result.status in {Status.PASS, Status.INCONCLUSIVE, Status.NOT_APPLICABLE}, result.broken
    if rule not in {"unapproved-production", "unscanned-dependencies", "untrusted-checkout"}:
        assert result.status is Status.PASS, result.answers
