"""What follows from a change: by `rules`, by acceptance, by deprecation, by `fail-on`."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.toolkit.findings import Finding, Severity
from cicd_actions.toolkit.grammar import NotUnderstood
from cicd_actions.toolkit.verdict import Verdict
from cicd_actions.verify_openapi_client import acknowledge, levels
from cicd_actions.verify_openapi_client.acknowledge import Acknowledgement
from cicd_actions.verify_openapi_client.breaking.change import Change
from cicd_actions.verify_openapi_client.breaking.rules import RULES, Effect, Rule
from cicd_actions.verify_openapi_client.diagnosis import Cause
from cicd_actions.verify_openapi_client.drift import ChangedFile, Drift
from cicd_actions.verify_openapi_client.judgement import (
    DRIFT,
    EXPIRED,
    NONDETERMINISTIC,
    SKIPPED,
    UNUSED,
    Compared,
    Judgement,
    Ruling,
    subject,
)
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


BREAKING, NAME = RULES["parameter-removed"], RULES["path-parameter-name"]


def change(rule: Rule = BREAKING, *operations: str, what: str = "It is gone.", in_base: bool = False, **more: Any) -> Change:
    return Change(rule, what, operations, "/paths/x", in_base, "#/paths/x", what, **more)


def judgement(*found: Change, **more: Any) -> Judgement:
    """The judgement of these changes; `fail_on`, `drift`, `compared` and the others as given."""
    given = {"compared": Compared("base", changes=found), **more}
    return replace(judged(document(), document()), **given)


DRIFTED = Drift((ChangedFile("c/a.ts", "renamed", "c/old.ts"), ChangedFile("c/b.ts", "added")))
UNSTABLE = replace(DRIFTED, unstable=("c/b.ts", "c/a.ts"), first_lines=(("c/a.ts", 3), ("c/b.ts", 7)))
UNDECIDED = Compared(skipped="the base is gone", fix="Set `base`.", undecided=True)


@pytest.mark.parametrize(
    ("more", "failing", "verdict"),
    [
        ({}, [], Verdict.PASS),
        ({"drift": DRIFTED}, [], Verdict.PASS),
        ({"drift": DRIFTED, "fail_on": ("drift",)}, ["drift"], Verdict.FAIL),
        ({"drift": DRIFTED, "fail_on": ("nondeterministic",)}, [], Verdict.PASS),
        # A client that comes out differently each time proves nothing about the one in git.
        ({"drift": UNSTABLE}, [], Verdict.PASS),
        ({"drift": UNSTABLE, "fail_on": ("drift",)}, [], Verdict.INCONCLUSIVE),
        ({"drift": UNSTABLE, "fail_on": ("drift", "nondeterministic")}, ["nondeterministic"], Verdict.FAIL),
        ({"compared": UNDECIDED}, [], Verdict.INCONCLUSIVE),
        ({"compared": UNDECIDED, "fail_on": ("drift",)}, [], Verdict.PASS),
        ({"compared": UNDECIDED, "fail_on": (), "rules": [levels.setting("a: error")]}, [], Verdict.INCONCLUSIVE),
        ({"compared": UNDECIDED, "fail_on": (), "rules": [levels.setting("a: warn")]}, [], Verdict.PASS),
        ({"compared": UNDECIDED, "fail_on": (NAME.effect.value,)}, [], Verdict.INCONCLUSIVE),
        ({"compared": replace(UNDECIDED, undecided=False)}, [], Verdict.PASS),
        ({"compared": UNDECIDED, "drift": DRIFTED, "fail_on": ("drift", "breaking")}, ["drift"], Verdict.FAIL),
    ],
)
def test_verdict_follows_from_drift_and_comparison_only_where_they_may_fail(
    more: dict[str, Any], failing: list[str], verdict: Verdict
) -> None:
    found = judgement(**more)
    assert (found.failing, found.verdict) == (failing, verdict)
    assert found.drifted == (more.get("drift") is DRIFTED)


def test_failing_names_each_effect_apart_and_severity_follows_fail_on() -> None:
    both = (change(BREAKING), change(NAME))
    assert judgement(*both, fail_on=("breaking",)).failing == ["breaking"]
    assert judgement(*both, fail_on=(NAME.effect.value,)).failing == [NAME.effect.value]
    assert judgement(*both, fail_on=("breaking", NAME.effect.value)).failing == ["breaking", NAME.effect.value]
    found = judgement(*both, fail_on=("drift", "breaking"))
    assert (found.severity("drift"), found.severity("nondeterministic")) == (Severity.ERROR, Severity.WARNING)
    assert [each.rule.id for each in found.open(NAME.effect)] == [NAME.id]
    assert [found.fails(each) for each in both] == [True, False]


def accepted(of: Change, expires: dt.date | None = None, reason: str = "No caller uses it.") -> Acknowledgement:
    return Acknowledgement(of.fingerprint, reason, expires, 4)


def test_accepted_change_counts_again_after_its_last_day_and_no_other_is_accepted_with_it() -> None:
    one, other = change(), change(what="Another is gone.")
    assert judgement(one, acknowledged=[accepted(one)]).verdict is Verdict.PASS
    assert judgement(one, other, acknowledged=[accepted(one)]).failing == ["breaking"]
    assert judgement(one, acknowledged=[accepted(other), accepted(one, TODAY)]).verdict is Verdict.PASS
    assert judgement(one, acknowledged=[accepted(one, TODAY - dt.timedelta(1))]).verdict is Verdict.FAIL
    found = judgement(one, acknowledged=[accepted(one, TODAY)])
    assert found.ruling(one) == Ruling(Level.ERROR, "No caller uses it.", "2026-06-30")
    assert judgement(one, acknowledged=[accepted(one)]).ruling(one).until == ""
    off = judgement(one, acknowledged=[accepted(one)], rules=[levels.setting("parameter-removed: off")])
    assert off.ruling(one) == Ruling(Level.OFF)


def test_removal_after_deprecation_says_so() -> None:
    gone = change(deprecated=True, sunset="2026-06-01T00:00:00Z")
    assert judgement(gone).ruling(gone).reason == (
        "The base had marked it as `deprecated`, with `x-sunset: 2026-06-01T00:00:00Z`."
    )
    plain = change(deprecated=True)
    assert judgement(plain).ruling(plain) == Ruling(Level.ERROR, "The base had marked it as `deprecated`.")
    warned = judgement(plain, rules=[levels.setting("parameter-removed: warn")])
    assert warned.ruling(plain) == Ruling(Level.WARN, "The base had marked it as `deprecated`.")


def test_findings_of_drift_name_the_first_file_the_cause_and_the_fix() -> None:
    told = judgement(drift=DRIFTED, fail_on=("drift",), first_line=5, fix_command="make client")
    (found,) = told.findings()
    what = "The client in git differs from the one this backend generates: c/a.ts (was c/old.ts) renamed and 1 more."
    assert found == Finding(DRIFT, Severity.ERROR, what, "c/old.ts", 5, fix="make client")
    likely = [Cause("a", "Line ends differ.", "Write LF.", certain=False), Cause("b", "And more.", "x", certain=True)]
    (found,) = replace(told, causes=likely, fail_on=()).findings()
    assert (found.severity, found.message) == (Severity.WARNING, f"{what} Line ends differ. And more.")
    assert found.fix == "make client"
    (found,) = replace(told, causes=likely[::-1]).findings()
    assert found.fix == "x"
    (found,) = replace(told, drift=Drift((ChangedFile("c/new.ts", "untracked"),))).findings()
    assert found.file == "c/new.ts"
    assert found.message.endswith("generates: c/new.ts untracked.")
    assert judgement().findings() == []


@pytest.mark.parametrize(
    ("fail_on", "severity"),
    [((), Severity.WARNING), (("drift",), Severity.ERROR), (("nondeterministic",), Severity.ERROR)],
)
def test_findings_of_an_unstable_client_name_its_first_line(fail_on: tuple[str, ...], severity: Severity) -> None:
    (found,) = judgement(drift=UNSTABLE, fail_on=fail_on, first_line=5).findings()
    assert found == Finding(
        NONDETERMINISTIC,
        severity,
        "Two generations of the client differ (2 files, first in line 7 of c/b.ts), so it is unknown whether the client in"
        " git is up to date.",
        "c/b.ts",
        7,
        fix="Make the generator deterministic: remove dates and random names, and sort its files.",
    )


def test_findings_of_changes_have_the_severity_of_their_level_and_the_line_of_their_place() -> None:
    one, other = change(BREAKING, "GET /x", "PUT /x", "GET /y"), change(NAME)
    told = judgement(one, other, spec_file="api.json", lines={"/paths/x": 12})
    first, second = told.findings()
    assert first == Finding(
        "parameter-removed",
        Severity.ERROR,
        f"GET /x and 2 more: It is gone. This breaks {BREAKING.whom}: {BREAKING.why}",
        "api.json",
        12,
        fix=BREAKING.compatibly,
        fingerprint=one.fingerprint,
        pointer="/paths/x",
    )
    assert (second.rule, second.severity) == (NAME.id, Severity.WARNING)
    assert second.message.startswith("It is gone. This breaks")
    # What is gone stands on no line of the document that remains.
    assert [each.line for each in judgement(change(in_base=True), spec_file="a", lines={"/paths/x": 1}).findings()] == [None]
    # A specification that is not in git has no lines there: the client's file is named.
    (found,) = judgement(one, lines={"/paths/x": 12}).findings()
    assert (found.file, found.line) == ("client.ts", None)
    assert judgement(one, client=()).findings()[0].file == ""
    assert subject(change(BREAKING, "GET /x")) == "GET /x: "
    assert subject(change(BREAKING, "GET /x", "PUT /x")) == "GET /x and 1 more: "


def test_findings_of_accepted_changes_are_notices_with_the_reason_and_those_turned_off_are_none() -> None:
    one, other = change(), change(NAME)
    told = judgement(one, other, acknowledged=[accepted(one)], rules=[levels.setting(f"{NAME.id}: off")])
    (found,) = told.findings()
    assert found.severity is Severity.NOTICE
    assert found.message.endswith(f"{BREAKING.why} Accepted: No caller uses it.")
    first, second = judgement(one, other, rules=[levels.setting(f"{one.rule.id}: off")]), judgement(one, other)
    assert [len(each.findings()) for each in (first, second)] == [1, 2]


@pytest.mark.parametrize(
    ("undecided", "fail_on", "severity"),
    [
        (True, ("breaking",), Severity.ERROR),
        (False, ("breaking",), Severity.WARNING),
        (True, ("drift",), Severity.NOTICE),
        (False, (), Severity.NOTICE),
    ],
)
def test_findings_of_a_skipped_comparison_count_as_much_as_it_would(
    undecided: bool, fail_on: tuple[str, ...], severity: Severity
) -> None:
    (found,) = judgement(compared=replace(UNDECIDED, undecided=undecided), fail_on=fail_on).findings()
    what = "Could not check for breaking changes: the base is gone."
    assert found == Finding(SKIPPED, severity, what, fix="Set `base`.")


def test_findings_of_acknowledgements_that_ended_or_match_nothing() -> None:
    one, gone = change(), change(what="Another.")
    day = TODAY - dt.timedelta(1)
    told = judgement(one, acknowledged=[accepted(gone), accepted(one, day)], acknowledge_file="a.yml")
    _, unused, ended = told.findings()
    assert unused == Finding(
        UNUSED,
        Severity.NOTICE,
        f"The acknowledgement of {gone.fingerprint} no longer matches a change.",
        "a.yml",
        4,
        fix="Remove it.",
    )
    assert ended == Finding(
        EXPIRED,
        Severity.WARNING,
        f"The acknowledgement of {one.fingerprint} ended on 2026-06-29.",
        "a.yml",
        4,
        fix="Make the change compatible, or write a later day with the reason for it.",
    )
    # Without a comparison it is not known what still matches.
    assert [each.rule for each in replace(told, compared=UNDECIDED).findings()] == [SKIPPED]
