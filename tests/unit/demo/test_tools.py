from __future__ import annotations

from pathlib import Path

import pytest

from demo.tools import OLDEST_NODE, SetupError, compile_packages, node_folder, node_version, run, surroundings


def test_nothing_of_a_surrounding_run_shows_in_the_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    left_out = [
        "GITHUB_TOKEN",
        "RUNNER_TEMP",
        "INPUTS",
        "VIRTUAL_ENV",
        "PYTHONDONTWRITEBYTECODE",
        "UV_PROJECT",
        "MAKEFLAGS",
        "BREAK",
        "ENGINE",
        "BASE",
    ]
    left_out += ["DATABASE_URL", "RELEASE_ENV", "TWO_LANE_STATE"]
    # Where packages come from stays the user's choice.
    kept = ["PATH", "HOME", "HTTPS_PROXY", "SSL_CERT_FILE", "PIP_INDEX_URL", "UV_DEFAULT_INDEX", "NPM_CONFIG_REGISTRY"]
    for name in left_out + kept:
        monkeypatch.setenv(name, "x")
    found = surroundings()
    assert not set(left_out) & set(found)
    assert set(kept) <= set(found)


@pytest.mark.parametrize(("said", "version"), [("v20.19.1", (20, 19)), ("v24.0.0", (24, 0)), ("nonsense", (0,)), ("", (0,))])
def test_node_version(tmp_path: Path, said: str, version: tuple[int, ...]) -> None:
    (tmp_path / "node").write_text(f"#!/bin/sh\necho '{said}'\n")
    (tmp_path / "node").chmod(0o755)
    assert node_version(str(tmp_path / "node")) == version


def test_a_node_that_is_new_enough_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("node", "npm"):
        (tmp_path / name).write_text(f"#!/bin/sh\necho v{OLDEST_NODE[0]}.{OLDEST_NODE[1]}.0\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert node_folder(tmp_path / "build", tmp_path / "node.txt", pytest.fail) == tmp_path


def test_what_cannot_be_installed_is_told_with_its_own_words() -> None:
    with pytest.raises(SetupError, match=r"pnpm could not be installed: `sh -c .* ended with 3\.\nno such package"):
        run(["sh", "-c", "echo no such package >&2; exit 3"], "pnpm could not be installed")


def test_byte_code_is_kept_beside_what_uv_has_downloaded(tmp_path: Path) -> None:
    compile_packages({"UV_CACHE_DIR": str(tmp_path / "empty")})
    package = tmp_path / "uv" / "archive-v0" / "one"
    package.mkdir(parents=True)
    (package / "good.py").write_text("x = 1\n")
    (package / "bad.py").write_text("print 'of Python 2'\n")
    compile_packages({"UV_CACHE_DIR": str(tmp_path / "uv")})
    assert [path.name.partition(".")[0] for path in package.rglob("*.pyc")] == ["good"]
