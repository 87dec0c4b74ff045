"""Every rule on at least three repositories that break it, and three that do not."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

import pytest

from cicd_actions.pipeline_audit import rules
from cicd_actions.pipeline_audit.rules.catalogue import RULES
from cicd_actions.pipeline_audit.rules.definition import Rule, Status
from tests.unit.pipeline_audit.cases import CASES, Files
from tests.unit.pipeline_audit.repositories import judged


def files(case: str | Files) -> Files:
    return {".github/workflows/w.yml": case} if isinstance(case, str) else case


def changed(case: Files) -> frozenset[str]:
    return frozenset(path for path in case if path.endswith(".py"))


BAD = [(rule, index) for rule, (bad, _) in CASES.items() for index in range(len(bad))]
GOOD = [(rule, index) for rule, (_, good) in CASES.items() for index in range(len(good))]


def test_every_rule_that_is_defined_is_in_the_catalogue_worst_first() -> None:
    modules = [importlib.import_module(found.name) for found in pkgutil.iter_modules(rules.__path__, f"{rules.__name__}.")]
    assert {each.id for module in modules for each in vars(module).values() if isinstance(each, Rule)} == set(RULES)
    ranks = [rule.tier.rank for rule in RULES.values()]
    assert ranks == sorted(ranks)


def test_every_rule_has_three_cases_of_each_kind() -> None:
    assert set(CASES) == set(RULES)
    assert [rule for rule, (bad, good) in CASES.items() if len(bad) < 3 or len(good) < 3] == []


@pytest.mark.parametrize(("rule", "index"), BAD)
def test_rule_broken_repository_fails_with_a_place_in_it(rule: str, index: int, tmp_path: Path) -> None:
    case = files(CASES[rule][0][index])
    result = judged(tmp_path, rule, case, changed=changed(case))
    assert result.status is Status.FAIL, result.answers
    for broken in result.broken:
        assert broken.place.file in case
        assert 1 <= broken.place.line <= case[broken.place.file].count("\n") + 1


@pytest.mark.parametrize(("rule", "index"), GOOD)
def test_rule_kept_repository_does_not_fail(rule: str, index: int, tmp_path: Path) -> None:
    case = files(CASES[rule][1][index])
    result = judged(tmp_path, rule, case, changed=changed(case))
    assert result.status is not Status.FAIL, result.broken


def test_rules_of_a_repository_without_workflows_find_nothing(tmp_path: Path) -> None:
    told = {rule: judged(tmp_path, rule, {"README.md": "x"}).status for rule in RULES}
    assert {rule for rule, status in told.items() if status is not Status.NOT_APPLICABLE} == {"literal-secret"}
    assert told["literal-secret"] is Status.PASS
