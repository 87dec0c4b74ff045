"""Holds all tracked text to the list of words that are replaced, so that a message reads as an engineer would write it."""

from __future__ import annotations

import re
import subprocess
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

REPLACEMENTS = (
    # (a pattern for what not to write, what to write instead, a sentence that the pattern finds)
    (r"mend(s|ed|ing)?", "fix", "It mends the file."),
    (r"be had", "is (not) available", "The image cannot be had."),
    (r"(go|goes|going|went|gone) back", "roll back, is rolled back", "It goes back to release 1."),
    (r"way back", "rollback", "The way back is proven."),
    (r"(gate|prove)[sd]? again", "verify again", "The release is proved again."),
    (r"for ever", "forever", "It waits for ever."),
    (r"all the same", "still, anyway", "It is red all the same."),
    (r"of (its|their|one['’]s) own", "its own, separate", "It runs in a thread of its own."),
    (r"of your own(?! (programs|runner))", "your own, separate", "Use a network of your own."),
    (r"ended well", "succeeded", "The command ended well."),
    (r"nobody", "name the actor, or: is not known", "Nobody knows the unit."),
    (r"whoever", "name the actor", "Whoever reads it is paged."),
    (r"without a word", "silently", "It ends without a word."),
    (r"in silence", "silently", "It ends in silence."),
    (r"time (is|was) over", "the deadline passed", "The time is over."),
    (r"in vain", "timed out waiting for", "It waited in vain."),
    (r"came: (?!str\b)\w+", "got:", "expected 200; came: 302"),
    (r"at hand", "available", "The secrets are at hand."),
    (r"what callers have now", "the current API", "It breaks what callers have now."),
    (r"not looked for", "skipped", "The file was not looked for."),
    (r"put(s|ting)? [^.;:\n]{1,40} into", "add to, set", "Put the key into `with`."),
    (r"anew", "again, new", "The name is resolved anew."),
    (r"shall", "must, should, may", "It shall not wait."),
    (
        r"(tell|told|tells|telling) of|whom to tell|(no one|someone|somebody) is told",
        "report, send, notify",
        "It tells of a failure.",
    ),
    (r"(can|could) ?not be told", "is not known, could not be determined", "What runs cannot be told."),
    (r"so many (?!that\b)[a-z]+", "this number of", "It waits for so many replicas."),
    (r"as often as", "any number of times, whenever", "It may be called as often as needed."),
    (r"(is|are|be|was|were)( never| not| only)? waited for", "name who waits", "The lock is waited for."),
    (r"in the place of", "instead of", "It runs in the place of the upgrade."),
    # "There is no token" is good English, and so are "is no longer" and "is no more than".
    (r"(?<!there )is no(?! (longer|more|one)\b) [a-z]+", "is not a", "The text is no JSON."),
)

NOT_HELD = (
    "LICENSE",
    "*.lock",
    "*package-lock.json",
    "*pnpm-lock.yaml",
    "requirements/*",
    "*.patch",
    "*.case",  # corpora: documents as other people write them
    "tests/contract/test_words.py",
)

ALLOWED = (
    # (file, text of the line, why)
    ("CHANGELOG.md", "`drift.mend` is now", "the former name of a key"),
    ("examples/two-lane/apps/api/tests/test_migrations.py", "postgresql://nobody@", "the name of a role"),
    ("examples/two-lane/infra/web/nginx.conf", "runs as nobody on", "the name of a user"),
    ("tests/integration/release/test_image.py", "run as nobody, on", "the name of a user"),
)


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("needs a git checkout: the test reads what git tracks")
    names = [name for name in listed.stdout.split("\0") if name]
    return [name for name in names if not any(fnmatch(name, pattern) for pattern in NOT_HELD)]


def compiled(pattern: str) -> re.Pattern[str]:
    """Returns the pattern for whole words in any case. A word in an identifier (`came_back`) is not one of ours."""
    return re.compile(rf"(?<![\w-])(?:{pattern})(?![\w-])", re.IGNORECASE)


ANY = compiled("|".join(pattern for pattern, _, _ in REPLACEMENTS))
RULES = [(compiled(pattern), instead) for pattern, instead, _ in REPLACEMENTS]


@pytest.mark.parametrize(("pattern", "sentence"), [(pattern, sentence) for pattern, _, sentence in REPLACEMENTS])
def test_pattern_sample_is_found(pattern: str, sentence: str) -> None:
    assert compiled(pattern).search(sentence)


def test_tracked_text_has_none_of_the_words_to_replace() -> None:
    found = []
    for name in tracked():
        path = ROOT / name
        if path.is_symlink() or not path.is_file():
            continue
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        for rule, instead in RULES if ANY.search(text) else ():
            for hit in rule.finditer(text):
                number = text.count("\n", 0, hit.start()) + 1
                line = text.splitlines()[number - 1]
                if not any(name == file and allowed in line for file, allowed, _ in ALLOWED):
                    found.append(f"{name}:{number}: write “{instead}” instead of “{hit.group()}”")
    assert not found, "\n".join(found)


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, text, _ in ALLOWED])
def test_allowed_line_is_still_there(name: str, text: str) -> None:
    assert text in (ROOT / name).read_text("utf-8")
