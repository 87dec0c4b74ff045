"""Knows this environment's secrets in every spelling in which a program may print them, and hides them in text."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import stat
from functools import partial
from typing import Iterable, Iterator, Mapping
from urllib.parse import quote, quote_plus, unquote, unquote_plus

MASK = "***"
SHORTEST = 6
"""Shorter values are left alone: masking them would hide nothing and make every text unreadable."""

SECRETS = "/run/secrets"
"""Where Docker, Swarm and Compose mount secrets: https://docs.docker.com/engine/swarm/secrets/"""

_LARGEST = 64 * 1024
_MOST_FILES = 100

_NAMES = re.compile(r"PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|API_?KEY|PRIVATE_?KEY|CREDENTIAL", re.IGNORECASE)
_NAMED_SHORTEST = 8

# What follows the colon in `http://host:8000/a@b` is a port.
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*://[^\s:/@\"']*:)(?!\d+[/?])([^\s\"'<>]+)@")
_KEYWORD = re.compile(r"\b((?:password|passwd|pwd)\s*=\s*)('[^']*'|\"[^\"]*\"|[^\s'\"&;,)]+)", re.IGNORECASE)
# pydantic quotes its input, cut in the middle: a part of a secret is a secret too, and no list of secrets has it.
_PYDANTIC = re.compile(r"(\[type=[\w.]+), input_value=.*, input_type=[\w.]+\]")


def spellings(secret: str) -> set[str]:
    """Returns the secret and its lines: raw, URL-decoded, URL-encoded as each library does, escaped, and in base64."""
    found: set[str] = set()
    for raw in {secret, secret.strip(), *secret.splitlines()}:
        for plain in {raw, unquote(raw), unquote_plus(raw)}:
            # SQLAlchemy leaves a space and a plus sign as they are.
            # A file of bytes, such as a keystore, has characters that only this spells.
            spelled = partial(quote, plain, errors="surrogateescape")
            encoded = {spelled(safe=""), spelled(), quote_plus(plain, errors="surrogateescape"), spelled(safe=" +")}
            lower = {re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), one) for one in encoded}
            # ConfigParser doubles the percent sign; repr() and JSON escape quotes and backslashes.
            escaped = {plain.replace("%", "%%"), repr(plain)[1:-1], json.dumps(plain)[1:-1]}
            coded = {base64.b64encode(plain.encode("utf-8", "surrogateescape")).decode()}
            found |= {plain, *encoded, *lower, *escaped, *coded}
    return {one for one in found if len(one) >= SHORTEST}


def passwords(text: str) -> set[str]:
    """Returns the passwords of every `scheme://user:password@` in a text. A password may hold an `@`, so both ends count."""
    found: set[str] = set()
    for match in _URL.finditer(text):
        found |= {match[2], match[2].partition("@")[0]}
    return found


def found_in(environment: Mapping[str, str], url_variable: str, folder: str = SECRETS) -> Iterator[str]:
    """Yields the secrets of an environment: the URL's variable, URLs with a password, variables named after a secret, and
    what stands in the files of `folder` or in those that a variable `…_FILE` names."""
    for name, value in environment.items():
        inside = passwords(value)
        yield from inside
        named = _NAMES.search(name) and len(value) >= _NAMED_SHORTEST and not name.upper().endswith("_FILE")
        if name == url_variable or inside or named:
            yield value
    files = [value for name, value in environment.items() if name.upper().endswith("_FILE")]
    with contextlib.suppress(OSError):
        files += [os.path.join(folder, name) for name in sorted(os.listdir(folder))[:_MOST_FILES]]
    for path in files:
        yield from _in_file(path)


def _in_file(path: str) -> Iterable[str]:
    try:
        about = os.stat(path)  # a device or a pipe is not read
        if not stat.S_ISREG(about.st_mode) or about.st_size > _LARGEST:
            return ()
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            text = file.read()
    except (OSError, ValueError):
        return ()
    # A whole dotenv file may be one secret: each of its values is a secret too.
    values = {value.strip().strip("'\"") for value in re.findall(r"^\s*(?:export\s+)?\w+=(.+)$", text, re.MULTILINE)}
    return {text.strip(), *values, *passwords(text)}


class Redaction:
    """Hides what it was told, and every password of a URL, wherever it comes from."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._hidden: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        for secret in secrets:
            self.add(secret)

    def add(self, secret: str) -> bool:
        """Hides a secret from now on. Returns whether that was new."""
        new = spellings(secret) - self._hidden
        if new:
            self._hidden |= new
            # The longest first: a secret may begin like another one.
            self._pattern = re.compile("|".join(map(re.escape, sorted(self._hidden, key=len, reverse=True))))
        return bool(new)

    def __call__(self, text: str) -> str:
        """Returns the text without secrets."""
        if self._pattern is not None:
            text = self._pattern.sub(MASK, text)
        if "://" in text:
            text = _URL.sub(rf"\1{MASK}@", text)
        if "=" in text:
            text = _KEYWORD.sub(rf"\1{MASK}", text)
            text = _PYDANTIC.sub(r"\1]", text)
        return text
