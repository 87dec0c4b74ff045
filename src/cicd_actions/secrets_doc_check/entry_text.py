"""What a documented entry says: its purpose, where it lives, how to set it. And which words are names."""

from __future__ import annotations

import re
from dataclasses import dataclass

from cicd_actions.secrets_doc_check.model import Missing

# A bare word is a name when it is in capitals; within backticks it may have any case.
_ONE = re.compile(
    r"\[?(?:`(?:secrets\.|vars\.|env\.)?([A-Za-z_]\w*)`|(?:secrets\.|vars\.)?([A-Z][A-Z0-9_]+)(?!\w))(?:\]\([^)\s]*\))?",
    re.ASCII,
)
_KIND = re.compile(r"\s*(?:the\s+)?(?:(?:environment\s+)?variables?|secrets?|settings?)\s+(?=[`\[A-Z])", re.IGNORECASE)
_BETWEEN = re.compile(r"\s*(?:,\s*\b(?:and|or)\b|\b(?:and|or)\b|/|,|\+|&)\s*")
_ASIDE = re.compile(r"\s*\(([^()]{0,200})\)")
_END = re.compile(r"\s*(?::|=(?!=)|–|—|--?(?=\s)|$)\s*")
_STARS = re.compile(r"\*+")


@dataclass(frozen=True)
class Head:
    """The names at the beginning of an entry, each with its offset, and the text behind them."""

    names: tuple[tuple[str, int], ...]
    rest: str


def head(text: str) -> Head | None:
    """`NAME: purpose`, `USER / PASSWORD: …`, `**NAME** (optional) – …`, ``variables `A`, `B`: …``; `None` for other texts."""
    # Blanks in place of the emphasis, so that offsets stay.
    plain = _STARS.sub(lambda match: " " * len(match[0]), text)
    if plain.lstrip().startswith("__"):
        # Emphasis by underscores, which a name may hold as well: only the pair around the beginning counts.
        plain = plain.replace("__", "  ", 2)
    names: list[tuple[str, int]] = []
    kind = _KIND.match(plain)
    at = kind.end() if kind else len(plain) - len(plain.lstrip())
    while match := _ONE.match(plain, at):
        group = 1 if match[1] else 2
        names.append((match[group], match.start(group)))
        between = _BETWEEN.match(plain, match.end())
        at = between.end() if between else match.end()
        if not between:
            break
    aside = _ASIDE.match(plain, at)
    end = _END.match(plain, aside.end() if aside else at)
    if not names or not end:
        return None
    rest = plain[end.end() :].strip()
    return Head(tuple(names), f"({aside[1]}) {rest}" if aside else rest)


def cell_head(cell: str) -> Head | None:
    """The names that a table's cell consists of, or starts with as an entry of a list does; `None` for other texts."""
    return head(re.sub(r"<br\s*/?>", lambda match: "/".ljust(len(match[0])), cell))


_FIRST_WORD = re.compile(r"\w+(?:/\w+)?")
_PLACEHOLDERS = frozenset({"todo", "tbd", "tba", "fixme", "xxx", "na", "n/a", "none"})


def _label(words: str) -> re.Pattern[str]:
    return re.compile(rf"\W*(?:{words})\W*:\s*(.*)", re.IGNORECASE | re.DOTALL)


_PURPOSE_LABEL = _label(r"purpose|description|what(?: for)?|used? for|why")
_OTHER_LABEL = _label(r"used (?:by|in)|owner|example|optional|required|default|format|type|since")
_WHERE_LABEL = _label(r"where(?: it lives)?|lives? in|level|scope|location|stored(?: in)?|kept in|environments?")
_HOW_LABEL = _label(r"how(?: to [\w ]{1,30})?|set(?: by| with)?|obtain(?:ed)?(?: from)?|source|get it|value|rotation")
_WHERE = re.compile(
    r"\b(?:repositor(?:y|ies)|repo|environments?|organi[sz]ation|org|vault|key ?vault|secrets? manager|1password|bitwarden"
    r"|doppler|dependabot|parameter store|container|stack|compose file)\b",
    re.IGNORECASE,
)
_HOW = re.compile(
    r"\b(?:gh (?:secret|variable) set|openssl|ssh-keygen|generate[ds]?|creat(?:e|ed|es)|obtain(?:ed)?|get (?:it|one|them|this)"
    r"|copy|copied|ask|request|issued?|provided by|made (?:by|with|in)|set (?:it|them|this|by|with|to|in|up|the)|register"
    r"|rotate[ds]?|download|printed by|shown (?:in|by|at)|found (?:in|under|at)|defaults? to|console|dashboard)\b"
    r"|https?://|settings ?[>→]",
    re.IGNORECASE,
)
_STORE = re.compile(
    r"\b(?:add|set|configur\w*|creat\w*|need\w*|stor\w*|defin\w*|expect\w*|requir\w*|sav\w*)\b[^.]{0,80}"
    r"\b(?:repositor(?:y|ies)|repo|organi[sz]ation)\b"
    r"|\b(?:repository|organi[sz]ation|environment|github(?: actions)?(?: repository)?)[ -]secrets?\b|/settings/secrets",
    re.IGNORECASE,
)
_SETTING_UP = re.compile(
    r"\bsettings[^\w.]{0,8}[>→›»]|\bnew (?:repository|environment|organi[sz]ation) secret\b|/settings/secrets"
    r"|\bgh (?:secret|variable) set\b|\b(?:add|set|configure|create|save|store)\b[^.]{0,60}\b(?:secrets?|variables?)\b",
    re.IGNORECASE,
)
_HOW_FIRST = re.compile(r"\W*(?:generate|create|obtain|get|copy|ask|request|set|register|rotate|download|run)\b", re.IGNORECASE)
_CLAUSE = re.compile(r"\n+|;\s+|(?<=[.!?])\s+|\s[·|]\s")


def missing(text: str, *, purpose: str = "", where: str = "", how: str = "", around: str = "") -> tuple[Missing, ...]:
    """What an entry does not say, by its text and by its own cells for the three; `around` are its headings."""
    says_purpose, says_where, says_how = (_meant(cell) for cell in (purpose, where, how))
    says_where |= bool(_WHERE.search(around))
    for clause in _CLAUSE.split(text):
        if labelled := _WHERE_LABEL.fullmatch(clause):
            says_where |= _meant(labelled[1])
        elif labelled := _HOW_LABEL.fullmatch(clause):
            says_how |= _meant(labelled[1])
        elif labelled := _PURPOSE_LABEL.fullmatch(clause):
            says_purpose |= _meant(labelled[1])
        elif not _OTHER_LABEL.fullmatch(clause):
            says_how |= bool(_HOW.search(clause))
            says_where |= bool(_WHERE.search(clause))
            aside = clause.strip().startswith("(") and clause.strip().endswith(")")
            says_purpose |= _meant(clause) and not _HOW_FIRST.match(clause) and not aside
    said = {Missing.PURPOSE: says_purpose, Missing.WHERE: says_where, Missing.HOW: says_how}
    return tuple(part for part, is_said in said.items() if not is_said)


def told(text: str) -> frozenset[Missing]:
    """Returns what a heading, or the text in front of a list, says of all the names that follow: where, and how."""
    says = {Missing.WHERE: _STORE, Missing.HOW: _SETTING_UP}
    return frozenset(part for part, pattern in says.items() if pattern.search(text))


def _meant(text: str) -> bool:
    """Whether a text says anything: neither empty nor a placeholder, nor one with a note behind it (`TODO: …`)."""
    word = _FIRST_WORD.search(text)
    return word is not None and word[0].lower() not in _PLACEHOLDERS
