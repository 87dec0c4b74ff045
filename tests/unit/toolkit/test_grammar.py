from __future__ import annotations

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd_actions.toolkit import grammar
from cicd_actions.toolkit.grammar import NotUnderstood


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("20s", 20), ("5m", 300), ("1h", 3600), ("0s", 0), ("1.5m", 90), (" 2s ", 2)]
)
def test_a_duration_is_a_number_with_a_unit(text: str, seconds: float) -> None:
    assert grammar.duration(text) == seconds


def test_a_bare_number_is_no_duration_and_the_error_shows_one() -> None:
    with pytest.raises(NotUnderstood, match="has no unit") as caught:
        grammar.duration("30")
    assert caught.value.example == "30s"


@pytest.mark.parametrize("text", ["", "5 m", "-5s", "5d", "1m30s", "infs", "nan", "1e3s", "٥s", "5s\n5s", "0x5s", "5S"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(NotUnderstood):
        grammar.duration(text)


@given(st.text())
def test_a_duration_is_finite_and_not_negative_or_refused(text: str) -> None:
    seconds = 0.0
    with contextlib.suppress(NotUnderstood):
        seconds = grammar.duration(text)
    assert math.isfinite(seconds)
    assert seconds >= 0


@pytest.mark.parametrize(("text", "guess"), [("yes", "true"), ("True", "true"), ("0", "false"), ("off", "false"), ("", "true")])
def test_only_true_and_false_are_booleans(text: str, guess: str) -> None:
    assert grammar.boolean("true") is True
    assert grammar.boolean("false") is False
    with pytest.raises(NotUnderstood) as caught:
        grammar.boolean(text)
    assert caught.value.example == guess


def test_a_status_set_holds_codes_and_classes() -> None:
    statuses = grammar.status_set("200, 204,3xx")
    assert [code for code in (199, 200, 201, 204, 300, 399, 400) if code in statuses] == [200, 204, 300, 399]
    assert "200" not in statuses
    assert str(statuses) == "200,204,3xx"


@pytest.mark.parametrize("text", ["", "20", "600", "2x", "200;204", "ok", "0xx", "200,", "xxx"])
def test_what_is_no_status_set_is_refused(text: str) -> None:
    with pytest.raises(NotUnderstood):
        grammar.status_set(text)


def test_lines_pass_over_empty_ones() -> None:
    assert grammar.lines(grammar.string)("\n a \n\n b\n") == ("a", "b")


@pytest.mark.parametrize("text", ["-1", "1.0", "", "two", "1000", "١", "9" * 30])
def test_whole_numbers_have_bounds(text: str) -> None:
    parse = grammar.whole(0, 999)
    assert parse("999") == 999
    with pytest.raises(NotUnderstood):
        parse(text)


@pytest.mark.parametrize(("text", "value"), [("0.01", 0.01), ("5", 5), ("-2", -2), ("1e-3", 0.001)])
def test_numbers(text: str, value: float) -> None:
    assert grammar.number(text) == value


@pytest.mark.parametrize("text", ["nan", "inf", "1e9999", "", "1,5", "5%"])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(NotUnderstood):
        grammar.number(text)


def test_a_choice_suggests_the_nearest_word() -> None:
    with pytest.raises(NotUnderstood) as caught:
        grammar.choice("swarm", "kubernetes", "docker", "command")("kubernets")
    assert caught.value.example == "kubernetes"


def test_a_value_given_for_a_variables_name_is_not_repeated() -> None:
    with pytest.raises(NotUnderstood) as caught:
        grammar.variable_name("postgresql://app:hunter22@db/app")
    assert "hunter22" not in str(caught.value)
    assert grammar.variable_name(" DATABASE_URL ") == "DATABASE_URL"


def test_optional_is_none_only_when_nothing_was_written() -> None:
    parse = grammar.optional(grammar.duration)
    assert parse("  ") is None
    assert parse("0s") == 0


def test_argv_of_a_line_is_its_words_and_no_shell() -> None:
    assert grammar.argv("./deploy.sh 'a b' \"c\" $HOME") == ("./deploy.sh", "a b", "c", "$HOME")
    assert grammar.argv('["./deploy.sh", "a b"]') == ("./deploy.sh", "a b")
    for text in ("make && make install", "a | b", "a > b"):
        with pytest.raises(NotUnderstood, match="belongs to a shell") as caught:
            grammar.argv(text)
        assert grammar.argv(caught.value.example)[:2] == ("bash", "-c")
    for text in ("'open", "[1]", "[]", '["a"'):
        with pytest.raises(NotUnderstood):
            grammar.argv(text)


@pytest.mark.parametrize("text", ["²", "٣", "", "-1", "1 ", "1\n", "1" * 19])
def test_is_whole_of_what_int_reads_otherwise_or_not_at_all_is_false(text: str) -> None:
    assert not grammar.is_whole(text)
    assert grammar.is_whole("0123")
