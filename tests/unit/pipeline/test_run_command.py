from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd_actions.pipeline.run_command import Unusable, last_json_object, settle_secrets, words

ROOT = Path(__file__).resolve().parents[3]


@given(st.text().filter(lambda text: "\0" not in text))
def test_a_value_is_always_one_argument(value: str) -> None:
    assert words("deploy {service} --sha={sha}", {"service": value, "sha": value}, "x") == ("deploy", value, f"--sha={value}")


@pytest.mark.parametrize("command", ["make a && make b", "cat x | sh", "a ; b", "a > b"])
def test_a_line_for_a_shell_is_refused(command: str) -> None:
    with pytest.raises(Unusable, match=r"roll-out-command: .* belongs to a shell"):
        words(command, {}, "roll-out-command")


@pytest.mark.parametrize("command", ["", "  \n"])
def test_an_empty_command_is_told_by_its_name(command: str) -> None:
    with pytest.raises(Unusable, match="running-command is empty"):
        words(command, {}, "running-command")


@pytest.mark.parametrize(("text", "found"), [('{"a": 1}', {"a": 1}), ('working …\n\n{"a": 1}\n\n', {"a": 1})])
def test_last_json_object(text: str, found: dict[str, object]) -> None:
    assert last_json_object(text, "x") == found


@pytest.mark.parametrize("text", ["", "\n", "done", '{"a": 1}\ndone', "[1]", "null"])
def test_no_json_object_is_told(text: str) -> None:
    with pytest.raises(Unusable, match="build"):
        last_json_object(text, "build")


def test_secrets_that_are_not_set_are_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    environment = {"RELEASE_ENV": "", "DATABASE_URL": "", "OTHER": ""}
    settle_secrets(environment)
    assert environment == {"OTHER": ""}
    assert capsys.readouterr().out == ""


def test_every_value_of_a_dotenv_is_masked(capsys: pytest.CaptureFixture[str]) -> None:
    settle_secrets({"RELEASE_ENV": 'A="hunter2%x"\nB=on\nC="line one\nline two"\n# D=comment\n'})
    assert capsys.readouterr().out.splitlines() == ["::add-mask::hunter2%25x", "::add-mask::line one", "::add-mask::line two"]


def test_a_broken_dotenv_is_told_without_its_text() -> None:
    with pytest.raises(Unusable) as error:
        settle_secrets({"RELEASE_ENV": "A=1\nhunter2 is here\n"})
    assert "line 2" in str(error.value)
    assert "hunter2" not in str(error.value)


def run(tmp_path: Path, **inputs: str) -> tuple[int, str, str]:
    """The action's own script, as the runner starts it."""
    given = {"command": "", "values": "{}", "working-directory": "", "result": "", **inputs}
    output = tmp_path / "output"
    environment = {**os.environ, "INPUTS": json.dumps(given), "GITHUB_OUTPUT": str(output), "RUNNER_TEMP": str(tmp_path)}
    start = ROOT / ".github" / "actions" / "run-command" / ".." / "start"
    done = subprocess.run(
        [str(start), "run_command"], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, output.read_text() if output.exists() else ""


def test_the_programs_own_exit_code_and_output(tmp_path: Path) -> None:
    code, out, _ = run(
        tmp_path, command=f"{sys.executable} -c 'import sys; print(sys.argv[1]); sys.exit(5)' {{sha}}", values='{"sha": "a b"}'
    )
    assert code == 5
    assert out.splitlines()[-1] == "a b"


def test_the_program_does_not_see_the_inputs(tmp_path: Path) -> None:
    _, out, _ = run(tmp_path, command=f"{sys.executable} -c 'import os; print(\"INPUTS\" in os.environ)'")
    assert out.splitlines()[-1] == "False"


def test_a_result_becomes_an_output(tmp_path: Path) -> None:
    code, _, output = run(tmp_path, command="""printf 'working\\n{"digest": "x"}\\n'""", result="json")
    assert code == 0
    assert output == 'result={"digest": "x"}\n'


def test_a_result_that_is_missing_fails(tmp_path: Path) -> None:
    code, out, output = run(tmp_path, command="echo done", result="json")
    assert (code, output) == (1, "")
    assert "::error::echo: the last line it printed is not JSON" in out


def test_a_failed_program_has_no_result(tmp_path: Path) -> None:
    code, _, output = run(tmp_path, command="sh -c 'echo {}; exit 3'", result="json")
    assert (code, output) == (3, "")


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"command": "no-such-program-here"}, "'no-such-program-here' could not be started"),
        ({"command": "ls", "working-directory": "not/here"}, "The folder 'not/here' cannot be entered"),
        ({"command": "a | b"}, "belongs to a shell"),
    ],
)
def test_what_cannot_be_run_is_told(tmp_path: Path, inputs: dict[str, str], said: str) -> None:
    code, out, _ = run(tmp_path, **inputs)
    assert code == 2
    assert said in out
