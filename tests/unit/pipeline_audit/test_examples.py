"""Each rule's own examples, which its page shows: the bad one breaks it, the good one keeps it."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from cicd_actions.pipeline_audit.rules.catalogue import RULES
from cicd_actions.pipeline_audit.rules.definition import Rule, Status
from cicd_actions.toolkit import yaml12
from cicd_actions.toolkit.inputs import load
from cicd_actions.toolkit.redaction import Redactor
from cicd_actions.toolkit.yaml12 import Mapping, Node, Scalar
from cicd_actions.workflows.files import scalar_text
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


def suggested(node: Node | None) -> Iterator[tuple[str, dict[str, str]]]:
    """Yields the actions of ours that a fix names, each with its inputs."""
    for value in [value for _, value in node.entries] if isinstance(node, Mapping) else getattr(node, "items", ()):
        yield from suggested(value)
    uses = scalar_text(node.get("uses")) if isinstance(node, Mapping) else ""
    given = node.get("with") if isinstance(node, Mapping) else None
    if found := re.match(r"org/cicd-actions/([a-z-]+)@", uses):
        entries = given.entries if isinstance(given, Mapping) else ()
        yield found[1], {key.text: value.text for key, value in entries if isinstance(value, Scalar)}


@pytest.mark.parametrize("rule", [rule for rule in RULES.values() if "- `" not in rule.fix], ids=lambda rule: rule.id)
def test_fix_of_a_rule_is_accepted_by_the_action_that_it_names(rule: Rule) -> None:
    for name, given in suggested(yaml12.read(rule.fix).root):
        inputs = importlib.import_module(f"cicd_actions.{name.replace('-', '_')}.inputs").Inputs
        # An expression has its value when the step runs.
        load(inputs, {key: re.sub(r"\$\{\{.*?\}\}", "true", text) for key, text in given.items()}, Redactor())
