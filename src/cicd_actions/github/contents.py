"""Files of repositories, at a commit."""

from __future__ import annotations

import base64
import binascii

from cicd_actions.github.client import GitHub, segment
from cicd_actions.github.errors import Permission
from cicd_actions.toolkit.errors import Inconclusive
from cicd_actions.toolkit.json_values import members

CONTENTS = Permission("Contents")


def text(github: GitHub, path: str, commit: str) -> str:
    """Returns the text of a file at a full commit SHA.

    Raises what `GitHub.get` raises, and `Inconclusive` for an answer without the text (GitHub sends files up to 1 MB).
    """
    what = f"read {path} of {github.repository} at {commit[:7]}"
    place = "/".join(segment(part) for part in path.split("/"))
    answer = github.get(f"{github.repo}/contents/{place}", what, needs=CONTENTS, ref=commit)
    content = members(answer).get("content")
    if not isinstance(content, str) or answer.get("encoding") != "base64":
        raise Inconclusive(f"Could not {what}: the answer holds no text.")
    try:
        return base64.b64decode(content).decode("utf-8-sig")
    except (binascii.Error, UnicodeDecodeError):
        raise Inconclusive(f"Could not {what}: it is not UTF-8 text.") from None
