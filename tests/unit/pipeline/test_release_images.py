from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd_actions.pipeline import release_images
from cicd_actions.pipeline.release_images import DeployError, pairs, release

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def test_pairs_keep_their_order() -> None:
    assert list(pairs("\n web = x=y \napi=z\n", "images").items()) == [("web", "x=y"), ("api", "z")]


@pytest.mark.parametrize("lines", ["api", "api=", "=x", "api=x\napi=y", "-x=y", "a b=c"])
def test_pairs_of_another_form_are_told(lines: str) -> None:
    with pytest.raises(DeployError, match="images: "):
        pairs(lines, "images")


@given(st.text(max_size=40))
def test_pairs_never_end_otherwise(lines: str) -> None:
    try:
        found = pairs(lines, "x")
    except DeployError:
        return
    assert all(name and value == value.strip() for name, value in found.items())


def test_a_release_is_named_by_digest() -> None:
    images = "web=ghcr.io/org/web\napi=localhost:5000/api"
    assert release(images, f"api={A}\nweb={B}") == {"api": f"localhost:5000/api@{A}", "web": f"ghcr.io/org/web@{B}"}


@pytest.mark.parametrize(
    ("images", "digests", "said"),
    [
        ("api=x", "", "nothing to deploy"),
        ("api=x", f"web={A}", "must be the same"),
        ("api=x\nweb=y", f"api={A}", "must be the same"),
        ("api=x", "api=latest", "64 hexadecimal digits"),
        ("api=x", f"api={A[:-1]}", "64 hexadecimal digits"),
        ("api=x", f"api={A.upper()}", "64 hexadecimal digits"),
    ],
)
def test_what_is_no_release_is_told(images: str, digests: str, said: str) -> None:
    with pytest.raises(DeployError, match=said):
        release(images, digests)


@pytest.fixture
def step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that the step's outputs go to."""
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    return tmp_path / "output"


def run(monkeypatch: pytest.MonkeyPatch, **inputs: str) -> int:
    given = {
        "environment": "staging",
        "images": "api=local/api\nweb=local/web",
        "digests": f"web={B}\napi={A}",
        "urls": "api=http://a\nweb=https://b",
        "migrate-service": "api",
        **{name.replace("_", "-"): value for name, value in inputs.items()},
    }
    monkeypatch.setenv("INPUTS", json.dumps(given))
    try:
        release_images.main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_the_images_are_handed_on_in_order(step: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch) == 0
    head, *lines, end, migrates = step.read_text().splitlines()
    assert head == f"services<<{end}"
    assert lines == [f"web=local/web@{B}", f"api=local/api@{A}"]
    assert migrates == f"migrate-image=local/api@{A}"


def test_nothing_may_migrate(step: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, migrate_service="") == 0
    assert step.read_text().endswith("migrate-image=\n")


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"urls": "api=http://x\nweb="}, "set the variable WEB_URL of the environment staging"),
        ({"urls": "api=/health\nweb=http://x"}, "where the api answers"),
        ({"migrate_service": "worker"}, "worker is not deployed here; there are web, api"),
        ({"digests": "api=latest"}, "must be the same"),
    ],
)
def test_what_is_wrong_is_told_before_anything_moves(
    step: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], inputs: dict[str, str], said: str
) -> None:
    assert run(monkeypatch, **inputs) == 1
    assert said in capsys.readouterr().out
    assert not step.exists()


def test_a_dotenv_is_masked_for_the_whole_job(
    step: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RELEASE_ENV", 'TOKEN="tr0ub4dor&3"\n')
    assert run(monkeypatch) == 0
    assert "::add-mask::tr0ub4dor&3" in capsys.readouterr().out
