"""Reads YAML by the 1.2 core schema, so that `on:` and `3.10` stay what they are, and keeps the place of every node.

The grammar is PyYAML's: its parser makes the events, except for texts in the plain block style, which `block` reads alone.
Nothing of PyYAML that builds Python objects is used. The reading order is `nodes` (what a document is made of), `source_map`
(where it stands in the text), `block` (the fast reader), `events` (the whole one, on the loader of `tabs`).

GitHub's reading of workflow files is followed. Tabs separate words, as in YAML 1.2. PyYAML's grammar is wider in one place: a
quoted text, or a list in brackets, may go on at the margin, where GitHub wants it indented. Aliases stand for what they name,
and `<<` is a key like any other: `Mapping.merged` applies it, for formats that have merges. Aliases share their node, so the
memory used is that of the text; what they would expand to is counted and bounded.
"""

from __future__ import annotations

from cicd_actions.toolkit.yaml12 import block, events
from cicd_actions.toolkit.yaml12.nodes import Mapping, Node, NotYaml, Scalar, Sequence, plain
from cicd_actions.toolkit.yaml12.source_map import Document, Duplicate

__all__ = ["Document", "Duplicate", "Mapping", "Node", "NotYaml", "Scalar", "Sequence", "plain", "read"]

LONGEST = 1024 * 1024
"""Characters of one text. GitHub refuses workflow files above 512 KiB."""

MOST_NODES = 1_000_000
"""Nodes after aliases are followed. An alias bomb of ten lines would have billions."""


def read(
    text: str, *, strict: bool = True, fold_case: bool = False, longest: int = LONGEST, most_nodes: int = MOST_NODES
) -> Document:
    """The one document of the text, in linear time.

    Duplicate keys are an error when `strict`, else they are listed in the document; with `fold_case`, keys that differ
    only in case are duplicates too, as for GitHub. Raises `NotYaml`.
    """
    if len(text) > longest:
        raise NotYaml(f"the text has {len(text)} characters, which is more than {longest}")
    document = Document(text.removeprefix("\ufeff"))

    if not block.read(document, fold_case=fold_case, most_nodes=most_nodes):
        events.Builder(document, fold_case=fold_case, most_nodes=most_nodes).build()
    if strict and document.duplicates:
        twice = document.duplicates[0]
        raise NotYaml(f"the key `{twice.key}` stands in line {twice.first_line} already", twice.line, twice.column)
    return document
