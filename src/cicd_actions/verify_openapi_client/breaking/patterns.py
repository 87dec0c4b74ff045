r"""Brings regular expressions into one spelling: `\d` is `[0-9]`, and `^.*$` restricts nothing.

Whether one expression contains another is not decided.
"""

from __future__ import annotations

import re
from functools import lru_cache

_CLASSES = {r"\d": "0-9", r"\w": "A-Za-z0-9_"}
"""ECMA-262, section 22.2.2.9: without flags these hold ASCII alone."""

_WORD = re.compile(r"\\.|\[\^?\]?|\]|\{\d*(?:,\d*)?\}|.", re.DOTALL)
_COUNTS = {"{0,}": "*", "{1,}": "+", "{0,1}": "?", "{1}": "", "{1,1}": ""}


@lru_cache(maxsize=4096)
def normal(pattern: str) -> str:
    """Returns the pattern in one spelling; empty when every text matches."""
    found: list[str] = []
    inside = False
    for match in _WORD.finditer(pattern):
        word = match[0]
        if inside:
            found.append(_CLASSES.get(word, word))
            inside = word != "]"
        elif word.startswith("["):
            inside = True
            found.append(word)
        elif word in _CLASSES:
            found.append(f"[{_CLASSES[word]}]")
        elif word.startswith("\\") and word[1:] in "/-_@:;,=#%&!\"'<>~` ":
            found.append(word[1:])  # an escape that has no meaning
        else:
            found.append(_COUNTS.get(word, word))
    text = "".join(found)
    # Nothing is anchored by itself, so text that may stand before or behind says nothing.
    if not re.search(r"[|()]", text):
        text = re.sub(r"^\^?\.\*(?![?*+{])", "", text)
        text = re.sub(r"(?<![\\])\.\*\$?$", "", text)
    return "" if text in {"^", "$"} else text
