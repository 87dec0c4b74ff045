"""What is expected of an answer: how it is written, and what is said when it is not met."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cicd_actions.health_gate.answer import Answer
from cicd_actions.health_gate.expectations import Expectations, Mismatch, Undecidable, equal
from cicd_actions.health_gate.rules import compiled, header_rule, json_rule, pattern, patterns, version_source
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
        ("$.status", "$.status exists"),
        ("$.status = 5", "$.status == 5"),
        ("$.status = up", '$.status == "up"'),
        ("$.n < true", "$.n == true"),
        ("$.n count", "$.n count == 1"),
        ("$.n every", "$.n every == true"),
        ("$.n count == two", "$.n count == 1"),
        ("$.n count =~ 2", "$.n count >= 1"),
        ("$.n exists == 1", "$.n exists"),
        ("n exists", "$.n exists"),
        ("$.a == ~ ^o", '$.a == "~ ^o"'),
        ("nonsense", "$.status exists"),
        ("x y == 1", '$["x y"] == 1'),
        ("$..x$..x", ""),
        ("$.a every =~ [[", r"$.a every =~ \[\["),
        ('$.a =~ "("', r"$.a =~ \("),
    ],
)
def test_json_rule_refused_line_is_quoted_and_the_example_is_a_rule(text: str, example: str) -> None:
    with pytest.raises(NotUnderstood) as caught:
        json_rule(text)
    assert caught.value.example == example
    assert text in str(caught.value)
    if example:
        compiled(json_rule(example).path)


@given(st.text(alphabet="$.a[]*=~<>! \"'\\1existcounvry", max_size=30))
@example("$.a =~[[")
@example("$[")
@example("$[=")
def test_json_rule_no_example_is_refused(text: str) -> None:
    try:
        json_rule(text)
    except NotUnderstood as error:
        if error.example:
            compiled(json_rule(error.example).path)


@given(st.text(alphabet="$.a[]'jsonheader: X-", max_size=20))
@example("version.$")
def test_version_source_no_example_is_refused(text: str) -> None:
    try:
        version_source(text)
    except NotUnderstood as error:
        made = version_source(error.example)
        if made.kind == "json":
            compiled(made.place)


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
        ("$.x exists", {"x": None}, None),
        ("$.x exists", {}, "nothing is at $.x"),
        ("$.x absent", {}, None),
        ("$.x absent", {"x": 0}, "$.x is 0"),
        ("$.x[*] absent", {"x": [0, 1]}, "2 values are at $.x[*]"),
        ("$.exists exists", {"exists": 1}, None),
        ("$.s =~ ^o", {"s": "ok"}, None),
        ('$.s =~ "^o.$"', {"s": "ok"}, None),
        ("$.s =~ ^k", {"s": "ok"}, '$.s is "ok"'),
        ("$.s =~ 1", {"s": 1}, "1, which `=~` cannot match"),
        ("$.list[*] count == 2", {"list": [1, 2]}, None),
        ("$.list[*] count >= 3", {"list": [1, 2]}, "2 at $.list[*]"),
        ("$.list count == 2", {"list": [1, 2]}, "1 at $.list, an array of 2"),
        ("$.none[*] count == 0", {}, None),
        ("$.list[*].ok every == true", {"list": [{"ok": True}, {"ok": True}]}, None),
        ("$.list[*].ok every == true", {"list": [{"ok": True}, {"ok": False}]}, "one of 2 values at $.list[*].ok is false"),
        ("$.list[*].ok every == true", {"list": []}, "nothing is at $.list[*].ok"),
        ("$.list[*] every =~ ^v", {"list": ["v1", "v2"]}, None),
        ("$.list[*] every < 3", {"list": [1, 5]}, "one of 2 values at $.list[*] is 5"),
        ("$.list[?@.a == 1] exists", {"list": [{"a": 1}]}, None),
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


def test_json_body_with_a_long_number_is_read_and_no_rule_takes_it_for_another() -> None:
    body = f'{{"ok": true, "n": {"9" * 5000}}}'.encode()
    rules = [json_rule("$.ok == true"), json_rule("$.n > 1")]
    assert check(Expectations(json_rules=rules), answer(body)) == []
    with pytest.raises(NotUnderstood, match="is not a JSON value"):
        json_rule(f"$.n == {'8' * 5000}")


def test_a_path_that_is_none_is_an_unusable_input() -> None:
    with pytest.raises(UnusableInput, match="not a JSONPath"):
        Expectations(json_rules=[json_rule("$.a.. == 1")]).prepare()


@pytest.mark.parametrize("inside", ["1e999", "9" * 5000, f"?@.a > {'9' * 5000}"], ids=["infinite", "too long", "compared"])
def test_path_with_a_number_that_python_does_not_convert_is_refused(inside: str) -> None:
    with pytest.raises(NotUnderstood, match=r"is not a JSONPath of RFC 9535: \w"):
        compiled(f"$[{inside}]")


def test_a_path_that_is_not_of_the_standard_is_refused() -> None:
    with pytest.raises(UnusableInput):
        Expectations(json_rules=[json_rule("$.a.~ == 1")]).prepare()


SHA = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("expected", "body", "came"),
    [
        (SHA, {"version": SHA}, None),
        (SHA, {"version": SHA[:7]}, f"version {SHA[:7]}, which is only its beginning"),
        (SHA[:7], {"version": SHA}, f"version {SHA}, which only begins so"),
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
    expectations = Expectations(body=patterns("^ready$"))
    assert not check(expectations, answer(b"line\nready\nline"))
    assert check(expectations, answer(b"not ready"))[0].kind == "body"


def test_patterns_a_block_of_yaml_has_one_a_line_and_all_must_match() -> None:
    expectations = Expectations(body=patterns("ok\n^v[0-9]$\n"))
    assert not check(expectations, answer(b"ok\r\nv2\r\n"))
    found = check(expectations, answer(b"nothing"))
    assert [each.expected for each in found] == ["a body that matches /ok/", "a body that matches /^v[0-9]$/"]
    assert found[0].came == 'a body that begins with "nothing"'


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("Prêt".encode(), "text/plain"),
        ("Prêt".encode(), ""),
        ("Prêt".encode("latin-1"), "text/plain; charset=iso-8859-1"),
        ("Prêt".encode("latin-1"), 'text/plain;x="1"; Charset = "ISO-8859-1"'),
        ("Prêt".encode("cp1252"), "text/plain;charset=windows-1252"),
        ("Prêt".encode("utf-16"), "text/plain; charset=iso-8859-1"),
        ("Prêt".encode("utf-32"), ""),
        ("Prêt".encode("utf-8-sig"), "text/plain; charset=latin1"),
        ("Prêt".encode("utf-16-be"), "text/plain; charset=utf-16be"),
        ("Prêt".encode(), "text/plain; charset=zip"),
        ("Prêt".encode(), "text/plain; charset=no-such-charset"),
        ("Prêt".encode(), "text/plain; charset=punycode"),
    ],
)
def test_text_is_decoded_by_its_mark_then_its_charset_then_utf_8(body: bytes, content_type: str) -> None:
    given = Answer(200, (("Content-Type", content_type),), body)
    assert given.text == "Prêt"
    assert not check(Expectations(body=patterns("^Prêt$")), given)
    framed = Answer(
        200, given.headers, body[:0] + json.dumps({"s": "Prêt"}, ensure_ascii=False).encode(given.charset or "utf-8")
    )
    assert not check(Expectations(json_rules=[json_rule('$.s == "Prêt"')]), framed)


def test_json_with_a_key_twice_cannot_be_judged() -> None:
    with pytest.raises(Undecidable, match='"status" twice'):
        check(Expectations(json_rules=[json_rule("$.a == 1")]), answer(b'{"a": 1, "b": {"status": 1, "status": 2}}'))


def test_check_tells_every_mismatch() -> None:
    expectations = Expectations(
        status_set("200"), [json_rule("$.a == 1"), json_rule("$.b == 1")], [header_rule("X == 1")], body=patterns("z\ny")
    )
    assert [each.kind for each in check(expectations, answer({}, status=503))] == [
        "status", "header", "json", "json", "body", "body",
    ]  # fmt: skip


def test_a_coding_that_cannot_be_undone_cannot_be_judged() -> None:
    with pytest.raises(Undecidable, match="br"):
        check(Expectations(body=patterns("x")), answer(b"\x01", coding="br"))


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
        status_set("2xx"), [json_rule("$..a == 1")], body=patterns("a+"), version="1", version_from=version_source("json:$.v")
    )
    check(expectations, answer(body, cut=cut))


def test_header_rule_refused_pattern_gives_a_whole_line() -> None:
    with pytest.raises(NotUnderstood) as caught:
        header_rule("X-Version =~ v(")
    assert caught.value.example == r"X-Version =~ v\("


@pytest.mark.parametrize("text", ["[[a]", "[a&&b]", "[a||b]", "[a~~b]"])
def test_pattern_python_warns_of_is_used_as_it_is(text: str) -> None:
    assert pattern(text).search("a")


@pytest.mark.parametrize(
    ("given", "place"),
    [
        (answer({"version": "old"}, X_Build="new"), "header:X-Build"),
        (answer({"version": "old", "build": {"sha": "new"}}), "json:$.build.sha"),
        (answer({"build": "new"}), "json:$.build"),
        (answer({"version": "old", "odd key": "new"}, X_Build="newer"), ""),
        (answer(b"new"), ""),
    ],
)
def test_check_of_another_version_finds_where_else_the_expected_one_stands(given: Answer, place: str) -> None:
    (found,) = check(Expectations(version="new", version_from=version_source("json:$.version")), given)
    assert found.elsewhere == place


@pytest.mark.parametrize(
    ("text", "example"),
    [("X-Build", "header:X-Build"), ("$.a", "json:$.a"), ("build.sha", "json:$.build.sha"), ("a b", "header:X-Version")],
)
def test_version_source_without_its_kind_suggests_what_was_meant(text: str, example: str) -> None:
    with pytest.raises(NotUnderstood) as caught:
        version_source(text)
    assert caught.value.example == example


def test_patterns_with_a_broken_line_suggest_all_lines() -> None:
    with pytest.raises(NotUnderstood) as caught:
        patterns("ready\n(half\n^ok")
    assert caught.value.example == "ready\n\\(half\n^ok"
