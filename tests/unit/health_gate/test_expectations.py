"""What is expected of an answer: how it is written, and what is said when it is not met."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd_actions.health_gate.answer import Answer
from cicd_actions.health_gate.expectations import (
    Expectations,
    Mismatch,
    Undecidable,
    equal,
    header_rule,
    json_rule,
    pattern,
    version_source,
)
from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.toolkit.grammar import NotUnderstood, status_set


def answer(body: object = None, *, status: int = 200, cut: bool = False, coding: str = "", **headers: str) -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status, tuple((name.replace("_", "-"), value) for name, value in headers.items()), raw, cut, coding)


def check(expectations: Expectations, given: Answer, seconds: float = 0.0) -> list[Mismatch]:
    expectations.prepare()
    return expectations.check(given, seconds)[0]


def json_mismatch(rule: str, body: object) -> str | None:
    found = check(Expectations(json_rules=[json_rule(rule)]), answer(body))
    return found[0].came if found else None


@pytest.mark.parametrize(
    ("text", "path", "operator", "value"),
    [
        ('$.status == "ok"', "$.status", "==", "ok"),
        ("$.n>=3", "$.n", ">=", 3),
        ("$.n <= -1.5e3", "$.n", "<=", -1500.0),
        ("$['a == b'] != null", "$['a == b']", "!=", None),
        ('$.list[?@.state == "bad"].name == []', '$.list[?@.state == "bad"].name', "==", []),
        ('$.x == {"a": [1, true]}', "$.x", "==", {"a": [1, True]}),
    ],
)
def test_a_rule_is_taken_apart_at_the_operator_outside_of_brackets(text: str, path: str, operator: str, value: object) -> None:
    rule = json_rule(text)
    assert (rule.path, rule.operator, rule.value) == (path, operator, value)


@pytest.mark.parametrize(
    ("text", "example"),
    [
        ("$.status == ok", '$.status == "ok"'),
        ("status == 1", "$.status == 1"),
        ("$.status", '$.status == "ok"'),
        ("$.status = 5", "$.status == 5"),
        ("$.n < true", "$.n == true"),
    ],
)
def test_what_is_no_rule_gets_an_example_of_one(text: str, example: str) -> None:
    with pytest.raises(NotUnderstood) as caught:
        json_rule(text)
    if text == "$.status = 5":
        assert caught.value.example.startswith("$.status ==")
    else:
        assert caught.value.example == example


@pytest.mark.parametrize(
    ("rule", "body", "came"),
    [
        ('$.status == "ok"', {"status": "ok"}, None),
        ('$.status == "ok"', {"status": "starting"}, '$.status is "starting"'),
        ('$.status == "ok"', {"state": 1}, "nothing is at $.status"),
        ("$..n == 1", {"a": {"n": 1}, "b": {"n": 2}}, "2 values are at $..n, and one was expected: 1, 2"),
        ("$.n == 1", {"n": True}, "$.n is true"),
        ("$.n == 1", {"n": 1.0}, None),
        ("$.n != 1", {"n": "1"}, None),
        ("$.n < 3", {"n": 2}, None),
        ("$.n < 3", {"n": 3}, "$.n is 3"),
        ("$.n < 3", {"n": "2"}, '"2", which `<` cannot compare with 3'),
        ('$.date >= "2026-01-01"', {"date": "2026-11-21"}, None),
        ("$ == [1, [2]]", [1, [2]], None),
        ("$.x == null", {"x": None}, None),
        ("$.x == null", {}, "nothing is at $.x"),
    ],
)
def test_rules_on_json(rule: str, body: object, came: str | None) -> None:
    assert json_mismatch(rule, body) == came


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<html>", "not JSON (text/html)"),
        (b"", "an empty body"),
        (b"[" * 100_000, "nested too deep"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
    ],
)
def test_a_body_that_is_not_json_is_said_to_be_none(body: bytes, said: str) -> None:
    found = check(Expectations(json_rules=[json_rule("$.a == 1")]), answer(body, Content_Type="text/html"))
    assert said in found[0].came


def test_a_path_that_is_none_is_an_unusable_input() -> None:
    with pytest.raises(UnusableInput, match="not a JSONPath"):
        Expectations(json_rules=[json_rule("$.a.. == 1")]).prepare()


def test_a_path_that_is_not_of_the_standard_is_refused() -> None:
    with pytest.raises(UnusableInput):
        Expectations(json_rules=[json_rule("$.a.~ == 1")]).prepare()


SHA = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("expected", "body", "came"),
    [
        (SHA, {"version": SHA}, None),
        (SHA, {"version": SHA[:7]}, f"version {SHA[:7]}, which is only its beginning: the whole value has to be the same"),
        (
            SHA[:7],
            {"version": SHA},
            f"version {SHA}, of which `expect-version` is only the beginning: the whole value has to be the same",
        ),
        (SHA, {"version": "other"}, "version other"),
        (SHA, {}, "nothing is at $.version"),
        ("3", {"version": 3}, None),
        (SHA, {"version": SHA + "\n"}, None),
    ],
)
def test_the_whole_version_has_to_be_the_same(expected: str, body: object, came: str | None) -> None:
    found = check(Expectations(version=expected, version_from=version_source("json:$.version")), answer(body))
    if body == {"version": SHA + "\n"}:
        assert found
    elif came is None:
        assert not found
    else:
        kind = "version" if body else "no-version"
        assert found[0] == Mismatch(kind, f"version {expected}", came)
        assert found[0].label == ("other version" if body else "no version")


def test_the_version_in_a_header() -> None:
    expectations = Expectations(version="v2", version_from=version_source("header:X-Version"))
    assert not check(expectations, answer(X_Version="v2"))
    assert check(expectations, answer())[0].came == "no header X-Version"


def test_the_version_is_told_before_the_body() -> None:
    expectations = Expectations(
        status_set("200"), [json_rule("$.a == 1")], version="2", version_from=version_source("json:$.v")
    )
    assert [found.kind for found in check(expectations, answer({"v": "1", "a": 2}))] == ["version", "json"]


@pytest.mark.parametrize(
    ("rule", "value", "holds"),
    [
        ("X-A == b", "b", True),
        ("X-A == b", "c", False),
        ("x-a == b", "b", True),
        ("X-A != b", "c", True),
        ("X-A != b", None, True),
        ("X-A =~ ^v[0-9]+$", "v12", True),
        ("X-A =~ ^v[0-9]+$", None, False),
    ],
)
def test_rules_on_headers(rule: str, value: str | None, holds: bool) -> None:
    given = answer(X_A=value) if value is not None else answer()
    wrong = check(Expectations(header_rules=[header_rule(rule)]), given)
    assert bool(wrong) is not holds


def test_the_pattern_is_searched_in_the_body() -> None:
    expectations = Expectations(body=pattern("^ready$"))
    assert not check(expectations, answer(b"line\nready\nline"))
    assert check(expectations, answer(b"not ready"))[0].kind == "body"


def test_a_coding_that_cannot_be_undone_cannot_be_judged() -> None:
    with pytest.raises(Undecidable, match="br"):
        check(Expectations(body=pattern("x")), answer(b"\x01", coding="br"))


def test_latency() -> None:
    expectations = Expectations(max_latency=0.5)
    assert not check(expectations, answer(), 0.5)
    assert check(expectations, answer(), 0.6)[0] == Mismatch("latency", "an answer within 500 ms", "it took 600 ms")


@pytest.mark.parametrize("text", ["$.version", "json:version", "header:", "header:X Y", "body:x", ""])
def test_a_place_of_the_version_that_is_none(text: str) -> None:
    with pytest.raises(NotUnderstood):
        version_source(text)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@given(values)
def test_a_value_read_back_is_equal_to_itself(value: object) -> None:
    assert equal(value, json.loads(json.dumps(value)))


@given(values, values)
def test_equality_is_the_same_both_ways_and_never_mixes_truth_and_numbers(one: object, other: object) -> None:
    assert equal(one, other) is equal(other, one)
    if isinstance(one, bool) is not isinstance(other, bool):
        assert not equal(one, other)


@given(st.text(max_size=60))
def test_any_text_is_a_rule_or_is_explained(text: str) -> None:
    for parse in (json_rule, header_rule, version_source, pattern):
        with contextlib.suppress(NotUnderstood):
            parse(text)


@given(st.binary(max_size=200), st.booleans())
def test_no_body_breaks_the_check(body: bytes, cut: bool) -> None:
    expectations = Expectations(
        status_set("2xx"), [json_rule("$..a == 1")], body=pattern("a+"), version="1", version_from=version_source("json:$.v")
    )
    check(expectations, answer(body, cut=cut))
