"""JavaScript and TypeScript: `process.env` and `import.meta.env`, by a tokenizer that knows comments, texts and templates."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator

from cicd_actions.secrets_doc_check.code.code_uses import CodeUses

BUILT_IN = frozenset({"MODE", "BASE_URL", "PROD", "DEV", "SSR", "NODE_ENV"})
"""What Vite and bundlers put there themselves: https://vite.dev/guide/env-and-mode#built-in-constants. npm sets `npm_…`."""

_TOKEN = re.compile(
    r"(?P<space>\s+)|(?P<comment>//[^\n]*|/\*.*?(?:\*/|\Z))|(?P<text>'(?:[^'\\\n]|\\.)*'?|\"(?:[^\"\\\n]|\\.)*\"?)"
    r"|(?P<name>[A-Za-z_$][\w$]*)|(?P<number>[0-9][\w.]*)|(?P<sign>\?\.(?![0-9])|\?\?=?|\|\|=?|\.\.\.|=>|[-+]{2}|[!=]==?|.)",
    re.DOTALL,
)
_TEMPLATE = re.compile(r"(?:[^`\\$]|\\.|\$(?!\{))*", re.DOTALL)
# A `/` after one of these ends a value, so it divides; after anything else a regular expression starts.
_ENDS_VALUE = re.compile(r"[\w$)\]}'\"`]")
_KEYWORDS = frozenset(
    {"return", "typeof", "case", "in", "of", "delete", "void", "throw", "new", "else", "do", "instanceof", "yield", "await"}
)
_PATTERN = re.compile(r"/(?:[^/\\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+/[A-Za-z]*")

_LONGEST_PATTERN = 1000
_FAILED = 20
"""Characters of a regular expression, and signs of a line that did not begin one: a line full of `/` is not searched from
each of them."""

_LIKE_A_NAME = re.compile(r"[A-Z][A-Z0-9]*_[A-Z0-9_]+")

Token = tuple[str, str, int]


def scan(path: str, text: str) -> CodeUses:
    """The variables that a script reads; `?? x`, `|| x` and a default in a pattern make a use optional."""
    found = CodeUses(path, "environment")
    tokens = [token for token in _tokens(text) if token[0] not in {"space", "comment"}]
    breaks = [match.end() for match in re.finditer("\n", text)]
    for index, (kind, word, at) in enumerate(tokens):
        if kind == "name" and word in {"process", "import"} and not (index and tokens[index - 1][1] in {".", "?."}):
            after = _environment(tokens, index)
            if after is not None:
                _read(found, tokens, index, after, _place(breaks, at))
        elif kind == "text" and _LIKE_A_NAME.fullmatch(word[1:-1]):
            found.mention(word[1:-1], *_place(breaks, at))
    return found


def _place(breaks: list[int], at: int) -> tuple[int, int]:
    line = bisect_right(breaks, at)
    return line + 1, at - (breaks[line - 1] if line else 0) + 1


def _environment(tokens: list[Token], index: int) -> int | None:
    """The index behind `process.env` or `import.meta.env` that starts at `index`; `None` when it is something else."""
    wanted = ["env"] if tokens[index][1] == "process" else ["meta", "env"]
    at = index + 1
    for word in wanted:
        if at + 1 >= len(tokens) or tokens[at][1] not in {".", "?."} or tokens[at + 1][1] != word:
            return None
        at += 2
    return at


def _read(found: CodeUses, tokens: list[Token], start: int, after: int, place: tuple[int, int]) -> None:
    how = "process.env" if tokens[start][1] == "process" else "import.meta.env"
    words = [word for _, word, _ in tokens[after : after + 4]] + [""] * 4
    kinds = [kind for kind, _, _ in tokens[after : after + 4]] + [""] * 4
    if words[0] in {".", "?."} and kinds[1] == "name":
        _use(found, words[1], place, how, following=words[2])
    elif words[0] == "[" or (words[0] == "?." and words[1] == "["):
        inner = 1 if words[0] == "[" else 2
        if kinds[inner] == "text" and words[inner + 1] == "]":
            behind = tokens[after + inner + 2][1] if after + inner + 2 < len(tokens) else ""
            _use(found, words[inner][1:-1], place, how, following=behind)
        else:
            found.dynamic(f"{how}[…]", *place)
    else:
        names = _destructured(tokens, start)
        for name, optional in names or ():
            _use(found, name, place, how, following="??" if optional else "")
        # `import.meta.env` as a whole is handed on: what is read of it is not known.
        if names is None:
            found.dynamic(how, *place)


def _use(found: CodeUses, name: str, place: tuple[int, int], how: str, *, following: str) -> None:
    if following == "=" or name in BUILT_IN or name.startswith("npm_") or not re.fullmatch(r"[A-Za-z_]\w*", name):
        return
    found.use(name, *place, optional=following in {"??", "||", "??=", "||=", "===", "!==", "==", "!="}, how=how)


def _destructured(tokens: list[Token], start: int) -> list[tuple[str, bool]] | None:
    """The names of `const { A, B: b, C = 'x' } = process.env`, each with whether it has a default; `None` for no such form."""
    if start < 3 or tokens[start - 1][1] != "=" or tokens[start - 2][1] != "}":
        return None
    names: list[tuple[str, bool]] = []
    at = start - 3
    part: list[Token] = []
    depth = 0
    while at >= 0:
        word = tokens[at][1]
        if word in "}])":
            depth += 1
        elif word in "{[(" and depth:
            depth -= 1
        elif not depth and word in {",", "{"}:
            if part:
                first = part[-1]
                if first[1] == "..." or first[0] != "name":
                    return None
                names.append((first[1], any(one[1] == "=" for one in part)))
            part = []
            if word == "{":
                return names[::-1]
            at -= 1
            continue
        part.append(tokens[at])
        at -= 1
    return None


def _tokens(text: str) -> Iterator[Token]:
    """Words and signs in order. Templates are passed over, the code in their `${ }` is not."""
    at = 0
    last = ""
    depths: list[int] = []
    depth = 0
    line_end, failed = -1, 0
    while at < len(text):
        char = text[at]
        if char == "`" or (char == "}" and depths and depths[-1] == depth):
            if char == "}":
                depths.pop()
                depth -= 1
            match = _TEMPLATE.match(text, at + 1)
            end = match.end() if match else at + 1
            if text[end : end + 2] == "${":
                depth += 1
                depths.append(depth)
                end += 2
                last = "("
            else:
                end += 1
                last = "`"
                yield "template", "`", at
            at = end
            continue
        pattern = None
        if char == "/" and text[at + 1 : at + 2] not in {"/", "*"} and not _divides(last):
            if at > line_end:
                line_end, failed = text.find("\n", at) % (len(text) + 1), 0
            if failed < _FAILED:
                pattern = _PATTERN.match(text, at, at + _LONGEST_PATTERN)
                failed += pattern is None
        token = pattern or _TOKEN.match(text, at)
        if token is None:
            return
        kind = "pattern" if pattern else token.lastgroup or ""
        word = token[0]
        if kind == "sign":
            depth += (word == "{") - (word == "}")
        if kind not in {"space", "comment"}:
            last = "'" if pattern else word
        yield kind, word, at
        at = token.end()


def _divides(last: str) -> bool:
    return bool(last) and last not in _KEYWORDS and bool(_ENDS_VALUE.match(last[-1]))
