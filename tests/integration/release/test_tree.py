"""The tree of a release commit: the same bytes each time, nothing compiled, nothing else, and provable afterwards."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from cicd_actions.pipeline import check_sbom
from tests.harness.installing import fetched
from tests.harness.release import ROOT, git, release
from tools.release.__main__ import contents
from tools.release.dependencies import collect


def test_the_same_commit_gives_the_same_bytes(clone: Path, tree: Path, tmp_path: Path) -> None:
    """In another clone, with other rights for new files, and in another zone and language."""
    other, again = tmp_path / "another place", tmp_path / "again"
    variables = {**os.environ, "TZ": "Pacific/Kiritimati", "LC_ALL": "C", "PYTHONHASHSEED": "7", "HOME": str(tmp_path)}
    script = 'umask 077 && git clone --quiet --no-hardlinks "$1" "$2" && cd "$2" && "$3" -m tools.release build 1.2.3 "$4"'
    subprocess.run(["bash", "-c", script, "bash", clone, other, sys.executable, again], env=variables, check=True)
    (clone / "not-committed.txt").write_text("never released")
    assert contents(again) == contents(tree)


def test_what_an_environment_changed_in_the_cache_is_not_released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As what appends a company's certificate to each environment's bundle does."""
    locked = re.search(r"(?m)^certifi==(?:.*\\\n)*.*\n", (ROOT / "requirements" / "runtime.txt").read_text("utf-8"))
    assert locked
    lock, uv, environment = tmp_path / "lock.txt", Path(sys.executable).parent / "uv", tmp_path / "environment"
    lock.write_text(locked[0])
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    options = ["--quiet", "--link-mode=hardlink", "--require-hashes", f"--requirement={lock}", f"--target={environment}"]
    fetched(uv, "pip", "install", *options)
    bundle = environment / "certifi" / "cacert.pem"
    good = bundle.read_bytes()
    with bundle.open("ab") as file:
        file.write(b"one more")
    assert [path.read_bytes() for path in (tmp_path / "cache").rglob("cacert.pem")] == [good + b"one more"]
    (tmp_path / "scratch").mkdir()
    collect(lock, tmp_path / "lib", tmp_path / "licences", tmp_path / "scratch", uv)
    assert (tmp_path / "lib" / "certifi" / "cacert.pem").read_bytes() == good


def test_nothing_but_what_a_consumer_uses(clone: Path, tree: Path) -> None:
    actions = {path.parent.name for path in clone.glob("actions/*/action.yml")}
    expected = {"bin", "lib", "licences", "LICENSE", "sbom.cdx.json", "release.json", "cicd.schema.json", ".github", *actions}
    assert {path.name for path in tree.iterdir()} == expected
    assert {path.name for path in (tree / "bin").iterdir()} == {"cicd-actions", "launch.py"}
    for name in actions:
        assert {path.name for path in (tree / name).iterdir()} == {"action.yml", "README.md"}
    other = [path for path in (tree / "lib").rglob("*") if path.is_file() and path.suffix != ".py"]
    assert sorted(path.name for path in other) == ["cacert.pem", "page.css", "page.html", "page.js"]


def test_every_file_is_text_that_a_person_can_read(tree: Path) -> None:
    for path in tree.rglob("*"):
        if path.is_file():
            assert "\0" not in path.read_text("utf-8"), path


def test_every_shipped_package_has_its_licence_and_stands_in_the_sbom(tree: Path) -> None:
    sbom = json.loads((tree / "sbom.cdx.json").read_text())
    listed = {component["name"] for component in sbom["components"]}
    assert listed == {path.name for path in (tree / "licences").iterdir()}
    assert {"httpx", "pyyaml", "pygithub", "tenacity", "docker"} <= listed
    assert not {"cryptography", "pynacl", "cffi"} & listed
    assert all(component["properties"] for component in sbom["components"]), "each with the hash it was locked by"
    assert all(any(folder.iterdir()) for folder in (tree / "licences").iterdir())


def test_the_sbom_has_what_can_be_attested(tree: Path) -> None:
    sbom = json.loads((tree / "sbom.cdx.json").read_text())
    assert sbom["bomFormat"] == "CycloneDX"
    assert all(sbom[key] for key in check_sbom.NEEDED)


def test_the_sbom_is_what_its_schema_says(tree: Path) -> None:
    text = (tree / "sbom.cdx.json").read_text()
    validator = JsonStrictValidator(SchemaVersion.V1_5)
    assert validator.validate_str(text) is None
    assert validator.validate_str(text.replace('"library"', '"book"', 1)) is not None, "the validator judges"
    licences = [licence for component in json.loads(text)["components"] for licence in component["licenses"]]
    assert {"expression": "Apache-2.0"} in licences
    assert not [licence for licence in licences if "see " in json.dumps(licence)], "each is named"


def test_it_starts_with_nothing_installed_and_imports_only_its_own_files(tree: Path) -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import github, docker, httpx, tenacity, yaml, jsonpath, actions_toolkit.command\n"
        "print(*{m.__file__ for m in sys.modules.values() if getattr(m, '__file__', None)}, sep='\\n')"
    )
    lib = tree / "lib"
    done = subprocess.run([sys.executable, "-I", "-S", "-B", "-c", program, lib], capture_output=True, text=True, check=True)
    strangers = [name for name in done.stdout.split() if "site-packages" in name and not Path(name).is_relative_to(lib)]
    assert strangers == []


def test_the_stub_for_nacl_says_what_is_missing(tree: Path) -> None:
    program = "import sys; sys.path.insert(0, sys.argv[1]); from nacl import public; public.SealedBox(b'')"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", program, tree / "lib"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "PyNaCl is not part of a cicd-actions release" in done.stderr


def test_own_actions_are_named_from_the_root_and_third_parties_by_sha(tree: Path) -> None:
    for path in tree.rglob("*.yml"):
        for reference in re.findall(r"^\s*(?:- )?uses: (\S+)", path.read_text("utf-8"), re.MULTILINE):
            assert not reference.startswith("$/actions/"), f"{path}: {reference}"
            if reference.startswith("$/"):
                target = tree / reference[2:]
                assert (target / "action.yml").exists() or target.is_file(), f"{path}: {reference}"
            elif not reference.startswith("./"):
                assert re.search(r"@[0-9a-f]{40}$", reference), f"{path}: {reference}"


def test_each_action_starts_the_launcher_that_is_there(tree: Path) -> None:
    for path in tree.glob("*/action.yml"):
        (start,) = re.findall(r'exec "\$GITHUB_ACTION_PATH/([^"]+)"', path.read_text())
        assert (path.parent / start).resolve() == (tree / "bin" / "cicd-actions").resolve()


def test_no_link_in_a_readme_leads_nowhere(tree: Path) -> None:
    for path in tree.glob("*/README.md"):
        for link in re.findall(r"\]\(([^)#\s]+)", path.read_text()):
            assert re.match(r"https?://", link) or (path.parent / link).exists(), f"{path}: {link}"


def test_one_action_can_stand_alone_at_the_root(clone: Path, tmp_path: Path) -> None:
    (name, *_) = sorted(path.parent.name for path in clone.glob("actions/*/action.yml"))
    release(clone, "build", "1.2.3", str(tmp_path / "alone"), "--action", name)
    assert {path.name for path in (tmp_path / "alone").iterdir()} == {
        *("action.yml", "README.md", "bin", "lib", "licences", "LICENSE", "sbom.cdx.json", "release.json")
    }
    assert 'exec "$GITHUB_ACTION_PATH/bin/cicd-actions"' in (tmp_path / "alone" / "action.yml").read_text()


def test_a_release_commit_is_proven_and_a_changed_byte_is_found(clone: Path, tree: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    git(clone, "worktree", "add", "--detach", str(work))
    git(work, "checkout", "--quiet", "--orphan", f"release-{tmp_path.name}")
    git(work, "rm", "-rqf", ".")
    shutil.copytree(tree, work, dirs_exist_ok=True)
    git(work, "add", "--all", "--force")
    git(work, "commit", "--quiet", "-m", "v1.2.3")
    good = git(work, "rev-parse", "HEAD")
    assert "is exactly what" in release(clone, "verify", good).stdout

    (work / "lib" / "httpx" / "__init__.py").write_text("import os\n")
    (work / "lib" / "extra.py").write_text("")
    (work / "bin" / "launch.py").unlink()
    git(work, "add", "--all", "--force")
    git(work, "commit", "--quiet", "-m", "tampered")
    tampered = release(clone, "verify", git(work, "rev-parse", "HEAD"), check=False)
    assert tampered.returncode == 1
    assert "different: lib/httpx/__init__.py" in tampered.stdout
    assert "not built from the source: lib/extra.py" in tampered.stdout
    assert "missing: bin/launch.py" in tampered.stdout


def rewritten(clone: Path, tree: Path, folder: Path, **facts: object) -> str:
    """A commit that pretends to be a release: the tree with other facts in its release.json."""
    work = folder / "pretends"
    git(clone, "worktree", "add", "--detach", str(work))
    git(work, "rm", "-rqf", ".")
    shutil.copytree(tree, work, dirs_exist_ok=True)
    known = json.loads((tree / "release.json").read_text())
    (work / "release.json").write_text(json.dumps(known | facts, indent=2) + "\n")
    git(work, "add", "--all", "--force")
    git(work, "commit", "--quiet", "-m", "v1.2.3")
    commit = git(work, "rev-parse", "HEAD")
    git(clone, "worktree", "remove", "--force", str(work))
    return commit


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"commit": "--output=pwned.tar"}, "'--output=pwned.tar' is not a full commit SHA"),
        ({"action": "../../outside"}, "'../../outside' is not an action's name"),
        ({"version": 3}, "3 is not a semantic version"),
        ({"surprise": "x"}, "unexpected keyword argument 'surprise'"),
        ({"commit": "f" * 40}, "Cannot find commit"),
    ],
)
def test_what_a_release_commit_says_of_itself_is_not_believed(
    clone: Path, tree: Path, tmp_path: Path, facts: dict[str, object], said: str
) -> None:
    done = release(clone, "verify", rewritten(clone, tree, tmp_path, **facts), check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1, "a line for a person, no traceback"
    assert not list(clone.glob("pwned*"))


@pytest.mark.parametrize(("name", "said"), [("HEAD", "HEAD is not a release"), ("v9.9.9", "Cannot find commit 'v9.9.9'")])
def test_what_is_no_release_is_said_in_a_line(clone: Path, name: str, said: str) -> None:
    done = release(clone, "verify", name, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == 1


def test_another_builder_is_named_as_the_cause(clone: Path, tree: Path, tmp_path: Path) -> None:
    commit = rewritten(clone, tree, tmp_path)
    builder = clone / "tools" / "release" / "dependencies.py"
    before = builder.read_text()
    try:
        builder.write_text(before.replace("Stands in for PyNaCl", "Is not PyNaCl"))
        done = release(clone, "verify", commit, check=False)
    finally:
        builder.write_text(before)
    assert done.returncode == 1
    assert "different: lib/nacl/__init__.py" in done.stdout
    assert f"run this in a checkout of {git(clone, 'rev-parse', 'HEAD')}" in done.stdout
    assert "another one" not in release(clone, "verify", commit).stdout


def test_docker_variants_name_the_image_by_digest(clone: Path, tmp_path: Path) -> None:
    image = "ghcr.io/org/cicd-actions@sha256:" + "a" * 64
    release(clone, "build", "1.2.3", str(tmp_path / "tree"), "--image", image)
    for path in (tmp_path / "tree" / "docker").glob("*/action.yml"):
        metadata = yaml.safe_load(path.read_text())
        composite = yaml.safe_load((tmp_path / "tree" / path.parent.name / "action.yml").read_text())
        assert metadata["runs"] == {
            "using": "docker",
            "image": f"docker://{image}",
            "args": [path.parent.name],
            "env": {"INPUTS": "${{ toJSON(inputs) }}"},
        }
        assert metadata["inputs"] == composite["inputs"]
        assert set(metadata["outputs"]) == set(composite["outputs"])
    refused = release(
        clone, "build", "1.2.3", str(tmp_path / "other"), "--image", "ghcr.io/org/cicd-actions:1.2.3", check=False
    )
    assert "is not an image by digest" in refused.stderr


def test_references_in_full_for_servers_without_the_short_form(clone: Path, tmp_path: Path) -> None:
    commit = "a" * 40
    release(clone, "build", "1.2.3", str(tmp_path / "tree"), "--references", f"corp/cicd-actions@{commit}")
    named = [
        found
        for path in (tmp_path / "tree" / ".github").rglob("*.yml")
        for found in re.findall(r"uses: (\S+)", path.read_text("utf-8"))
    ]
    assert not [uses for uses in named if uses.startswith("$/")]
    ours = [uses for uses in named if uses.startswith("corp/cicd-actions/")]
    assert f"corp/cicd-actions/verify-openapi-client@{commit}" in ours
    for uses in ours:
        folder, _, reference = uses.removeprefix("corp/cicd-actions/").partition("@")
        assert reference == commit
        assert (tmp_path / "tree" / folder / "action.yml").is_file(), uses


@pytest.mark.parametrize("version", ["1.2", "v1.2.3", "1.2.3 ", "latest", "1.2.3/../x"])
def test_a_version_that_is_none_is_refused(clone: Path, tmp_path: Path, version: str) -> None:
    done = release(clone, "build", version, str(tmp_path / "x"), check=False)
    assert done.returncode == 2
    assert "is not a semantic version" in done.stderr
