from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cicd_actions.rollback_to_previous_sha import alembic

HISTORY = """\
INFO  [alembic.runtime] something a plugin logs
Rev: 0004 (head) (mergepoint)
Merges: 0003a, 0003b
Path: /app/migrations/versions/0004_merge.py

    Bring two lines together.

    Rev: 9999
    Revision ID: 0004
    Revises: 0003a, 0003b
    Create Date: 2026-01-01 00:00:00

Rev: 0003b
Parent: 0002
Path: /app/migrations/versions/0003b.py

    Second line

Rev: 0003a
Parent: 0002
Also depends on: 0001
Path: /app/migrations/versions/0003a.py

    First line

Rev: 0002 (branchpoint)
Parent: 0001
Branches into: 0003a, 0003b
Path: /app/migrations/versions/0002.py

    Two

Rev: 0001
Parent: <base>
Path: /app/migrations/versions/0001.py

    One
""".splitlines()


def test_the_history_is_read_with_its_branches() -> None:
    found = alembic.history(HISTORY)
    assert set(found) == {"0004", "0003a", "0003b", "0002", "0001"}
    assert found["0004"].parents == ("0003a", "0003b")
    assert found["0003a"].parents == ("0002", "0001")
    assert found["0001"].parents == ()
    assert found["0004"].path == "/app/migrations/versions/0004_merge.py"
    assert found["0004"].message == "Bring two lines together."


def test_what_is_newer_than_the_known_ones_oldest_first() -> None:
    found = alembic.newer(["0004"], alembic.history(HISTORY), ["0001", "0002"])
    assert found is not None
    names = [each.revision for each in found]
    assert set(names) == {"0003a", "0003b", "0004"}
    assert names[-1] == "0004"
    assert alembic.newer(["0002"], alembic.history(HISTORY), ["0001", "0002"]) == []


def test_a_gap_is_no_answer() -> None:
    assert alembic.newer(["beef"], alembic.history(HISTORY), ["0001"]) is None
    assert alembic.newer(["0004"], {"0004": alembic.history(HISTORY)["0004"]}, ["0001"]) is None


def test_show_has_to_name_the_whole_revision() -> None:
    assert alembic.shows(["Rev: 0002 (head)", "Parent: 0001"], "0002")
    assert not alembic.shows(["Rev: 0002f (head)"], "0002")
    assert not alembic.shows(["    Rev: 0002"], "0002")
    assert not alembic.shows([], "0002")


def test_current_of_one_and_of_several_heads() -> None:
    assert alembic.current(["0004 (head)"]) == ("0004",)
    several = ["INFO  [alembic] Context impl PostgresqlImpl.", "aa (head)", "bb (effective head)", ""]
    assert alembic.current(several) == ("aa", "bb")
    assert alembic.current(["0003a"]) == ("0003a",)
    assert alembic.current([]) == ()


def test_a_lost_revision_is_named() -> None:
    line = "  FAILED: Can't locate revision identified by 'dead'"
    assert alembic.lost(["INFO", line]) == "dead"
    assert alembic.lost(["fine"]) == ""


def test_phases_of_modules() -> None:
    lines = [
        '/a.py:deploy_phase = "contract"',
        "/b.py:deploy_phase: str = 'expand'",
        "/c.py:deploy_phase = PHASES[2]",
        "/d.py:deploy_phase = 'contract'  # it drops a column",
        "/a.py:deploy_phase = 'expand'",
        "/other.py:deploy_phase = 'contract'",
    ]
    assert alembic.deploy_phases(lines, ["/a.py", "/b.py", "/c.py", "/d.py", "/e.py"]) == {
        "/a.py": "contract",
        "/b.py": "expand",
        "/c.py": "",
        "/d.py": "contract",
        "/e.py": "expand",
    }


@given(st.lists(st.text(max_size=60)))
def test_nothing_an_image_prints_breaks_the_reader(lines: list[str]) -> None:
    found = alembic.history(lines)
    alembic.current(lines)
    alembic.lost(lines)
    alembic.shows(lines, "x")
    assert all(alembic.deploy_phases(lines, ["/a.py"])["/a.py"] in {"expand", "contract", ""} for _ in [0])
    assert all(key == each.revision for key, each in found.items())


LINES = ["Rev: a", "Rev: b (head)", "Parent: a", "Parent: b", "Merges: a, b", "Path: /x.py"]


@given(st.lists(st.sampled_from(LINES), max_size=30))
def test_no_history_is_walked_for_ever(lines: list[str]) -> None:
    found = alembic.newer(["a", "b"], alembic.history(lines), [])
    assert found is None or {each.revision for each in found} <= {"a", "b"}


@given(st.text(max_size=80))
def test_a_phase_is_one_of_two_words_or_nothing(value: str) -> None:
    found = alembic.deploy_phases([f"/a.py:deploy_phase = {value}"], ["/a.py"])
    assert found["/a.py"] in {"expand", "contract", ""}
