"""The client in git against the generated one: real git, a generator of a few lines."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.integration.verify_openapi_client.conftest import ITEM, Project, spec


def test_an_up_to_date_client_passes_and_nothing_is_touched(project: Project) -> None:
    before = project.state()
    outcome = project.run()
    assert (outcome.code, outcome.verdict, outcome.outputs["drift"]) == (0, "pass", "false")
    assert outcome.outputs["changed-files"] == "[]"
    assert outcome.outputs["patch"] == ""
    assert project.state() == before
    assert [path.name for path in project.temp.iterdir() if path.name.startswith("openapi-client-")] == []


def test_the_generator_cannot_speak_for_the_action(project: Project) -> None:
    files = {name: project.temp / name for name in ("GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_PATH", "GITHUB_STEP_SUMMARY")}
    for file in files.values():
        file.touch()
    project.variables |= {name: str(file) for name, file in files.items()} | {"INPUTS": '{"github-token": "t0ken-of-a-test"}'}
    project.variables["BEFORE_WRITING"] = (
        "print([name for name in os.environ if name == 'INPUTS'])\n"
        f"for name in {list(files)}:\n    open(os.environ.get(name, os.devnull), 'a').write('verdict=forged\\n')"
    )
    outcome = project.run()
    assert (outcome.code, outcome.verdict) == (0, "pass"), outcome.said
    assert "[]" in outcome.log
    assert not any("forged" in file.read_text() for file in files.values())


def test_an_outdated_client_fails_and_says_how_to_fix_it(outdated: Project) -> None:
    before = outdated.state()
    outcome = outdated.run()
    assert (outcome.code, outcome.verdict, outcome.outputs["drift"]) == (1, "fail", "true")
    assert outcome.outputs["changed-files"] == '["web/client.ts"]'
    (found,) = [found for found in outcome.findings if found["rule"] == "client-drift"]
    assert (found["file"], found["line"], found["severity"]) == ("web/client.ts", 2, "error")
    assert found["fix"].endswith("tools/generate.py openapi.json web/client.ts")
    assert outdated.state() == before
    assert outcome.report["drift"]["touched"]["schemas"] == ["Item"]
    # The patch is the fix: applied, the client is up to date.
    outdated.git("apply", outcome.outputs["patch"])
    outdated.commit("regenerate")
    assert outdated.run().verdict == "pass"


def test_the_command_that_is_shown_fixes_it(outdated: Project) -> None:
    fixing = outdated.run().report["drift"]["fix"]
    subprocess.run(["bash", "-c", fixing], cwd=outdated.root, check=True)
    outdated.commit("regenerate")
    assert outdated.run().verdict == "pass"


def test_fix_writes_the_client_and_still_fails(outdated: Project) -> None:
    outcome = outdated.run(fix="true")
    assert (outcome.code, outcome.outputs["drift"]) == (1, "true")
    assert outdated.git("status", "--porcelain") == " M web/client.ts\n"
    outdated.commit("regenerate")
    assert outdated.run().verdict == "pass"
    assert outdated.run(fix="true", fail_on="nondeterministic").verdict == "pass"


def test_drift_that_is_not_in_fail_on_is_a_warning(outdated: Project) -> None:
    outcome = outdated.run(fail_on="nondeterministic")
    assert (outcome.code, outcome.outputs["drift"]) == (0, "true")
    assert [found["severity"] for found in outcome.findings if found["rule"] == "client-drift"] == ["warning"]


def test_uncommitted_work_counts_as_it_is_and_git_s_client_is_what_counts(project: Project) -> None:
    project.write("openapi.json", spec(Item={"type": "string"}))
    assert project.run().outputs["drift"] == "true"
    # Regenerated, but not committed: the client in git is the old one still.
    subprocess.run(
        [*project.inputs["generate-command"].split()[:2], "openapi.json", "web/client.ts"], cwd=project.root, check=True
    )
    assert project.run().outputs["drift"] == "true"


FOLDER = """\
import json, pathlib, shutil, sys
out = pathlib.Path(sys.argv[2])
shutil.rmtree(out, ignore_errors=True)
out.mkdir(parents=True)
for name, schema in json.load(open(sys.argv[1]))["components"]["schemas"].items():
    (out / f"{name}.ts").write_text("export type It = " + json.dumps(schema, indent=1) + chr(10) * 9)
"""


@pytest.fixture
def folder(project: Project) -> Project:
    project.write("tools/generate.py", FOLDER)
    project.inputs["client-path"] = "web/api"
    subprocess.run([*project.inputs["generate-command"].split()[:2], "openapi.json", "web/api"], cwd=project.root, check=True)
    project.commit("a folder")
    return project


@pytest.mark.parametrize(
    ("schemas", "kinds"),
    [
        ({"Item": {"type": "string"}}, {"web/api/Item.ts": "changed"}),
        ({"Item": ITEM, "New": {"type": "string"}}, {"web/api/New.ts": "untracked"}),
        ({"Ding": ITEM}, {"web/api/Ding.ts": "renamed"}),
    ],
)
def test_changed_added_and_renamed_files_of_a_folder(folder: Project, schemas: Any, kinds: dict[str, str]) -> None:
    assert folder.run().verdict == "pass"
    folder.write("openapi.json", spec(**schemas))
    outcome = folder.run()
    assert {file["path"]: file["kind"] for file in outcome.report["drift"]["files"]} == kinds
    assert Path(outcome.outputs["patch"]).read_text().count("diff --git") == 1


def test_fix_of_a_renamed_file_removes_its_old_name(folder: Project) -> None:
    folder.write("openapi.json", spec(Ding=ITEM))
    folder.run(fix="true")
    assert [path.name for path in (folder.root / "web/api").iterdir()] == ["Ding.ts"]
    assert folder.run().outputs["drift"] == "true"  # until it is committed


def test_a_deleted_file_of_a_folder(folder: Project) -> None:
    folder.write("openapi.json", spec(Item=ITEM, Old={"type": "string"}))
    subprocess.run([*folder.inputs["generate-command"].split()[:2], "openapi.json", "web/api"], cwd=folder.root, check=True)
    folder.commit("two")
    folder.write("openapi.json", spec(Item=ITEM))
    outcome = folder.run(fix="true")
    assert [(file["path"], file["kind"]) for file in outcome.report["drift"]["files"]] == [("web/api/Old.ts", "deleted")]
    assert not (folder.root / "web/api/Old.ts").exists()


def test_an_ignored_file_that_is_generated_is_drift_too(folder: Project) -> None:
    folder.write(".gitignore", "web/api/New.ts\n")
    folder.commit("ignore")
    folder.write("openapi.json", spec(Item=ITEM, New={"type": "string"}))
    assert [(file["path"], file["kind"]) for file in folder.run().report["drift"]["files"]] == [("web/api/New.ts", "ignored")]


def test_hostile_names_of_files(folder: Project) -> None:
    names = ["a b", "tab\there", "umläut", 'quote"', "-rf", ":(glob)x", "new\nline", "[x]"]
    folder.write("openapi.json", spec(Item=ITEM, **{name: {"type": "string"} for name in names}))
    outcome = folder.run(fix="true")
    assert {file["path"] for file in outcome.report["drift"]["files"]} == {f"web/api/{name}.ts" for name in names}
    folder.commit("regenerate")
    assert folder.run().verdict == "pass"


def test_a_format_command_runs_on_the_result(project: Project) -> None:
    project.write(
        "tools/format.py",
        "import sys\nfor n in sys.argv[1:]:\n    t = open(n).read()\n    open(n, 'w').write(t.replace(', ', ','))\n",
    )
    command = f"{project.inputs['generate-command'].split()[0]} tools/format.py {{client}}"
    subprocess.run([*command.split()[:2], "web/client.ts"], cwd=project.root, check=True)
    project.commit("formatted")
    outcome = project.run()
    assert outcome.verdict == "fail"
    assert [(cause["id"], cause["certain"]) for cause in outcome.report["drift"]["causes"]] == [("formatter", True)]
    assert "format-command" in outcome.said
    assert project.run(format_command=command).verdict == "pass"


def test_line_endings_are_named_as_the_cause(project: Project) -> None:
    client = project.root / "web/client.ts"
    client.write_bytes(client.read_bytes().replace(b"\n", b"\r\n"))
    project.commit("windows")
    outcome = project.run()
    assert [cause["id"] for cause in outcome.report["drift"]["causes"]] == ["line-endings"]
    assert "git has CRLF, the generator writes LF" in outcome.said
    project.write(".gitattributes", "*.ts text eol=lf\n")
    project.git("add", "--renormalize", ".")
    project.commit("normalise")
    assert project.run().verdict == "pass"


def test_another_version_of_the_generator_is_named_by_its_header(project: Project) -> None:
    write = 'text = "// generated by openapi-typescript v{}\\n" + text'
    project.variables["BEFORE_WRITING"] = write.format("7.1.0")
    assert project.run(fix="true").verdict == "fail"
    project.commit("old generator")
    assert project.run().verdict == "pass"
    project.variables["BEFORE_WRITING"] = write.format("7.13.0")
    outcome = project.run()
    assert [cause["id"] for cause in outcome.report["drift"]["causes"]] == ["generator-version"]
    assert "7.1.0; this one by 7.13.0" in outcome.said


def test_another_version_of_the_generator_is_named_by_the_lock_file(project: Project) -> None:
    lock = "lockfileVersion: '9.0'\n\npackages:\n\n  openapi-typescript@{}:\n    resolution: {{}}\n"
    tool = project.root / "tools/openapi-typescript"
    project.write(
        "tools/openapi-typescript",
        f"#!{project.inputs['generate-command'].split()[0]}\n" + (project.root / "tools/generate.py").read_text(),
    )
    tool.chmod(0o755)
    project.inputs["generate-command"] = "./tools/openapi-typescript {spec} {client}"
    project.write("pnpm-lock.yaml", lock.format("7.1.0"))
    project.write("web/client.ts", "// older\n")
    project.commit("old")
    project.write("pnpm-lock.yaml", lock.format("7.13.0"))
    project.commit("upgrade")
    assert "7.1.0 in the lock file" in project.run().said
    project.write("node_modules/openapi-typescript/package.json", {"version": "7.5.0"})
    assert "openapi-typescript 7.5.0 is installed, but pnpm-lock.yaml locks 7.13.0" in project.run().said


def test_two_generations_that_differ_are_reported_as_that(project: Project) -> None:
    project.variables["BEFORE_WRITING"] = 'import time; text += f"// {time.time_ns()}\\n"'
    outcome = project.run()
    assert (outcome.code, outcome.verdict, outcome.outputs["drift"]) == (3, "inconclusive", "false")
    assert (
        outcome.rules == ["nondeterministic-generator", "comparison-skipped"] or "nondeterministic-generator" in outcome.rules
    )
    assert "client-drift" not in outcome.rules
    assert project.run(fail_on="drift\nnondeterministic").code == 1
    assert project.run(fail_on="breaking", base_missing="not today").code == 0


WRONG_PATHS = {
    "does not exist": "web/none.ts",
    "is not tracked": "web/new.ts",
    "is ignored by git (.gitignore:1": "dist/client.ts",
    "in the submodule `lib`": "lib/client.ts",
    "through the symbolic link `link`": "link/client.ts",
    "outside of the repository": "../client.ts",
    "the whole repository": ".",
}


@pytest.mark.parametrize("said", WRONG_PATHS)
def test_a_client_path_in_which_nothing_could_be_compared(project: Project, said: str, tmp_path: Path) -> None:
    project.write("web/new.ts", "")
    project.write("dist/client.ts", "")
    (project.root / "link").symlink_to("web")
    project.git("add", "link")
    other = tmp_path / "other"
    subprocess.run(["git", "clone", "-q", str(project.root), str(other)], check=True)
    project.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other), "lib")
    project.git("commit", "-qm", "link and submodule")
    outcome = project.run(client_path=WRONG_PATHS[said])
    assert outcome.code == 2
    assert said in outcome.said


def test_a_client_that_is_deleted_in_the_work_tree_is_generated(project: Project) -> None:
    (project.root / "web/client.ts").unlink()
    assert project.run().verdict == "pass"


def test_a_generator_that_does_not_write_the_client_is_an_error(project: Project) -> None:
    project.write("web/other.ts", "x")
    project.commit()
    outcome = project.run(
        client_path="web/client.ts\nweb/other.ts",
        generate_command=project.inputs["generate-command"].replace("{client}", "web/client.ts"),
    )
    assert outcome.code == 1
    assert "does not write the client path `web/other.ts`" in outcome.said


def test_a_generator_that_leaves_an_equal_file_alone_is_fine(project: Project) -> None:
    project.variables["BEFORE_WRITING"] = "if client.exists() and client.read_bytes() == text.encode(): sys.exit(0)"
    assert project.run().verdict == "pass"


ELSEWHERE = {
    "a file": "open('other.txt', 'w')",
    "a tracked file": "open('openapi.json', 'a').write(' ')",
    "an existing ignored file": "open('dist/build.js', 'a').write('x')",
    "a file below an ignored folder": "open('dist/sub/deep.js', 'a').write('x')",
}


@pytest.mark.parametrize("what", ELSEWHERE)
def test_a_generator_that_writes_elsewhere_is_an_error(project: Project, what: str) -> None:
    project.write("dist/build.js", "x")
    project.write("dist/sub/deep.js", "x")
    project.variables["AFTER_WRITING"] = ELSEWHERE[what]
    outcome = project.run()
    assert outcome.code == 1
    assert "wrote outside of the client paths" in outcome.said


def test_what_a_generator_creates_in_ignored_folders_stays_in_the_copy(project: Project) -> None:
    project.write("node_modules/tool/index.js", "x")
    project.variables["AFTER_WRITING"] = (
        "import os; os.makedirs('node_modules/.cache'); open('node_modules/.cache/x', 'w'); open('x.local', 'w')"
    )
    before = project.state()
    assert project.run().verdict == "pass"
    assert project.state() == before


def test_a_generator_that_fails_is_an_error_with_its_words(project: Project) -> None:
    project.variables["BEFORE_WRITING"] = "sys.exit('no such operation')"
    outcome = project.run()
    assert outcome.code == 1
    assert "ended with exit code 1" in outcome.said
    assert "no such operation" in outcome.said


def test_a_generator_that_hangs_is_ended(project: Project) -> None:
    project.variables["BEFORE_WRITING"] = "import time; time.sleep(600)"
    outcome = project.run(timeout="2s")
    assert outcome.code == 1
    assert "was not finished" in outcome.said


def test_a_program_that_is_not_there_is_named(project: Project) -> None:
    project.variables["PATH"] = "/usr/bin:/bin"
    outcome = project.run(generate_command="no-such-generator {spec}")
    assert outcome.code == 2
    assert "`no-such-generator` is not on PATH" in outcome.said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_killed_in_the_middle_it_has_touched_nothing(outdated: Project, number: signal.Signals) -> None:
    started = outdated.temp / "started"
    os.mkfifo(started)
    outdated.variables["AFTER_WRITING"] = f"open({str(started)!r}, 'w').write('x'); import time; time.sleep(600)"
    before = outdated.state()
    process = subprocess.Popen(
        outdated.argv(fix="true"), cwd=outdated.root, env=outdated.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    started.read_text()  # waits until the generator has written the client
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode == (128 + number if number is signal.SIGTERM else -number)
    assert outdated.state() == before
    left = [path for path in outdated.temp.iterdir() if path.name.startswith("openapi-client-")]
    if number is signal.SIGTERM:
        assert left == []


def test_the_document_is_exported_in_process(project: Project) -> None:
    python = project.inputs["generate-command"].split()[0]
    project.write(
        "tools/export.py",
        "import sys\nt = open('openapi.json').read()\n(open(sys.argv[1], 'w') if sys.argv[1:] else sys.stdout).write(t)\n",
    )
    project.commit()
    del project.inputs["spec"]
    assert project.run(spec_command=f"{python} tools/export.py {{spec}}").verdict == "pass"
    assert project.run(spec_command=f"{python} tools/export.py").verdict == "pass"
    assert "did not write the OpenAPI document" in project.run(spec_command=f"{python} -c pass {{spec}}").said
    assert "is empty" in project.run(spec_command=f"{python} -c pass").said
    assert "exit code 3" in project.run(spec_command=f'{python} -c "import sys; sys.exit(3)"').said
    assert "Neither" in project.run().said


def test_it_works_from_a_linked_worktree_and_in_a_hook(project: Project, tmp_path: Path) -> None:
    project.git("worktree", "add", "-q", str(tmp_path / "linked"), "-b", "other")
    linked = Project(tmp_path / "linked", project.temp, project.inputs, {"GIT_DIR": "/nowhere", "GIT_INDEX_FILE": "/nowhere"})
    assert linked.run().verdict == "pass"


def test_it_works_below_the_repository_s_root(project: Project) -> None:
    project.inputs |= {
        "working-directory": "web",
        "client-path": "client.ts",
        "spec": "../openapi.json",
        "generate-command": project.inputs["generate-command"].replace("tools/", "../tools/"),
    }
    assert project.run().verdict == "pass"
    project.write("openapi.json", spec(Item={"type": "string"}))
    fixing = project.run().report["drift"]["fix"]
    assert fixing.startswith("(cd web && ")
    subprocess.run(["bash", "-c", fixing], cwd=project.root, check=True)
    project.commit()
    assert project.run().verdict == "pass"


def test_a_repository_of_many_files_needs_no_more_programs(project: Project, tmp_path: Path) -> None:
    started, counting = tmp_path / "started", tmp_path / "counting"
    counting.mkdir()
    (counting / "git").write_text(f'#!/bin/sh\necho "$1" >> "{started}"\nexec "{shutil.which("git")}" "$@"\n')
    (counting / "git").chmod(0o755)
    project.variables["PATH"] = f"{counting}{os.pathsep}{os.environ['PATH']}"

    def programs() -> list[str]:
        started.write_text("")
        assert project.run().verdict == "pass"
        return started.read_text().splitlines()

    few = programs()
    for index in range(1000):
        project.write(f"src/{index % 50}/f{index}.txt", str(index))
    project.commit("many")
    assert few
    assert programs() == few


def test_no_repository_and_no_commit_are_said(project: Project, tmp_path: Path) -> None:
    empty = Project(tmp_path / "empty", project.temp, {**project.inputs, "spec": str(project.root / "openapi.json")})
    empty.root.mkdir()
    assert "is not in a git repository" in empty.run().said
    empty.git("init", "-q")
    assert "has no commit yet" in empty.run().said


def test_a_client_that_git_holds_as_an_lfs_pointer_says_so(project: Project) -> None:
    project.write("web/client.ts", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n")
    project.write(".gitattributes", "web/client.ts filter=lfs\n")
    project.commit("pointer")
    outcome = project.run()
    assert [cause["id"] for cause in outcome.report["drift"]["causes"]] == ["git-lfs"]
    assert "lfs: true" in outcome.said


def test_a_filter_that_git_does_not_know_is_named(outdated: Project) -> None:
    outdated.write(".gitattributes", "web/client.ts filter=crypt\n")
    outdated.commit("filter")
    outcome = outdated.run()
    assert [cause["id"] for cause in outcome.report["drift"]["causes"]] == ["git-filter"]
    assert "`crypt`" in outcome.said


def test_an_executable_bit_alone_is_named(project: Project) -> None:
    (project.root / "web/client.ts").chmod(0o755)
    project.commit("mode")
    project.variables["AFTER_WRITING"] = "client.chmod(0o644)"
    outcome = project.run()
    assert outcome.code == 1
    assert [cause["id"] for cause in outcome.report["drift"]["causes"]] == ["file-mode"]
    assert "git update-index --chmod=-x web/client.ts" in outcome.said
