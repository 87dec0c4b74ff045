"""The guide names every rule of verify-migrations, with a bad and a good migration."""

from __future__ import annotations

import re
from pathlib import Path

from cicd_actions.verify_migrations.rules import CLASSES, RULES, WORDS

GUIDE = (Path(__file__).resolve().parents[2] / "docs/migrations.md").read_text("utf-8")


def test_guide_shows_a_bad_and_a_good_migration_for_each_rule() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \| (.+?) \| (.+) \| (.+) \|$", GUIDE, re.MULTILINE)
    assert {row[0] for row in rows} == {rule.id for rule in RULES.values() if rule.group}
    assert {row[0]: row[1] for row in rows} == {rule.id: rule.title for rule in RULES.values() if rule.group}


def test_every_rule_has_a_known_class_and_says_what_to_do() -> None:
    assert {rule.group for rule in RULES.values()} == {*CLASSES, ""}
    told = [rule.told(tool) for rule in RULES.values() for tool in WORDS]
    assert all(text.endswith((".", ").")) for text in [*told, *(rule.why for rule in RULES.values())])
