"""JSON of any size is read: only a whole number that no float can hold becomes infinite, and what is too deep is an error."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests

from cicd_actions.toolkit.long_numbers import LONGEST

LARGEST = int(sys.float_info.max)
SOURCE = Path(__file__).resolve().parents[3] / "src"


def by_requests(text: str) -> Any:
    response = requests.Response()
    response._content = text.encode()
    return response.json()


READERS: dict[str, Callable[[str], Any]] = {
    "json": json.loads,
    "httpx": lambda text: httpx.Response(200, text=text).json(),
    "requests": by_requests,
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("9" * LONGEST, 10**LONGEST - 1),
        ("-" + "9" * LONGEST, 1 - 10**LONGEST),
        ("1" + "0" * LONGEST, 10**LONGEST),
        (str(LARGEST), LARGEST),
        ("9" * (LONGEST + 1), float("inf")),
        ("-" + "9" * (LONGEST + 1), float("-inf")),
        ("9" * 5000, float("inf")),
        ("7", 7),
    ],
    ids=["longest", "longest negative", "one more digit", "largest", "larger", "larger negative", "too long", "short"],
)
def test_json_whole_number_is_exact_or_infinite(reader: str, text: str, number: float) -> None:
    read = READERS[reader]
    (found,) = read(f'{{"a": [{text}]}}')["a"]
    assert (type(found), found) == (type(number), number)
    assert float(found) == float(text)  # and so raises no `OverflowError`


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000], ids=["lists", "objects"])
def test_json_that_is_nested_too_deeply_is_a_decode_error(reader: str, text: str) -> None:
    with pytest.raises(ValueError, match="Nested too deeply"):
        READERS[reader](text)


def test_json_kept_with_an_infinite_number_is_read_again() -> None:
    page = json.loads(f"[{'9' * 5000}]")
    assert json.loads(json.dumps(page)) == page == [float("inf")]


def test_sources_with_a_json_reader_of_their_own_say_how_they_read_a_long_number() -> None:
    # These refuse the document, and say why: an approximate number would decide what they judge.
    refuse = {"scan_gate/document.py", "verify_openapi_client/specification.py"}
    own = {
        str(path.relative_to(SOURCE / "cicd_actions"))
        for path in SOURCE.rglob("*.py")
        for call in re.findall(r"json\.loads?\((.*)|JSONDecoder\((.*)", path.read_text("utf-8"))
        if re.search(r"\b(parse_constant|parse_float|object_hook|object_pairs_hook|cls)=|^$", "".join(call))
        if "parse_int=" not in "".join(call)
    }
    assert own == refuse
