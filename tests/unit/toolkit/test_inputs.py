from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd_actions.toolkit import grammar, inputs, yaml12
from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.toolkit.redaction import Redactor


@dataclass(frozen=True, kw_only=True)
class Sample:
    url: str = inputs.declare(grammar.string, "Where.", required=True)
    timeout: float = inputs.declare(grammar.duration, "How long.", default="5m")
    expect_status: grammar.StatusSet = inputs.declare(grammar.status_set, "Which status.", default="200")
    names: tuple[str, ...] = inputs.declare(grammar.lines(grammar.string), "Names.")
    dry_run: bool = inputs.declare(grammar.boolean, "Whether.", default="false")
    github_token: str = inputs.declare(grammar.string, "A token.", secret=True, action_default="${{ github.token }}")


def load(**values: str) -> Sample:
    return inputs.load(Sample, {name.replace("_", "-"): value for name, value in values.items()}, Redactor())


def test_defaults_stand_where_nothing_or_nothing_but_space_was_written() -> None:
    sample = load(url="http://x", timeout="", expect_status="  \n")
    assert (sample.timeout, str(sample.expect_status), sample.names) == (300, "200", ())


def test_every_mistake_is_said_at_once_with_the_yaml_to_write() -> None:
    with pytest.raises(UnusableInput) as caught:
        load(timeout="5", expect_status="ok", expct_status="200")
    text = str(caught.value)
    assert "`url` is required" in text
    assert "`expct-status` is unknown. Did you mean `expect-status`?" in text
    assert "      timeout: 5s\n" in text
    assert '      expect-status: "200,204"' in text


def test_load_example_that_its_parser_refuses_is_not_shown() -> None:
    def parse(text: str) -> str:
        raise grammar.NotUnderstood(f"`{text}` is wrong", example="wrong too")

    @dataclass(frozen=True)
    class Refusing:
        word: str = inputs.declare(parse, "A word.")

    with pytest.raises(UnusableInput) as caught:
        inputs.load(Refusing, {"word": "x"}, Redactor())
    assert caught.value.fix == ""


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1))
def test_as_yaml_any_text_is_read_back_as_it_is(text: str) -> None:
    root = yaml12.read(inputs.as_yaml("key", text)).root
    assert isinstance(root, yaml12.Mapping)
    value = root.get("key")
    assert isinstance(value, yaml12.Scalar)
    assert value.text == text


def test_a_secret_input_is_redacted_even_when_another_input_is_wrong() -> None:
    redactor = Redactor()
    with pytest.raises(UnusableInput):
        inputs.load(Sample, {"github-token": "ghs_0123456789"}, redactor)
    assert redactor("token ghs_0123456789") == "token ***"


def test_composite_inputs_are_an_object_of_strings() -> None:
    assert inputs.from_json('{"a": "x", "b": true, "c": 5, "d": null}') == {"a": "x", "b": "true", "c": "5", "d": ""}
    for text in ("[]", "{", "3", '{"a": {"b": 1}}'):
        with pytest.raises(UnusableInput):
            inputs.from_json(text)


def test_flags_may_have_their_value_beside_or_behind_and_add_lines() -> None:
    argv = ["--url", "http://x", "--timeout=5s", "--names", "a", "--names=b"]
    assert inputs.from_flags(argv, Sample) == {"url": "http://x", "timeout": "5s", "names": "a\nb"}


@pytest.mark.parametrize(
    ("argv", "given"), [([], "true"), (["true"], "true"), (["false"], "false"), (["--url", "http://x"], "true")]
)
def test_from_flags_boolean_may_stand_alone(argv: list[str], given: str) -> None:
    assert inputs.from_flags(["--dry-run", *argv], Sample)["dry-run"] == given


@pytest.mark.parametrize(
    ("argv", "hint"),
    [
        (["url"], "is not a flag"),
        (["--timeot", "5s"], "Did you mean `--timeout`"),
        (["--timeout"], "--timeout 5m"),
        (["-t", "5s"], "is not a flag"),
        (["--"], "is not a flag"),
    ],
)
def test_wrong_flags_say_what_to_write(argv: list[str], hint: str) -> None:
    with pytest.raises(UnusableInput, match=hint):
        inputs.from_flags(argv, Sample)


@given(st.dictionaries(st.text(), st.text()))
def test_any_object_is_read_or_refused(values: dict[str, str]) -> None:
    read = inputs.from_json(json.dumps(values))
    assert read == values
    try:
        inputs.load(Sample, {"url": "x"} | read, Redactor())
    except UnusableInput:
        assert values
