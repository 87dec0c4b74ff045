"""From words to exit code: one table for how each end of an action is told."""

from __future__ import annotations

import base64
import io
import json
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer

from cicd_actions import __main__ as program
from cicd_actions.toolkit import grammar, inputs, process
from cicd_actions.toolkit.definition import Action, Output
from cicd_actions.toolkit.errors import Failed, Inconclusive, UnusableInput
from cicd_actions.toolkit.report import Report
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.toolkit.verdict import Verdict

SECRET = "s3cr3t-token"


@dataclass(frozen=True, kw_only=True)
class Inputs:
    token: str = inputs.declare(grammar.string, "A token.", secret=True)
    timeout: float = inputs.declare(grammar.duration, "How long.", default="5s")


Body = Callable[[Inputs, Runtime], Report]


class Run:
    def __init__(self, folder: Path, body: Body, *words: str, monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
        outputs = (Output("verdict", "The verdict."), Output("reason", "Why."))
        chosen = Action("sample", "A sample.", Inputs, outputs, "", "heart", "green")
        monkeypatch.setattr(program, "names", lambda: ["sample"])
        monkeypatch.setattr(program, "action", lambda _name: chosen)
        monkeypatch.setattr(program, "function", lambda _action: body)
        self.output = folder / "output"
        self.output.write_text("")
        out, err = io.StringIO(), io.StringIO()
        files = {"GITHUB_OUTPUT": str(self.output), "GITHUB_STEP_SUMMARY": str(folder / "summary")}
        self.code = program.run(["sample", *words], files | variables, out, err)
        self.out, self.err = out.getvalue(), err.getvalue()


@pytest.fixture(autouse=True)
def _signals_as_they_were() -> Iterator[None]:
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    yield
    for each, handler in before.items():
        signal.signal(each, handler)


def raising(error: BaseException) -> Body:
    def body(_inputs: Inputs, _runtime: Runtime) -> Report:
        raise error

    return body


def reporting(verdict: Verdict) -> Body:
    return lambda _inputs, _runtime: Report(verdict, "Because.", {"verdict": verdict, "reason": "Because."})


@pytest.mark.parametrize(
    ("body", "code", "verdict"),
    [
        (reporting(Verdict.PASS), 0, "pass"),
        (reporting(Verdict.FAIL), 1, "fail"),
        (reporting(Verdict.INCONCLUSIVE), 3, "inconclusive"),
        (raising(Failed("Refused.")), 1, "fail"),
        (raising(UnusableInput("Wrong.")), 2, "inconclusive"),
        (raising(Inconclusive("Down.")), 3, "inconclusive"),
        (raising(KeyError("a defect")), 3, "inconclusive"),
    ],
)
def test_every_end_has_its_code_and_writes_its_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: Body, code: int, verdict: str
) -> None:
    run = Run(tmp_path, body, "--json", monkeypatch=monkeypatch)
    assert run.code == code
    said = json.loads(run.out)
    assert said["outputs"]["verdict"] == verdict
    assert said["outputs"]["reason"]
    assert f"\n{verdict}\n" in run.output.read_text()
    title = "unusable input" if code == 2 else verdict
    assert f"sample: {title}" in (tmp_path / "summary").read_text()


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_once_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signum: signal.Signals, code: int
) -> None:
    tidied: list[str] = []

    def body(_inputs: Inputs, _runtime: Runtime) -> Report:
        try:
            os.kill(os.getpid(), signum)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)  # the runner's second signal, while the action is still tidying up
            tidied.append("yes")
        raise AssertionError("the signal did not arrive")

    run = Run(tmp_path, body, monkeypatch=monkeypatch)
    assert run.code == code
    assert tidied == ["yes"]
    assert "\ninconclusive\n" in run.output.read_text()


def test_a_program_that_is_started_to_tidy_up_ends_on_sigterm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []

    def body(_inputs: Inputs, _runtime: Runtime) -> Report:
        try:
            os.kill(os.getpid(), signal.SIGINT)
        finally:
            ended.append(process.run(["sleep", "600"], timeout=0.1, grace=20).exit_code)
        raise AssertionError("the signal did not arrive")

    assert Run(tmp_path, body, monkeypatch=monkeypatch).code == 130
    assert ended == [-signal.SIGTERM]


def test_a_defect_shows_where_it_is_and_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(tmp_path, raising(ValueError(f"bad {SECRET}")), "--token", SECRET, monkeypatch=monkeypatch)
    assert "test_main.py" in run.err
    assert "This is a defect of the action" in run.err
    assert SECRET not in run.out + run.err + run.output.read_text() + (tmp_path / "summary").read_text()


def test_inputs_come_as_json_and_flags_win(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []

    def body(given: Inputs, _runtime: Runtime) -> Report:
        seen.append(given.timeout)
        return Report(Verdict.PASS, "")

    Run(tmp_path, body, monkeypatch=monkeypatch, INPUTS='{"timeout": "7s"}', INPUT_TIMEOUT="9s")
    Run(tmp_path, body, "--timeout", "8s", monkeypatch=monkeypatch, INPUTS='{"timeout": "7s"}')
    assert seen == [7, 8]


def test_outputs_that_cannot_be_written_are_no_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(
        tmp_path, reporting(Verdict.PASS), monkeypatch=monkeypatch, GITHUB_OUTPUT=str(tmp_path / "no" / "such" / "folder")
    )
    assert run.code == 3
    assert "could not be written" in run.err


def test_on_github_the_log_is_where_commands_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(tmp_path, raising(Failed("Refused.", fix="Write x.")), monkeypatch=monkeypatch, GITHUB_ACTIONS="true")
    assert "::error title=sample/failed::Refused.%0AWrite x." in run.out
    assert run.err == ""


def test_help_is_made_of_the_definition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(tmp_path, reporting(Verdict.PASS), "--help", monkeypatch=monkeypatch)
    assert run.code == 0
    assert "--timeout  (default: 5s)" in run.out
    assert "143  cancelled (SIGTERM)" in run.out


def test_no_action_at_all_is_no_pass() -> None:
    out, err = io.StringIO(), io.StringIO()
    assert program.run([], {"INPUTS": '{"url": "http://127.0.0.1/"}'}, out, err) == 2
    assert out.getvalue() == ""
    assert "usage: cicd-actions NAME" in err.getvalue()


def test_an_unknown_flag_is_named_as_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(tmp_path, reporting(Verdict.PASS), "--timeut", "3s", monkeypatch=monkeypatch)
    assert run.code == 2
    assert "The flag `--timeut` is unknown. Did you mean `--timeout`?" in run.err


def test_an_unknown_action_names_the_known_ones() -> None:
    out, err = io.StringIO(), io.StringIO()
    assert program.run(["no-such-action"], {}, out, err) == 2
    assert "There is no action `no-such-action`." in err.getvalue()


def test_password_of_a_proxy_with_a_slash_works_and_is_not_shown(
    httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    httpserver.expect_request("/api/v3/repos/org/app/deployments").respond_with_json({"message": "Bad credentials"}, 401)
    for name in ("http_proxy", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", f"http://me:Hunter2/pass#word@{httpserver.host}:{httpserver.port}")
    monkeypatch.setenv("GITHUB_API_URL", "http://github.example/api/v3")
    monkeypatch.setenv("GITHUB_REPOSITORY", "org/app")
    words = ["--phase", "verify-record", "--environment", "staging", "--github-token", "ghs_0123456789"]
    with pytest.raises(SystemExit):
        program.main(["deployment-record", *words])
    said = "".join(capsys.readouterr())
    assert "GitHub does not accept the token" in said
    assert "Hunter2" not in said
    sent = httpserver.log[0][0].headers["Proxy-Authorization"]
    assert base64.b64decode(sent.removeprefix("Basic ")).decode() == "me:Hunter2/pass#word"
    assert os.environ["HTTP_PROXY"].startswith("http://me:Hunter2%2Fpass%23word@")
