from __future__ import annotations

import dataclasses
import math
import string
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cicd_actions.workflows import expressions, templates
from cicd_actions.workflows.expressions import NotAnExpression, parse
from cicd_actions.workflows.syntax import (
    Access,
    Call,
    Comparison,
    Context,
    Literal,
    Logical,
    Node,
    Not,
    children,
    walk,
    written,
)
from cicd_actions.workflows.values import possible


def bare(node: Node | None) -> Any:
    """The tree without its offsets; NaN, which equals nothing, as a word."""
    if node is None:
        return None
    if isinstance(node, Literal):
        value = "NaN" if isinstance(node.value, float) and math.isnan(node.value) else node.value
        return ("literal", type(node.value).__name__, value)
    own = [getattr(node, field.name) for field in dataclasses.fields(node) if field.name in {"name", "operator"}]
    if isinstance(node, Access):
        return ("access", bare(node.of), bare(node.key))
    return (type(node).__name__, *own, *(bare(child) for child in children(node)))


_names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,8}", fullmatch=True).filter(
    lambda name: name not in {"true", "false", "null", "NaN", "Infinity"}
)
_literals = st.one_of(st.none(), st.booleans(), st.text(max_size=8), st.floats(), st.integers(-(2**53), 2**53).map(float)).map(
    lambda value: Literal(value, 0, 0)
)


def _deeper(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    # What a property can be read of: a context, a call, an access, or an expression in brackets.
    readable = inner.filter(lambda node: not isinstance(node, (Literal, Not)))
    keys = st.one_of(st.none(), inner, _names.map(lambda name: Literal(name, 0, 0)))
    return st.one_of(
        st.builds(lambda name, arguments: Call(name, tuple(arguments), 0, 0), _names, st.lists(inner, max_size=3)),
        st.builds(lambda of, key: Access(of, key, 0, 0), readable, keys),
        st.builds(lambda operand: Not(operand, 0, 0), inner),
        st.builds(
            lambda operator, left, right: Comparison(operator, left, right, 0, 0),
            st.sampled_from(["==", "!=", "<", "<=", ">", ">="]),
            inner,
            inner,
        ),
        st.builds(
            lambda operator, operands: Logical(operator, tuple(operands), 0, 0),
            st.sampled_from(["&&", "||"]),
            st.lists(inner, min_size=2, max_size=4),
        ),
    )


trees: st.SearchStrategy[Node] = st.recursive(
    st.one_of(_literals, _names.map(lambda name: Context(name, 0, 0))), _deeper, max_leaves=20
)


@settings(max_examples=10 * settings().max_examples)
@given(trees)
def test_what_is_written_reads_as_the_same_tree(tree: Node) -> None:
    assert bare(parse(written(tree))) == bare(tree)


@given(trees)
def test_every_node_says_where_it_stands(tree: Node) -> None:
    text = "  " + written(tree) + " "
    for node in walk(parse(text)):
        piece = text[node.start : node.end]
        if isinstance(node, (Context, Literal)):
            assert bare(parse(piece)) == bare(node) or piece == getattr(node, "value", None)


@settings(max_examples=10 * settings().max_examples)
@given(st.text(alphabet=st.sampled_from(list("ab1.'()[]*,!=<>&| -+\n\"}{$0xe_éN")), max_size=40))
def test_no_text_does_anything_but_read_or_say_where_it_cannot(text: str) -> None:
    try:
        tree = parse(text)
    except NotAnExpression as error:
        assert 0 <= error.offset <= len(text)  # noqa: PT017 - both ends are right, and each has its own property
    else:
        assert bare(parse(written(tree))) == bare(tree)


@given(st.text(alphabet=st.sampled_from(list("$ {}'ab!.")), max_size=40), st.booleans())
def test_a_template_is_read_to_its_end(text: str, condition: bool) -> None:
    for found in templates.expressions(text, condition=condition):
        assert text[found.start : found.start + len(found.source)] == found.source
        assert (found.tree is None) == bool(found.problem)
        assert found.tree is not None or 0 <= found.problem_offset <= len(text)


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("a || b && c == d > !e", "a || b && c == d > !e"),
        ("(a || b) && c", "(a || b) && c"),
        ("a == b == c", "a == b == c"),
        ("a == (b == c)", "a == (b == c)"),
        ("!(a && b)", "!(a && b)"),
        ("a['b']['c-d'].e.*[0]", "a.b.c-d.e.*[0]"),
        ("a['b c']", "a['b c']"),
        ("format('it''s {0}', a)", "format('it''s {0}', a)"),
        ("0xff", "255"),
        ("0o17", "15"),
        ("-.5e1", "-5"),
        ("+1", "1"),
        ("-Infinity", "-Infinity"),
        ("NaN", "NaN"),
        ("a.true", "a.true"),
        ("((a))", "a"),
        ("\n a\t.\r\nb ", "a.b"),
    ],
)
def test_the_grammar(text: str, shape: str) -> None:
    assert written(parse(text)) == shape


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("fromJSON('30')", "30"),
        ("fromJSON('30.0')", "30"),
        ("fromJSON('-1.5')", "-1.5"),
        ("fromJSON('true')", "true"),
        ("format('v{0}', fromJSON('2'))", "v2"),
        ("0xff", "255"),
        ("1e999", "Infinity"),
        ("fromJSON('-1e999')", "-Infinity"),
        (f"fromJSON('{'9' * 5000}')", "Infinity"),
        ("NaN", "NaN"),
        ("fromJSON('[')", None),
        (f"fromJSON('{'[' * 5000}')", None),
    ],
)
def test_possible_number_is_the_text_that_github_writes(expression: str, value: str | None) -> None:
    assert possible(f"${{{{ {expression} }}}}", {}) == (None if value is None else frozenset({value}))


@pytest.mark.parametrize(
    ("text", "offset", "problem"),
    [
        ("", 0, "an expression is missing"),
        ("   ", 0, "an expression is missing"),
        ("a b", 2, "expected the end of the expression, found `b`"),
        ("a)", 1, "expected the end of the expression, found `)`"),
        ("a.*b", 3, "expected the end of the expression, found `b`"),
        ("a " + "b" * 100, 2, f"expected the end of the expression, found `{'b' * 80}`"),
        ("a.", 2, "expected a name, found the end"),
        ("a.1", 2, "expected a name, found `1`"),
        ("a[", 2, "expected a value, found the end"),
        ("a[1", 3, "expected `]`, found the end"),
        ("f(a,)", 4, "expected a value, found `)`"),
        ("f(,a)", 2, "expected a value, found `,`"),
        ("f(a b)", 4, "expected `)`, found `b`"),
        ("a || ", 5, "expected a value, found the end"),
        ("!", 1, "expected a value, found the end"),
        ("(a", 2, "expected `)`, found the end"),
        ("'a", 0, "this text is not closed by a single quote"),
        ('"a"', 0, '`"a"` is not understood here; texts stand in single quotes'),
        ("a = b", 2, "`=` is not understood here"),
        ("a & b", 2, "`&` is not understood here"),
        ("a*b", 0, "`a*b` is not understood here"),
        ("é" * 100, 0, f"`{'é' * 80}` is not understood here"),
        ("1.2.3", 0, "`1.2.3` is not a number"),
        ("'a'.b", 3, "`.b` is not a number"),
        ("a..b", 2, "`.b` is not a number"),
        ("+", 0, "`+` is not a number"),
        ("0xg", 0, "`0xg` is not a number"),
        ("0o8", 0, "`0o8` is not a number"),
        ("1" * 100 + "x", 0, f"`{'1' * 80}` is not a number"),
        ("(" * 60 + "a", 51, "an expression has at most 50 levels"),
        ("a" + ".b" * 60, 103, "an expression has at most 50 levels"),
        ("!" * 60 + "a", 51, "an expression has at most 50 levels"),
        ("a" + " == a" * 60, 252, "an expression has at most 50 levels"),
        ("x" * 21_001, 21_000, "an expression has at most 21000 characters, and this has 21001"),
    ],
)
def test_what_is_no_expression_says_where(text: str, offset: int, problem: str) -> None:
    with pytest.raises(NotAnExpression) as caught:
        parse(text)
    assert (caught.value.problem, caught.value.offset) == (problem, offset)
    assert str(caught.value) == f"{problem} (at character {offset + 1})"


def reads(text: str) -> bool:
    try:
        parse(text)
    except NotAnExpression:
        return False
    return True


@pytest.mark.parametrize(
    "nested",
    [
        lambda depth: "(" * depth + "a" + ")" * depth,
        lambda depth: "!" * depth + "a",
        lambda depth: "a" + ".b" * depth,
        lambda depth: "a" + "[0]" * depth,
        lambda depth: "a" + ".*" * depth,
        lambda depth: "a[" * depth + "a" + "]" * depth,
        lambda depth: "f(" * depth + ")" * depth,
        lambda depth: "a" + " == a" * depth,
        # An operator and its brackets are a level each.
        lambda depth: "a || (" * (depth // 2) + "!" * (depth % 2) + "a" + ")" * (depth // 2),
    ],
    ids=["brackets", "not", "names", "numbers", "stars", "keys", "calls", "comparisons", "alternatives"],
)
def test_parse_fifty_levels_are_read_and_what_stands_beside_them_is_not_deeper(nested: Callable[[int], str]) -> None:
    assert reads(nested(50))
    assert not reads(nested(51))
    for beside in ("({0}) || ({0}) || ({0})", "({0}) == ({0})", "f({0}, !{0})", "a[{0}] || a[{0}]"):
        assert reads(beside.format(nested(48)))
    assert not reads(f"a || ({nested(49)})")


@pytest.mark.parametrize("before", ["!a", "(a)", "f(a)", "a[b]", "a.b.c"])
def test_parse_what_stands_before_an_operator_gives_its_levels_back(before: str) -> None:
    for depth, read in ((48, True), (49, False)):
        assert reads("(" * depth + f"{before} == (b)" + ")" * depth) == read


def test_parse_as_many_characters_as_github_takes_are_read() -> None:
    assert reads(" " * 10 + "x" * 20_990)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        (
            " a.b['c'].* == 1 && !f(x, 'y') || true ",
            ["a.b['c'].* == 1 && !f(x, 'y') || true", "a.b['c'].* == 1 && !f(x, 'y')", "a.b['c'].* == 1", "a.b['c'].*",
             "a.b['c']", "a.b", "a", "b", "'c'", "1", "!f(x, 'y')", "f(x, 'y')", "x", "'y'", "true"],
        ),
        (" a[b[0]].c", ["a[b[0]].c", "a[b[0]]", "a", "b[0]", "b", "0", "c"]),
        ("f( )[0]", ["f( )[0]", "f( )", "0"]),
        ("a || b || c ", ["a || b || c", "a", "b", "c"]),
        ("'a''' != -1.5", ["'a''' != -1.5", "'a'''", "-1.5"]),
    ],
)  # fmt: skip
def test_parse_each_node_spans_its_own_text(text: str, pieces: list[str]) -> None:
    assert [text[node.start : node.end] for node in walk(parse(text))] == pieces


def test_tokens_say_their_kind_and_where_they_stand() -> None:
    text = " a.b [1]>= 'c' "
    found = expressions.tokens(text)
    assert [token.kind for token in found] == ["name", ".", "name", "[", "number", "]", ">=", "string", "end"]
    assert [token.text for token in found] == ["a", ".", "b", "[", "1", "]", ">=", "'c'", ""]
    assert [text[token.start : token.end] for token in found] == [token.text for token in found]
    assert (found[-1].start, found[-1].end) == (len(text), len(text))


@pytest.mark.parametrize("letter", [*string.ascii_letters, "_"])
def test_tokens_every_letter_begins_a_name(letter: str) -> None:
    assert [token.kind for token in expressions.tokens(letter)] == ["name", "end"]


@pytest.mark.parametrize("text", ["a.b", "f().b", "a[0].b", "a.*.b"])
def test_tokens_a_dot_behind_what_has_properties_is_an_access(text: str) -> None:
    assert isinstance(parse(text), Access)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0x1F", 31.0), ("0o17", 15.0), ("0x" + "f" * 400, math.inf), (".5", 0.5), ("9", 9.0), ("0", 0.0), ("'it''s'", "it's"),
        ("''", ""), ("''''", "'"), ("true", True), ("false", False), ("null", None), ("Infinity", math.inf),
        ("-Infinity", -math.inf),
    ],
)  # fmt: skip
def test_parse_literal_has_the_value_that_github_gives_it(text: str, value: object) -> None:
    tree = parse(text)
    assert isinstance(tree, Literal)
    assert (type(tree.value), tree.value) == (type(value), value)


def test_a_long_chain_of_alternatives_is_no_depth() -> None:
    tree = parse("a || " * 4000 + "b")
    assert isinstance(tree, Logical)
    assert len(tree.operands) == 4001


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a ${{ x }} b ${{ '}}' }}", [("x", 5), ("'}}'", 16)]),
        ("${{ 'a' }}${{ 'it''s }}' }}", [("'a'", 3), ("'it''s }}'", 13)]),
        ("no expression } }} {{ x }}", []),
    ],
)
def test_expressions_in_a_text(text: str, found: list[tuple[str, int]]) -> None:
    assert [(one.source.strip(), one.start) for one in templates.expressions(text)] == found


@pytest.mark.parametrize("text", ["${{ x", "a ${{ ' }}", "${{ 'x }} ${{ y }}"])
def test_an_expression_that_is_not_closed(text: str) -> None:
    found = templates.expressions(text)
    assert found[-1].problem == "this `${{` is not closed by `}}`"


def test_a_condition_needs_no_signs_around_it() -> None:
    (found,) = templates.expressions("a == b", condition=True)
    assert isinstance(found.tree, Comparison)
    assert templates.expressions("a == b") == ()
    assert templates.expressions("  ", condition=True) == ()
    (mixed,) = templates.expressions("${{ a }} && b", condition=True)
    assert isinstance(mixed.tree, Context)


def test_the_names_github_knows() -> None:
    assert {"tojson", "fromjson", "hashfiles", "case"} <= expressions.FUNCTIONS
    assert {"secrets", "vars", "inputs"} <= expressions.CONTEXTS
