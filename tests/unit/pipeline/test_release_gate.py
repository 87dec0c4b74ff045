from __future__ import annotations

import json
from pathlib import Path

import pytest

from cicd_actions.pipeline import release_gate
from cicd_actions.pipeline.release_gate import decide

MAIN = "refs/heads/main"


@pytest.mark.parametrize(
    ("event_name", "ref", "complete", "production_refs", "expected"),
    [
        ("push", MAIN, True, "", (True, True)),
        ("workflow_dispatch", MAIN, True, "", (True, True)),
        ("push", MAIN, False, "", (False, False)),
        ("push", "refs/heads/topic", True, "", (False, False)),
        ("push", "refs/heads/main2", True, "", (False, False)),
        ("push", "refs/tags/main", True, "", (False, False)),
        ("pull_request", MAIN, True, "", (False, False)),
        ("merge_group", MAIN, True, "", (False, False)),
        ("schedule", MAIN, True, "", (False, False)),
        ("push", MAIN, True, "refs/tags/v*", (True, False)),
        # Production is only behind staging: a ref that staging does not know goes nowhere.
        ("push", "refs/tags/v1", True, "refs/tags/v*", (False, False)),
    ],
)
def test_who_is_released(event_name: str, ref: str, complete: bool, production_refs: str, expected: tuple[bool, bool]) -> None:
    found = decide(event_name, ref, complete, MAIN, production_refs)
    assert (found.staging, found.production) == expected
    assert found.reason


def test_patterns_are_one_per_line() -> None:
    refs = "\n  refs/heads/main \n\nrefs/tags/v*\n"
    assert decide("push", "refs/tags/v1.2", True, refs, "").production
    assert not decide("push", "refs/tags/x1.2", True, refs, "").staging


@pytest.mark.parametrize(
    ("branch", "ref", "released"),
    [("main", MAIN, "true"), ("v[1]", "refs/heads/v[1]", "true"), ("v[1]", "refs/heads/v1", "false"), ("*", MAIN, "false")],
)
def test_by_default_the_default_branch_by_its_name(
    branch: str, ref: str, released: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(tmp_path, monkeypatch, {"repository": {"default_branch": branch}}, ref)
    release_gate.main()
    assert f"release={released}\n" in (tmp_path / "GITHUB_OUTPUT").read_text()


def test_an_event_without_a_default_branch_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(tmp_path, monkeypatch, {}, MAIN)
    with pytest.raises(SystemExit) as end:
        release_gate.main()
    assert end.value.code == 2
    assert "set `staging-refs: refs/heads/main`" in capsys.readouterr().out


def prepare(folder: Path, monkeypatch: pytest.MonkeyPatch, event: dict[str, object], ref: str) -> None:
    for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "GITHUB_EVENT_PATH"):
        monkeypatch.setenv(name, str(folder / name))
    (folder / "GITHUB_EVENT_PATH").write_text(json.dumps(event))
    monkeypatch.setenv("GITHUB_EVENT_NAME", "push")
    monkeypatch.setenv("GITHUB_REF", ref)
    monkeypatch.setenv("GITHUB_SHA", "a" * 40)
    monkeypatch.setenv("INPUTS", json.dumps({"complete": "true", "staging-refs": "", "production-refs": ""}))
