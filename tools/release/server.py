"""What GitHub Enterprise Server and older runners do not have, and what a release's tree for them has instead.

`DIFFERENCES` is the only list: the tree is rewritten by it, and the table in docs/enterprise-server.md is made from it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Difference:
    """Something that is missing there. Lines that *pattern* finds become *becomes*; without a pattern nothing is rewritten."""

    what: str
    instead: str
    price: str
    pattern: str = ""
    becomes: str = ""


DIFFERENCES = (
    Difference(
        "`$/`, the same repository at the same commit (runner 2.336)",
        "each action by repository and commit, from `REFERENCES`",
        "two commits instead of one",
        r"(uses:\s*)\$/(\S+)",
        r"\1{repository}/\2@{commit}",
    ),
    Difference(
        "artifacts v4 (`upload-artifact` and `download-artifact` from v4 on)",
        "their last v3, on Node.js 20",
        "none",
        r"(uses: actions/upload-artifact)@[^\n]*",
        r"\1@c6a3b2bd78b3985e4b2f15397fec357f0fd808de # v3-node20",
    ),
    Difference(
        "",
        "",
        "",
        r"(uses: actions/download-artifact)@[^\n]*",
        r"\1@ad191675b41f6a5b46da9a048cb6893812da158b # v3-node20",
    ),
    Difference(
        "`overwrite` of an artifact",
        "nothing: v3 always replaces what has the same name",
        "none",
        r"\n *overwrite: true(?=\n)",
    ),
    Difference(
        "`environment.deployment: false`",
        "nothing: the line is dropped",
        "GitHub adds its own Deployment to each job, which no record counts",
        r"\n *deployment: false(?=\n)",
    ),
    Difference(
        "`concurrency.queue: max`",
        "nothing: the line is dropped",
        "a third deploy cancels the one that waits: start one at a time",
        r"\n *queue: max(?=\n)",
    ),
    Difference(
        "more than four levels of workflows",
        "nothing: `pipeline.yml` uses exactly four, your own workflow included",
        "a workflow that calls `pipeline.yml` cannot be called itself",
    ),
    Difference(
        "artifact attestations",
        "nothing: there `attest: auto` attests no image",
        "a deploy cannot prove who built an image; do not write `attest: true`",
    ),
    Difference(
        "actions on Node.js 24 (runner 2.327.1)",
        "nothing: update the runners",
        "`checkout`, `cache` and the set-up actions do not start",
    ),
)


def for_server(text: str, references: str) -> str:
    """Returns a workflow or action file as a server understands it; *references* is `owner/repository@<commit>`."""
    repository, _, commit = references.partition("@")
    for each in DIFFERENCES:
        if each.pattern:
            text = re.sub(each.pattern, each.becomes.format(repository=repository, commit=commit), text)
    return text


def table() -> str:
    """Returns the list as a table of the documentation."""
    rows = [f"| {each.what} | {each.instead} | {each.price} |" for each in DIFFERENCES if each.what]
    return "\n".join(["| what is missing | what the tree has instead | what it costs |", "| --- | --- | --- |", *rows]) + "\n"
