"""Where an undocumented name is mentioned: text files that `docs` does not name, and texts that are not an entry."""

from __future__ import annotations

import re
from collections.abc import Collection

from cicd_actions.workflows.place import Place
from cicd_actions.workflows.tree import Tree

MOST_FILES = 500
"""Text files that are searched: the hint is worth no more time."""

_TEXT = re.compile(r".*\.(?:md|mdx|markdown|rst|adoc|txt|org)", re.IGNORECASE)
_PASSED_OVER = re.compile(r"(?:^|/)(?:node_modules|vendor|third_party|CHANGELOG[^/]*|HISTORY[^/]*|LICENSE[^/]*)", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z_]\w*", re.ASCII)


def find(tree: Tree, names: Collection[str], documents: Collection[str]) -> dict[str, tuple[Place, bool]]:
    """Returns the first mention of each name, and whether the file is one of `documents`. Takes linear time."""
    wanted = {name.upper() for name in names}
    found: dict[str, tuple[Place, bool]] = {}
    if not wanted:
        return found
    paths = [path for path in tree.paths if _TEXT.fullmatch(path) and not _PASSED_OVER.search(path)]
    # A document that was read already says more than any other file.
    for path in sorted(paths, key=lambda path: (path not in documents, path.count("/"), path))[:MOST_FILES]:
        text = tree.glance(path)
        if text is None:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            for match in _WORD.finditer(line):
                name = match[0].upper()
                if name in wanted and name not in found:
                    found[name] = (Place(path, number, match.start() + 1), path in documents)
        if len(found) == len(wanted):
            break
    return found
