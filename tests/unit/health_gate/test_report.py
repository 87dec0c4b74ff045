"""What the summary says of a gate that ended."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cicd_actions.health_gate import reading, report
from cicd_actions.health_gate.gate import Gate, Watched
from cicd_actions.health_gate.inputs import Inputs
from cicd_actions.health_gate.judge import Judge
from cicd_actions.health_gate.observation import Observation, Outcome
from cicd_actions.health_gate.schedule import Schedule
from cicd_actions.toolkit import markdown
from cicd_actions.toolkit.inputs import load
from cicd_actions.toolkit.report import Report
from cicd_actions.toolkit.runtime import Runtime

API = "- {name: api, url: 'http://api.example/'}"
OTHER = "- {name: other, url: 'http://other.example/'}"
OPTIONAL = "- {name: other, url: 'http://other.example/', critical: false}"


def ended(
    targets: str, *observed: Sequence[Observation], file: Path | None = None, cancelled_by: int | None = None, **inputs: str
) -> Report:
    """Returns the report of a gate whose targets saw these, in their order."""
    runtime = Runtime({}, io.StringIO())
    values = {name.replace("_", "-"): text for name, text in inputs.items()}
    read = load(Inputs, {"targets": targets, **values}, runtime.redactor)
    made = reading.targets(read, runtime.environment, Path())
    gate = Gate(made, read.timeout, {}, runtime.log, cancelled_by=cancelled_by)
    for target, observations in zip(made, observed, strict=True):
        watched = Watched(target, Judge(target.rules), Schedule(target.interval, read.timeout), finished=True)
        for each in observations:
            watched.history.add(watched.judge.see(each))
        gate.watched.append(watched)
    return report.report(gate, runtime, str(file or ""), file)


def shown(made: Report) -> str:
    return markdown.render(list(made.blocks), str, 10_000)


def summary(*observations: Observation) -> str:
    """Returns the summary of a gate with one target, which saw these."""
    return shown(ended(API, observations))


def right(at: float, address: str = "127.0.0.2", version: str | None = None, **more: Any) -> Observation:
    return Observation(
        at, at, Outcome.RIGHT, "right", "200", "status 200", "status 200", version=version, peers=(address,),
        addresses=more.pop("addresses", (address,)), **more,
    )  # fmt: skip


LOCAL = "127.0.0.9"


def dead(at: float, address: str = LOCAL) -> Observation:
    return Observation(
        at, at, Outcome.BROKEN, "refused", "refused", "status 200", "connection refused", peers=(address,), addresses=(address,)
    )


def test_report_claims_every_address_only_of_a_gate_that_passed_and_of_the_targets_that_passed() -> None:
    whole = "Every address that DNS named answered right."
    assert whole in summary(right(0))
    assert "Every address" not in shown(ended(f"{API}\n{OTHER}", [right(0)], [dead(0)]))
    partly = shown(ended(f"{API}\n{OPTIONAL}", [right(0)], [dead(0)]))
    assert whole not in partly
    assert "Every address that DNS named for api answered right." in partly
    assert "very address that DNS named" not in summary(right(0, unreached=("::1",)))


def stale(at: float, address: str = "127.0.0.3", version: str = "b" * 40, **more: Any) -> Observation:
    return Observation(
        at, at, Outcome.WRONG, "version", "other version", f"version {'a' * 40}", f"version {version}", version=version,
        peers=(address,), addresses=("127.0.0.2", "127.0.0.3"), **more,
    )  # fmt: skip


def fresh(at: float) -> Observation:
    return right(at, version="a" * 40, addresses=("127.0.0.2", "127.0.0.3"))


def test_report_of_one_stale_address_counts_per_address_and_shows_the_wrong_answer(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    made = ended(API, [each for at in range(26) for each in (stale(at / 10), fresh(at / 10 + 0.05))], file=file)
    reason = str(made.outputs["reason"])
    assert "got: version bbbb" in reason
    assert "(26 of 26 answers of this address wrong, from 0.0 s to 2.5 s; since 20" in reason
    assert "Only 127.0.0.3 answered wrong, and every time: no address flaps." in reason
    assert made.outputs["observed-version"] == "b" * 40
    (row,) = [line for line in shown(made).splitlines() if "❌" in line]
    assert "b" * 40 in row
    assert "a" * 40 not in row
    assert "wrong 26 of 26 times from 0.0 s on" in row
    document = json.loads(file.read_text("utf-8"))
    (target,) = document["targets"]
    assert target["wrong-since"] == document["started-at"]
    assert {each["address"]: (each["wrong"], each["probes"]) for each in target["addresses"]} == {
        "127.0.0.2": (0, 26), "127.0.0.3": (26, 26),
    }  # fmt: skip


def test_report_quotes_its_own_commit_and_url_so_that_they_can_be_copied() -> None:
    text = shown(ended(API, [stale(0)], expect_version="a" * 40))
    assert f"expected version <code>{'a' * 40}</code>; got: version <code>{'b' * 40}</code>" in text
    assert "`http://api.example/`" in text
    assert "\u200b" not in text
    outside = Observation(0, 0, Outcome.WRONG, "json", "json", "x", "see http://evil.example/ #12")
    assert "#12" not in shown(ended(API, [outside], expect_version="a" * 40))


def test_report_of_an_address_that_goes_to_and_fro_says_so() -> None:
    flapping = [each for at in range(0, 9, 3) for each in (fresh(at), right(at + 1, "127.0.0.3"), stale(at + 2))]
    assert "Right answers turned wrong at 127.0.0.3 (3 times)." in str(ended(API, flapping, stable_for="60s").outputs["reason"])


def test_report_of_a_pass_after_a_relapse_names_the_address() -> None:
    wrong = Observation(1, 1, Outcome.WRONG, "status", "503", "status 200", "status 503", peers=("127.0.0.2",))
    made = ended(API, [right(0), wrong, right(2), right(5)], stable_for="3s")
    assert made.outputs["verdict"] == "pass"
    assert "api: right answers turned wrong at 127.0.0.2 (once) before it passed." in shown(made)
    assert "turned wrong" not in summary(wrong, right(2))


def test_report_of_a_target_that_lost_its_pass_names_both_moments(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    made = ended(f"{API}\n{OTHER}", [right(2.1, LOCAL), dead(10.3), dead(12)], [right(9)], file=file)
    reason = str(made.outputs["reason"])
    assert reason.startswith(
        "api: passed at 2.1 s, wrong since 10.3 s: expected status 200; got: connection refused at 127.0.0.9"
        " (2 times, from 10.3 s to 12.0 s; wrong since 20"
    )
    assert made.headline.startswith("Not healthy: api (1 of 2 targets passed, ")
    (row,) = [line for line in shown(made).splitlines() if "❌" in line]
    assert row.endswith("| – |")
    api, other = json.loads(file.read_text("utf-8"))["targets"]
    assert (api["healthy-after-ms"], api["passes-revoked"], api["reason"]) == (None, 1, reason.removeprefix("api: "))
    assert (other["healthy-after-ms"], other["passes-revoked"]) == (9000, 0)


def test_report_of_a_target_that_did_not_pass_again_does_not_call_it_wrong_now() -> None:
    made = ended(API, [right(0), right(60), dead(61), right(62)], stable_for="60s")
    assert str(made.outputs["reason"]).startswith("api: passed at 60.0 s, then wrong, and did not pass again: expected")


def test_report_of_a_target_that_passed_again_says_so(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    made = ended(API, [right(0), dead(1), dead(2), right(3), dead(4), right(5)], file=file)
    text = "api: lost its pass twice while the gate waited for other targets, and passed again at 5.0 s."
    assert text in shown(made)
    assert "lost its pass" not in summary(dead(0), right(1))
    (target,) = json.loads(file.read_text("utf-8"))["targets"]
    assert (target["healthy-after-ms"], target["passes-revoked"]) == (5000, 2)


def test_report_of_a_forgiven_error_that_no_right_answer_followed_is_inconclusive() -> None:
    made = ended(API, [right(0), replace(dead(1), peers=(), addresses=())], flake_budget="1")
    assert made.outputs["verdict"] == "inconclusive"
    assert "`flake-budget` forgave its last error, but no right answer followed" in str(made.outputs["reason"])
    (row,) = [line for line in shown(made).splitlines() if "⚠" in line]
    assert row.endswith("| – |")


def test_report_of_too_few_connections_says_how_many_each_address_needs() -> None:
    both = ("127.0.0.2", "127.0.0.3")
    seen = [right(at, both[at % 2], addresses=both) for at in range(30)]
    reason = str(ended(API, seen, replicas="10").outputs["reason"])
    assert "30 times in a row, but `replicas` needs 118 connections, 59 to each of 2 addresses, before the deadline." in reason
    reason = str(ended(API, seen[:1], replicas="2").outputs["reason"])
    assert "`replicas` needs 10 connections before the deadline." in reason


@pytest.mark.parametrize("kind", ["unresolved", "undecided"])
def test_report_of_a_last_probe_that_the_deadline_cut_notes_it_beside_the_answer_before_it(kind: str) -> None:
    cut = Observation(4.0, 5.0, Outcome.UNFINISHED, kind, kind, came="cut off")
    made = ended(API, [stale(0), cut])
    assert "got: version b" in str(made.outputs["reason"])
    assert str(made.outputs["reason"]).endswith("The deadline cut the last probe off.")
    assert "cut off" not in shown(made).partition("| target |")[0].replace("The deadline cut", "")
    assert "(a+)+" not in shown(made)


def test_report_of_a_probe_cut_by_the_deadline_shows_the_answer_before_it_as_the_last() -> None:
    wrong = Observation(0.0, 0.1, Outcome.WRONG, "status", "503", "status 200", "status 503")
    cut = Observation(4.0, 5.0, Outcome.UNFINISHED, "timeout", "timeout", came="no answer within 1 s")
    (row,) = [line for line in summary(wrong, cut).splitlines() if "❌" in line]
    assert "status 503" in row
    assert "no answer" not in row


def test_report_of_a_cancelled_gate_names_no_failed_target() -> None:
    assert ended(API, [dead(0)]).outputs["failed-targets"] == ["api"]
    assert ended(API, [dead(0)], cancelled_by=2).outputs["failed-targets"] == []
