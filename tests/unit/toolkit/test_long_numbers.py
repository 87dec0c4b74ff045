"""A whole number of any length is read from JSON, and only a longer one than Python converts becomes infinite."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests

from cicd_actions.toolkit.long_numbers import LONGEST

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
        ("-" + "9" * (LONGEST - 1), 1 - 10 ** (LONGEST - 1)),
        ("9" * (LONGEST + 1), float("inf")),
        ("-" + "9" * LONGEST, float("-inf")),
        ("7", 7),
    ],
    ids=["longest", "longest negative", "longer", "longer negative", "short"],
)
def test_json_whole_number_is_exact_or_infinite(reader: str, text: str, number: float) -> None:
    read = READERS[reader]
    (found,) = read(f'{{"a": [{text}]}}')["a"]
    assert (type(found), found) == (type(number), number)


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
