from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cicd_actions.toolkit import grammar, inputs
from cicd_actions.toolkit.definition import Action, Output
from cicd_actions.toolkit.findings import Finding, Severity
from cicd_actions.toolkit.report import Paragraph, Report
from cicd_actions.toolkit.reporting import publish
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.toolkit.verdict import Verdict


@dataclass(frozen=True, kw_only=True)
class Inputs:
    name: str = inputs.declare(grammar.string, "A name.")


OUTPUTS = (Output("verdict", "The verdict."), Output("reason", "Why."), Output("list", "A list."))
ACTION = Action("sample", "A sample.", Inputs, OUTPUTS, "", "heart", "green")


class Said:
    """What one publishing wrote, read back the way GitHub's runner reads it."""

    def __init__(self, folder: Path, report: Report, *secrets: str, github: bool = True) -> None:
        folder.mkdir(exist_ok=True)
        files = {"GITHUB_OUTPUT": folder / "output", "GITHUB_STEP_SUMMARY": folder / "summary"}
        for file in files.values():
            file.write_text("")
        variables = {name: str(file) for name, file in files.items()} | {"GITHUB_ACTIONS": "true" if github else ""}
        log, out = io.StringIO(), io.StringIO()
        runtime = Runtime(variables, log)
        for secret in secrets:
            runtime.redactor.add(secret)
        publish(report, ACTION, runtime, as_json=out)
        self.log = log.getvalue()
        self.json = json.loads(out.getvalue())
        self.summary = files["GITHUB_STEP_SUMMARY"].read_text("utf-8")
        self.outputs = outputs(files["GITHUB_OUTPUT"].read_text("utf-8"))
        self.everything = self.log + out.getvalue() + self.summary + files["GITHUB_OUTPUT"].read_text("utf-8")

    @property
    def annotations(self) -> list[str]:
        return re.findall(r"^::(?:error|warning|notice) .*$", self.log, re.MULTILINE)


def outputs(text: str) -> dict[str, str]:
    found, lines = {}, iter(text.split("\n"))
    for line in lines:
        if line:
            name, delimiter = line.split("<<")
            value = []
            while (part := next(lines)) != delimiter:
                value.append(part)
            found[name] = "\n".join(value)
    return found


def finding(number: int, severity: Severity = Severity.ERROR, message: str = "wrong") -> Finding:
    return Finding("sample/rule", severity, message, file="a.py", line=number, fix="Write it right.")


def test_every_declared_output_is_written(tmp_path: Path) -> None:
    said = Said(tmp_path, Report(Verdict.FAIL, "no", {"verdict": Verdict.FAIL, "list": ["a", {"b": 1}]}))
    assert said.outputs == {"verdict": "fail", "reason": "", "list": '["a",{"b":1}]'}


def test_an_output_that_is_not_declared_is_a_defect(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="verdit"):
        Said(tmp_path, Report(Verdict.PASS, "", {"verdit": "pass"}))


def test_ten_annotations_of_a_level_the_worst_first_and_the_rest_counted(tmp_path: Path) -> None:
    findings = [finding(1, Severity.NOTICE), *(finding(number) for number in range(13, 0, -1)), finding(2, Severity.WARNING)]
    said = Said(tmp_path, Report(Verdict.FAIL, "no", {}, findings))
    assert [line.split()[0] for line in said.annotations] == ["::error"] * 10 + ["::warning", "::notice"]
    assert "::error title=sample/rule,file=a.py,line=1::wrong%0AWrite it right." in said.annotations
    assert "and 3 more of level error" in said.log
    rows = re.findall(r"a&?.*?py:(\d+)</code>", said.summary)
    assert rows == [str(number) for number in range(1, 14)] + ["2", "1"]


def test_outside_github_nothing_looks_like_a_command(tmp_path: Path) -> None:
    said = Said(tmp_path, Report(Verdict.FAIL, "no", {}, [finding(3)]), github=False)
    assert said.annotations == []
    assert "a.py:3: error: wrong [sample/rule]" in said.log
    assert "    Write it right." in said.log


def test_a_secret_is_masked_everywhere_but_never_a_verdict(tmp_path: Path) -> None:
    secret = "p4ssw0rd|*`x"
    report = Report(
        Verdict.FAIL,
        f"came {secret}",
        {"verdict": Verdict.FAIL, "reason": f"came {secret}", "list": [secret]},
        [finding(1, message=f"came {secret}")],
        [Paragraph(secret)],
    )
    said = Said(tmp_path, report, secret, "fail--")
    assert "p4ssw0rd" not in said.everything
    assert said.outputs["verdict"] == "fail"
    assert said.outputs["reason"] == "came ***"
    assert Said(tmp_path, Report(Verdict.INCONCLUSIVE, "", {"verdict": Verdict.INCONCLUSIVE}), "inconclusive").outputs[
        "verdict"
    ]


HOSTILE = st.one_of(
    st.text(max_size=60),
    st.text(st.sampled_from(list(":#[]error\n\r%0A\x1b`|<>ghadelimiter_=")), max_size=60),
    st.sampled_from(["\nghadelimiter_x\nverdict=pass\n", "::stop-commands::x", "##[error]x", "%0A::error::x", "</details>"]),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(text=HOSTILE)
def test_promise_text_from_outside_response_bodies_and_logs_never_acts(tmp_path: Path, text: str) -> None:
    report = Report(
        Verdict.FAIL, text, {"verdict": Verdict.FAIL, "reason": text}, [finding(1, message=text)], [Paragraph(text)]
    )
    said = Said(tmp_path / "said", report)
    commands = [line for line in re.split(r"[\r\n]", said.log) if line.lstrip().startswith("::") or "##[" in line]
    assert len(commands) == 1, commands
    assert commands[0].startswith("::error title=sample/rule,file=a.py,line=1::")
    assert said.outputs["verdict"] == "fail"
    assert set(said.outputs) == {"verdict", "reason", "list"}
    assert said.json["outputs"]["verdict"] == "fail"


def test_a_summary_stays_below_what_github_drops(tmp_path: Path) -> None:
    findings = [finding(number, message="x" * 2000) for number in range(2000)]
    said = Said(tmp_path, Report(Verdict.FAIL, "no", {}, findings))
    assert len(said.summary.encode()) < 1024 * 1024
    assert "more rows" in said.summary
