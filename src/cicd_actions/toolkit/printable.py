"""Makes text from outside harmless before it is shown: it cannot act as a workflow command, move a cursor or reorder a line."""

from __future__ import annotations

import re
import unicodedata

# Cc: control characters; Cf: zero-width and bidirectional ones ("Trojan Source", CVE-2021-42574); Zl, Zp: line separators
# that some viewers break lines at; Cs: lone surrogates, which cannot be written as UTF-8.
_HIDDEN = {"Cc", "Cf", "Zl", "Zp", "Cs"}
# Letters and marks that show nothing: default ignorable code points (DerivedCoreProperties of Unicode) that are not Cf, the
# empty Braille pattern, and a musical symbol without a shape.
_BLANK = (
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u2800\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8"
    "\U0001d159\U000e0000-\U000e0fff]"
)
# What makes an emoji of the sign before it is seen with it.
_EMOJI_BASE = "[\u203c-\u3299\U0001f000-\U0001faff]"
_PLAIN = re.compile(r"[\t\n\x20-\x7e]*")
_NOT_PLAIN = re.compile(r"[^\t\n\x20-\x7e]")

# The runner takes a line for a command when it starts with `::` after white space, and, in the old syntax, when `##[`
# stands anywhere: https://github.com/actions/runner/blob/main/src/Runner.Common/ActionCommand.cs
# A bracket is not white space, and an address such as `[::1]:8080` has to stay readable.
_COMMAND = re.compile(r"^([^\w\n[]*?)::", re.MULTILINE)
_OLD_COMMAND = re.compile(r"##(?=\[)")


def visible(text: str) -> str:
    """Returns `text` with every character that hides, moves or reorders spelled out (`\\x1b`), except tab and newline."""
    if _PLAIN.fullmatch(text):
        return text
    text = text.replace("\r\n", "\n")
    return _NOT_PLAIN.sub(_spelled, text)


def _spelled(match: re.Match[str]) -> str:
    char = match[0]
    if unicodedata.category(char) not in _HIDDEN and not re.match(_BLANK, char):
        return char
    if char in "\ufe0e\ufe0f" and re.match(_EMOJI_BASE, match.string[match.start() - 1 : match.start()]):
        return char
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def defused(text: str) -> str:
    """Returns visible text of which no line can act as a workflow command, in the new syntax or the old."""
    return _OLD_COMMAND.sub("## ", _COMMAND.sub(r"\1: :", visible(text)))


def beginning(text: str, limit: int) -> str:
    """Returns the first `limit` characters and the mark of a cut: the redactor knows a secret's beginning before it."""
    return text if len(text) <= limit else f"{text[:limit]}…"


def shortened(text: str, limit: int) -> str:
    """Returns at most `limit` characters; the text says how many it leaves out."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}… ({len(text) - limit} more characters)"
