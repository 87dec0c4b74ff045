"""What follows from a change: by `rules`, by acceptance, by deprecation, by `fail-on`."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.toolkit.grammar import NotUnderstood
from cicd_actions.toolkit.verdict import Verdict
from cicd_actions.verify_openapi_client import acknowledge, levels
from cicd_actions.verify_openapi_client.breaking.rules import RULES, Effect
from cicd_actions.verify_openapi_client.drift import Drift
from cicd_actions.verify_openapi_client.judgement import Compared, Judgement
from cicd_actions.verify_openapi_client.levels import Level
from cicd_actions.verify_openapi_client.overview import Overview
from cicd_actions.verify_openapi_client.reporting import summary
from tests.unit.verify_openapi_client.documents import changes, document

OK = {"200": {"description": ""}}
TODAY = dt.date(2026, 6, 30)


def parameter(name: str = "q", **fields: Any) -> Any:
    return {"name": name, "in": "query", "schema": {"type": "string"}, **fields}


def api(*parameters: Any, paths: tuple[str, ...] = ("/items", "/internal/jobs")) -> Any:
    return document({path: {"get": {"responses": OK, "parameters": list(parameters)}} for path in paths})


def judged(old: Any, new: Any, *rules: str, fail_on: tuple[str, ...] = ("breaking",)) -> Judgement:
    nothing = Overview((), ())
    compared = Compared("base", changes=tuple(changes(old, new)), overview=nothing)
    settings = [levels.setting(line) for line in rules]
    return Judgement(
        drift=Drift(),
        causes=(),
        touched=nothing,
        client=("client.ts",),
        fix_command="",
        fixed=(),
        first_line=1,
        compared=compared,
        acknowledged=(),
        acknowledge_file="",
        today=TODAY,
        fail_on=fail_on,
        rules=settings,
        spec_file="",
        lines={},
    )


@pytest.mark.parametrize(
    ("rules", "open_", "verdict"),
    [
        ([], 2, Verdict.FAIL),
        (["parameter-removed: off"], 0, Verdict.PASS),
        (["parameter-removed: warn"], 2, Verdict.PASS),
        (["parameter-*: warn"], 2, Verdict.PASS),
        (["parameter-removed at /internal/*: off"], 1, Verdict.FAIL),
        (["parameter-removed: off", "parameter-removed at /items: error"], 1, Verdict.FAIL),
        (["parameter-removed: error", "parameter-removed at GET /*: off"], 0, Verdict.PASS),
        (["parameter-removed at #/paths/*/parameters/query:q: off"], 0, Verdict.PASS),
        (["parameter-removed at Item: off"], 2, Verdict.FAIL),
    ],
)
def test_rules_set_the_level_by_id_and_place(rules: list[str], open_: int, verdict: Verdict) -> None:
    judgement = judged(api(parameter()), api(), *rules)
    assert len(judgement.open(Effect.BREAKING)) == open_
    assert judgement.verdict is verdict


def test_a_rule_at_error_fails_without_fail_on() -> None:
    assert judged(api(parameter()), api(), fail_on=("drift",)).verdict is Verdict.PASS
    assert judged(api(parameter()), api(), "parameter-removed: error", fail_on=("drift",)).failing == ["breaking"]


def test_a_change_of_several_operations_is_turned_off_only_where_all_of_them_are() -> None:
    def shared(kind: str) -> Any:
        reference = {"$ref": "#/components/schemas/Item"}
        body = {"content": {"application/json": {"schema": reference}}}
        paths = {path: {"post": {"requestBody": body, "responses": OK}} for path in ("/items", "/internal/jobs")}
        return document(paths, components={"schemas": {"Item": {"type": kind}}})

    both = shared("number"), shared("integer")
    assert judged(*both, "request-type at /internal/*: off").verdict is Verdict.FAIL
    assert judged(*both, "request-type at Item: off").verdict is Verdict.PASS
    assert judged(*both, "request-type at /i*: off").verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("fields", "verdict"),
    [
        ({}, Verdict.FAIL),
        ({"deprecated": True}, Verdict.PASS),
        ({"deprecated": True, "x-sunset": "2026-06-30"}, Verdict.PASS),
        ({"deprecated": True, "x-sunset": "2026-07-01"}, Verdict.FAIL),
        ({"deprecated": True, "x-sunset": "soon"}, Verdict.FAIL),
        ({"x-sunset": "2026-01-01"}, Verdict.FAIL),
    ],
)
def test_a_removal_after_deprecation_and_sunset_is_accepted(fields: Any, verdict: Verdict) -> None:
    old = api(parameter(**fields))
    assert judged(old, api()).verdict is verdict
    assert judged(old, api(), "parameter-removed: error").verdict is Verdict.FAIL


@pytest.mark.parametrize("line", ["", "a", ": off", "a: of", "a at /x"])
def test_a_setting_that_is_unclear_is_an_error(line: str) -> None:
    with pytest.raises(NotUnderstood):
        levels.setting(line)


def test_a_setting_of_an_unknown_rule_is_an_error_whose_suggestion_is_accepted() -> None:
    levels.check([levels.setting("response-*: off")], RULES)
    with pytest.raises(UnusableInput) as caught:
        levels.check([levels.setting("response-enum-valu at /x: warn")], RULES)
    suggested = levels.setting(caught.value.fix.splitlines()[-1])
    assert suggested == levels.Setting("response-enum-value", "/x", Level.WARN)


def test_the_same_change_of_several_operations_is_one_group() -> None:
    judgement = judged(api(parameter(), parameter("r")), api())
    groups = summary.grouped(judgement.open(Effect.BREAKING))
    assert [len(group) for group in groups] == [2, 2]


def test_an_entry_to_paste_is_read_back(tmp_path: Path) -> None:
    what = 'The property `a"b: #x` is\nremoved: \u2028 \\ ü.'
    (tmp_path / "a").write_text(acknowledge.entry("0" * 32, what), encoding="utf-8")
    (one,) = acknowledge.load(tmp_path / "a", "a")
    assert one.reason.startswith("TODO: say why this is right.")
