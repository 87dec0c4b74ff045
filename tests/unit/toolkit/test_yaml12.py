from __future__ import annotations

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from cicd_actions.toolkit import yaml12
from cicd_actions.toolkit.yaml12 import Mapping, NotYaml, Scalar, Sequence, block, events, plain, read


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("yes", "yes"),
        ("3.10", 3.1),
        ("0x1F", 31),
        ("0o17", 15),
        ("017", 17),
        ("1_000", "1_000"),
        ("12:30:45", "12:30:45"),
        ("2026-01-01", "2026-01-01"),
        ("~", None),
        ("NULL", None),
        ("True", True),
        ("FALSE", False),
        ("tRue", "tRue"),
        ("-.inf", float("-inf")),
        ("1e3", 1000.0),
        ("+", "+"),
        ("-", [None]),
        ("'1'", "1"),
        ('"true"', "true"),
        ("!!str 12", "12"),
        ("!custom 12", "12"),
        ("!!int '12'", 12),
        ("", None),
        ("# nothing", None),
    ],
)
def test_scalars_are_what_the_core_schema_makes_of_them(text: str, value: object) -> None:
    assert plain(read(text).root) == value


def test_a_number_keeps_its_text() -> None:
    root = read("python: 3.10\non: push\n").root
    assert isinstance(root, Mapping)
    assert [(key.text, value.text) for key, value in root.entries if isinstance(value, Scalar)] == [
        ("python", "3.10"),
        ("on", "push"),
    ]


def test_every_node_knows_its_place() -> None:
    root = read("# first\na:\n  - b: 'x'\n    c: [1, {d: 2}]\n").root
    assert isinstance(root, Mapping)
    items = root.get("a")
    assert isinstance(items, Sequence)
    assert (items.line, items.column) == (3, 3)
    item = items.items[0]
    assert isinstance(item, Mapping)
    key, value = item.entries[1]
    assert (key.line, key.column) == (4, 5)
    assert isinstance(value, Sequence)
    assert isinstance(value.items[1], Mapping)
    assert (value.items[1].line, value.items[1].column) == (4, 12)


def test_lines_are_counted_as_editors_count_them() -> None:
    root = read('a: "x\u2028y"\r\nb: "\x85"\rc: 1\n').root
    assert isinstance(root, Mapping)
    assert [key.line for key, _ in root.entries] == [1, 2, 3]


@pytest.mark.parametrize(
    ("text", "line", "column", "problem"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, 1, "the key `a` stands in line 1 already"),
        ("a: [1\nb: 2\n", 2, 2, "expected ',' or ']'"),
        ("a: *b\n", 1, 4, "the alias `*b` names no anchor above it"),
        ("a: &a [*a]\n", 1, 8, "stands within what it names"),
        ("a: 1\n---\nb: 2\n", 2, 1, "a second document"),
        ("? [1]\n: 2\n", 1, 5, "a key must be a single word"),
        ("a: \x07\n", 1, 4, "the character U+0007"),
        ("\tb: 1\n", 1, 1, "cannot start any token"),
    ],
)
def test_what_cannot_be_read_says_where(text: str, line: int, column: int, problem: str) -> None:
    with pytest.raises(NotYaml) as caught:
        read(text)
    assert problem in caught.value.problem
    assert (caught.value.line, caught.value.column) == (line, column)


def test_duplicates_are_listed_when_asked_for() -> None:
    document = read("a: 1\nA: 2\nb: {a: 1}\na: 3\n", strict=False)
    assert [(twice.key, twice.line, twice.first_line) for twice in document.duplicates] == [("a", 4, 1)]
    document = read("a: 1\nA: 2\n", strict=False, fold_case=True)
    assert [(twice.key, twice.line, twice.first_line) for twice in document.duplicates] == [("A", 2, 1)]
    assert isinstance(document.root, Mapping)
    assert plain(document.root.get("a")) == 1


def test_aliases_share_their_node_and_a_bomb_is_refused() -> None:
    root = read("a: &x {b: 1}\nc: *x\n").root
    assert isinstance(root, Mapping)
    assert root.get("a") is root.get("c")
    bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + level)}: &{chr(98 + level)} [{','.join(['*' + chr(97 + level)] * 10)}]\n" for level in range(9)
    )
    with pytest.raises(NotYaml, match="nodes when its aliases are followed"):
        read(bomb)


@pytest.mark.parametrize(
    "text", ["[" * 1000, "[" * 1000 + "]" * 1000, "- " * 5000, "{a: " * 1000, "a: " + "[" * 101 + "]" * 101]
)
def test_depth_is_bounded(text: str) -> None:
    with pytest.raises(NotYaml, match="levels of nesting"):
        read(text)


def test_size_is_bounded() -> None:
    with pytest.raises(NotYaml, match="which is more than 10"):
        read("a: " + "x" * 10, longest=10)


def test_a_merge_is_a_key_until_it_is_asked_for() -> None:
    root = read("x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}\nz: {<<: [*x, {c: 4}]}\n").root
    assert isinstance(root, Mapping)
    merged, several = root.get("y"), root.get("z")
    assert isinstance(merged, Mapping)
    assert isinstance(several, Mapping)
    assert [key.text for key, _ in merged.entries] == ["<<", "b"]
    assert {key.text: plain(value) for key, value in merged.merged()} == {"b": 3, "a": 1}
    assert {key.text: plain(value) for key, value in several.merged()} == {"a": 1, "b": 2, "c": 4}


@pytest.mark.parametrize("number", ["9" * 5000, "0x" + "f" * 5000, "0o" + "7" * 5000], ids=["decimal", "hex", "octal"])
def test_a_number_with_absurdly_many_digits_is_an_error_with_its_place(number: str) -> None:
    root = read(f"a:\n  b: {number}").root
    with pytest.raises(NotYaml) as caught:
        plain(root)
    assert (caught.value.line, caught.value.column) == (2, 6)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a: x ${{ Q }}\n", (1, 10)),
        ("a: 'it''s ${{ Q }}'\n", (1, 15)),
        ('a: "\\t\\"${{ Q }}"\n', (1, 13)),
        ("a: |\n\n  one\n  two ${{ Q }}\n", (4, 11)),
        ("a: >-\n  one\n  two ${{\n    Q }}\n", (4, 5)),
        ("a: &x !!str one\n    two ${{ Q }}\n", (2, 13)),
        ("a: &x !!str\n  |2\n   two ${{ Q }}\n", (3, 12)),
        ('a: "one \\\n   ${{ Q }}"\n', (2, 8)),
    ],
)
def test_a_place_within_a_scalar_is_found_whatever_its_style(text: str, place: tuple[int, int]) -> None:
    document = read(text)
    assert isinstance(document.root, Mapping)
    scalar = document.root.get("a")
    assert isinstance(scalar, Scalar)
    assert document.place_in(scalar, scalar.text.index("Q")) == place


@given(st.text(alphabet=st.sampled_from(list("abQ{}[]&*!|>'\"%@`#:,-? \n\t0.\\<~")), max_size=60))
def test_no_text_does_anything_but_read_or_say_where_it_cannot(text: str) -> None:
    line = 0
    try:
        read(text, strict=False)
    except NotYaml as error:
        line = error.line
    assert line <= text.count("\n") + 1


def _names(node: yaml12.Node | None) -> list[object]:
    if isinstance(node, Scalar):
        return [node.text]
    if isinstance(node, Sequence):
        return ["[", *(name for item in node.items for name in _names(item)), "]"]
    return ["{", *(part for key, value in node.entries for part in [*_names(key), *_names(value)]), "}"] if node else []


def _expected(node: yaml.Node | None) -> list[object]:
    if isinstance(node, yaml.ScalarNode):
        return [node.value]
    if isinstance(node, yaml.SequenceNode):
        return ["[", *(name for item in node.value for name in _expected(item)), "]"]
    return ["{", *(part for key, value in node.value for part in [*_expected(key), *_expected(value)]), "}"] if node else []


_trees = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=12)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(min_size=1, max_size=8), inner, max_size=4)),
    max_leaves=15,
)


@given(_trees, st.booleans(), st.sampled_from([None, '"', "'", "|", ">"]))
def test_the_tree_is_the_one_that_pyyaml_composes(tree: object, flow: bool, style: str | None) -> None:
    text = yaml.safe_dump(tree, default_flow_style=flow, default_style=style, allow_unicode=True)
    assert _names(read(text).root) == _expected(yaml.compose(text, Loader=yaml.SafeLoader))


def _shape(node: yaml12.Node | None) -> object:
    if isinstance(node, Scalar):
        return (node.text, node.kind, node.style, node.line, node.column, node.start, node.end)
    if isinstance(node, Sequence):
        return (node.line, node.column, [_shape(item) for item in node.items])
    return (node.line, node.column, [(_shape(key), _shape(value)) for key, value in node.entries]) if node else None


def _by_the_whole_parser(text: str) -> yaml12.Document:
    document = yaml12.Document(text)
    events.Builder(document, fold_case=False, most_nodes=1000).build()
    return document


def _agree(text: str) -> bool:
    """Whether the quick reader took the text; then the whole parser takes it too, and both made the same of it."""
    quick = yaml12.Document(text)
    if not block.read(quick, fold_case=False, most_nodes=1000):
        return False
    whole = _by_the_whole_parser(text)
    assert _shape(quick.root) == _shape(whole.root)
    assert quick.duplicates == whole.duplicates
    return True


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\nb:\n  c: 'it''s'\n  d: \"x \\\" y\"  # why\n",
        "---\na:\n- b: 1\n  c: 2\n-   d\n-\n- e:\n    - f\n",
        "a: |\n  x\n\n   y\n\n\nb: >-\n  one\n  two\n\n  three\n   four\n  five\n",
        "a: |+\n  x\n\n\nb: >+\n\n  x\n\n",
        "- a\n- 1.5\n- [x, 'y z', \"q\", 3]\n- {}\n- []\n",
        "a:   # nothing\nb: x # y\nc: x#y\nd: a:b\ne: -x\nf: ~\n",
        "  # first\n\na: 'é – ü'\n\n# last",
        "a: 1\na: 2\n",
        "a: &x\n  b: 1\nc: *x # why\nd:\n- &y e\n- *y\n- *x\nf: &z\n- 1\ng: *z\n",
        "a: &x [1, 2]\nb: &y 'q'\nc: &z |\n  t\nd: [k, l m]\ne: *z\nf: &x 2\ng: *x\n",
        "- {a: 1, b: 'x y', c: uv run --all}\n- { a: \"q\", a: 2 } # twice\n- [/, a b , 1]\n",
    ],
)
def test_the_quick_reader_takes_what_people_write(text: str) -> None:
    assert _agree(text)


_LEFT = (
    "a: b\n c\n", "a: *b\n", "a: &b\n", "a: &b\n  c: *b\n",
    "- &b c: d\n", "a: &b &c d\n", "a: &b !t c\n", "a: !t b\n", "a: b: c\n", "a: 'b\n  c'\n", "? a\n: b\n",
    "a: [b,\n c]\n", "- - a\n",
    "a: |2\n   x\n", "a: x\n b: y\n", "a\n", "a: {b: c\n  }\n", "a: {b}\n", "a: {b: }\n", "a: {b:c}\n", "a: {b: {c: d}}\n",
    "\ta: b\n", "a: b\n---\nc: d\n", "a:b\n", "a: |\n  x\n y\n",
    "a: >\n\n", "a:\n  - b\n - c\n", "a: x\r\n", "a: \u2028\n", "a: 'x' y\n", "a: @x\n", "'a': b\n", "%YAML 1.2\n---\na: b\n",
    "a: [x]]\n", "---\n", "a: |\n  x",
)  # fmt: skip


@pytest.mark.parametrize("text", _LEFT)
def test_the_quick_reader_leaves_the_rest(text: str) -> None:
    assert not _agree(text)


_PIECES = (
    "a: 1\n", "b:\n", "  c: x y\n", "  - d\n", "- e: f\n", "- ", "    g: 'h'\n", "\n", "  # note\n", "i: |\n", "j: >-\n",
    "    more\n", "   text\n", "  k: [l, m]\n", 'n: "o"\n', "   \n", "p: {}\n", "  - q:\n", "      - r\n", "s:\n- t\n",
    "u: |+\n", "a: &x\n", "b: &x y\n", "c: *x\n", "- &y\n", "  - *y\n", "d: &y\n- z\n", "&x ", "{a: b, c: 1}\n", "- {}\n",
    "v:", " w", "x: y # z\n", "---\n", "a: 2\n", "#", "|", " ", "'", ">", "-",
)  # fmt: skip
_pieces = st.lists(st.sampled_from(_PIECES), max_size=14).map("".join)


@settings(max_examples=20 * settings().max_examples)
@given(_pieces)
def test_the_quick_reader_agrees_with_the_whole_parser(text: str) -> None:
    _agree(text)


@given(_trees, st.sampled_from([None, '"', "'", "|", ">"]))
def test_the_quick_reader_agrees_on_what_others_write(tree: object, style: str | None) -> None:
    _agree(yaml.safe_dump(tree, default_flow_style=False, default_style=style, allow_unicode=True))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a:\tb\n", {"a": "b"}),
        ("a: b\t# c\n", {"a": "b"}),
        ("a: b\tc\n", {"a": "b\tc"}),
        ("a\t: b\n", {"a": "b"}),
        ("a: [b,\tc]\n", {"a": ["b", "c"]}),
        ("a: |\t\n  x\n", {"a": "x\n"}),
        ("a: >-\t# c\n  x\n", {"a": "x"}),
        ("a: |2 \t\n  x\n", {"a": "x\n"}),
        ("a: x\n \ty\n", {"a": "x y"}),
        ("a: !!str\t1\n", {"a": "1"}),
        ("a: &x\tb\n", {"a": "b"}),
        ("-\tb\n", ["b"]),
        ("\t\na: b\n", {"a": "b"}),
        ("a: |\n  \tx\n", {"a": "\tx\n"}),
    ],
)
def test_read_tab_between_words_is_taken_as_github_takes_it(text: str, value: object) -> None:
    """The values are those of the parser in GitHub's own package `@actions/workflow-parser`."""
    assert plain(read(text).root) == value


@pytest.mark.parametrize("text", ["a:\n\tb: c\n", "-\t- a\n", "-\ta: b\n", "- \ta: b\n", "a: x\n\ty: z\n", "a: |\n\tx\n"])
def test_read_tab_in_the_indentation_is_refused_as_github_refuses_it(text: str) -> None:
    with pytest.raises(NotYaml):
        read(text)
