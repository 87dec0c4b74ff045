from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from cicd_actions.pipeline_metrics.facts import Changes, Facts, Pull
from cicd_actions.pipeline_metrics.store import Store
from cicd_actions.toolkit.errors import UnusableInput
from tests.unit.pipeline_metrics.making import NOW, facts, job, release, run


def whole() -> Facts:
    one = run(1, branch='a\u2028"</script>', conclusion="failure")
    made = facts(one, run(2), job(one, "failure"), release(5, NOW, "a" * 40))
    made.pulls[3] = Pull(3, NOW - 9, NOW, bot=False, author="")
    made.changes["a", "b"] = Changes("a", "b", 2, (1, 2))
    made.gaps = [(5, 9)]
    made.marks = {"etags": {"runs": ["x", {"per_page": 100}]}}
    return made


def test_store_gives_back_what_it_was_given(tmp_path: Path) -> None:
    made = whole()
    Store(tmp_path).write(made)
    assert Store(tmp_path).read("org/app") == made
    lines = (tmp_path / "org" / "app.jsonl").read_text("utf-8").splitlines()
    assert json.loads(lines[0])["schema"] == 3
    assert all(json.loads(line) for line in lines)


def test_lines_whose_runs_are_the_same_are_written_as_they_were(tmp_path: Path) -> None:
    made = facts(*(run(number) for number in range(17_000)))
    Store(tmp_path).write(made)
    path = tmp_path / "org" / "app.jsonl"
    before = path.read_text("utf-8").splitlines()
    store = Store(tmp_path)
    kept = store.read("org/app")
    del kept.runs[3]
    kept.runs[12_000] = kept.runs[12_000]._replace(conclusion="failure")
    kept.runs[20_000] = run(20_000)
    store.write(kept)
    after = path.read_text("utf-8").splitlines()
    assert Store(tmp_path).read("org/app") == kept
    assert [line in after for line in before] == [True, True, False, True, False, False]
    store.write(kept)
    assert path.read_text("utf-8").splitlines() == after


def test_store_without_a_folder_keeps_nothing(tmp_path: Path) -> None:
    Store(None).write(whole())
    assert Store(None).read("org/app").runs == {}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ['{"schema": 1}\n', "[]\n", "", "not json\n", '{"schema": 3, "columns": {}}\n', "\ufeff{}\n"])
def test_store_of_another_schema_is_refused_with_what_to_do(tmp_path: Path, text: str) -> None:
    path = tmp_path / "org" / "app.jsonl"
    path.parent.mkdir()
    path.write_text(text, "utf-8")
    with pytest.raises(UnusableInput, match=r"Remove it"):
        Store(tmp_path).read("org/app")


def test_store_that_was_cut_is_refused(tmp_path: Path) -> None:
    Store(tmp_path).write(whole())
    path = tmp_path / "org" / "app.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UnusableInput):
        Store(tmp_path).read("org/app")


@pytest.mark.parametrize("name", ["../x", "org/..", "org/a/b", "/x", "org/", "org/a\0b"])
def test_store_never_leaves_its_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnusableInput):
        Store(tmp_path).write(Facts(name))


def test_two_writers_at_once_leave_one_whole_file(tmp_path: Path) -> None:
    store = Store(tmp_path)
    sizes = [50, 400]

    def write(size: int) -> None:
        for _ in range(10):
            store.write(facts(*(run(number) for number in range(size))))

    threads = [threading.Thread(target=write, args=(size,)) for size in sizes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.read("org/app").runs) in sizes
    assert [path.name for path in (tmp_path / "org").iterdir()] == ["app.jsonl"]


def test_old_facts_are_forgotten_together(tmp_path: Path) -> None:
    made = whole()
    made.drop_before(NOW - 9_998)
    assert (list(made.runs), made.jobs) == ([2], {})
    made.drop_before(NOW + 1)
    assert (made.runs, made.releases, made.pulls, made.changes, made.gaps) == ({}, {}, {}, {}, [])
