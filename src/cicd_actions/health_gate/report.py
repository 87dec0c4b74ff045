"""Renders what the gate saw: the headline, the table, the timelines, the findings, the JSON report."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from cicd_actions.health_gate import history
from cicd_actions.health_gate.advice import usual_cause
from cicd_actions.health_gate.gate import Gate, Watched
from cicd_actions.health_gate.judge import MISSED, State
from cicd_actions.health_gate.observation import Observation, Outcome
from cicd_actions.toolkit import private
from cicd_actions.toolkit.findings import Finding, Severity
from cicd_actions.toolkit.printable import shortened, visible
from cicd_actions.toolkit.report import Block, Code, CodeBlock, Inline, OutputValue, Paragraph, Report, Strong, Table
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.toolkit.verdict import Verdict

VERSION = 1
"""Version of the JSON report's shape. While it stays, no key changes its meaning or goes away."""

MARKS = {Verdict.PASS: "✅", Verdict.FAIL: "❌", Verdict.INCONCLUSIVE: "⚠️"}

_ORDER = [Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS]

MISMATCHES = 9
"""Further mismatches of an answer that a sentence tells; the JSON report has them all."""

TIMELINES = 60
"""Targets whose timeline is drawn; the JSON report has them all."""


def report(gate: Gate, runtime: Runtime, name: str = "", file: Path | None = None) -> Report:
    """Returns the report of an ended gate. Its JSON goes to `file`, which the user calls `name`."""
    verdict = Verdict.INCONCLUSIVE if gate.cancelled_by is not None else gate.verdict
    ordered = sorted(gate.watched, key=lambda each: (_ORDER.index(each.verdict), not each.target.critical))
    reason = reason_of(gate, ordered, verdict)
    findings = [_finding(each, gate) for each in ordered if each.verdict is not Verdict.PASS]
    if file and (lost := _write(file, as_json(gate, verdict, reason), runtime)):
        findings.append(lost)
        name = ""
    return Report(
        verdict,
        headline(gate, ordered, verdict),
        _outputs(gate, verdict, reason, name),
        findings,
        _blocks(ordered, gate),
        list_findings=False,
    )


def headline(gate: Gate, ordered: Sequence[Watched], verdict: Verdict) -> str:
    """Returns the verdict in one sentence."""
    bad = [each for each in ordered if each.verdict is not Verdict.PASS]
    critical = [each for each in bad if each.target.critical]
    if gate.cancelled_by is not None:
        healthy = len(gate.watched) - len(bad)
        return (
            f"Cancelled after {gate.elapsed:.1f} s: {healthy} of {_targets(len(gate.watched))} had passed. This proves nothing."
        )
    if verdict is Verdict.PASS:
        what = "Healthy" if len(gate.watched) == 1 else f"All {len(gate.watched)} targets are healthy"
        if bad:
            what = f"{len(gate.watched) - len(bad)} of {_targets(len(gate.watched))} healthy (not critical: {_names(bad)})"
        version = _version(gate)
        at = f" at version {_quoted(version)}" if version else ""
        return f"{what}{at} after {_time(gate)} ({_effort(gate)})."
    failed = [each for each in critical if each.verdict is Verdict.FAIL]
    unjudged = [each for each in critical if each.verdict is Verdict.INCONCLUSIVE]
    parts = [f"Not healthy: {_names(failed)}"] if failed else []
    parts += [f"could not judge {_names(unjudged)}"] if unjudged else []
    passed = f"{len(gate.watched) - len(bad)} of {_targets(len(gate.watched))} passed, " if len(gate.watched) > 1 else ""
    said = "; ".join(parts)
    return f"{said[0].upper()}{said[1:]} ({passed}{_effort(gate)} in {_time(gate)})."


def reason_of(gate: Gate, ordered: Sequence[Watched], verdict: Verdict) -> str:
    """Returns the verdict and its evidence for the output `reason`: the last answer of the target that matters most."""
    worst = next((each for each in ordered if each.verdict is verdict and each.target.critical), None)
    if verdict is Verdict.PASS or gate.cancelled_by is not None or worst is None:
        return headline(gate, ordered, verdict)
    return shortened(f"{worst.target.name}: {standing(worst, gate)}", 1000)


def standing(each: Watched, gate: Gate) -> str:
    """Returns why a target did not pass, in a sentence or two."""
    judge = each.judge
    last = each.history.last
    if last is None:
        if each.target.after and not each.opened.is_set():
            return f"the gate did not sample it, because {_listed(each.target.after)} did not pass before."
        return f"no probe of it ended within {_time(gate)}."
    if judge.state is State.PASSED:
        return f"healthy after {judge.passed_at or 0.0:.1f} s."
    if each.verdict is Verdict.INCONCLUSIVE and judge.streak:
        return _unfinished(each, gate)
    run = _evidence(each) or each.history.runs[-1]
    seen = run.last
    expected = f"expected {seen.expected}; got: " if seen.judged_wrong and seen.expected else ""
    said = f"{expected}{seen.came}{history.source(seen, run.peers or seen.peers)} ({_often(each, run, gate)})."
    said += _also(seen) if seen.judged_wrong else ""
    if len(judge.addresses) > 1:
        said += f" By address: {each.history.by_address(judge.addresses)}."
    if judge.state is State.FAILED:
        said += f" The gate ended at once: {judge.reason}."
    elif judge.broken_streaks:
        said += _interruptions(each)
    if last.outcome is Outcome.UNFINISHED and last is not seen:
        said += " The deadline cut the last probe off."
    return said


def _evidence(each: Watched) -> history.Run | None:
    """Returns the answers that decide the verdict."""
    return each.history.evidence(each.judge.addresses, wrong=each.verdict is Verdict.FAIL)


def _often(each: Watched, run: history.Run, gate: Gate) -> str:
    """How often and since when: of one address where several answered."""
    peer = each.history.tally(run)
    if not run.last.judged_wrong or peer.wrong_from is None:
        return f"{run.count} times, from {run.started:.1f} s to {run.ended:.1f} s" if run.count > 1 else f"at {run.ended:.1f} s"
    since = f"since {gate.moment(peer.wrong_from):%Y-%m-%d %H:%M:%S} UTC"
    if peer is each.history.whole:
        span = f"{run.count} times, from {run.started:.1f} s to" if run.count > 1 else "at"
        return f"{span} {run.ended:.1f} s; wrong {since}"
    times = f"{peer.wrong} of {_counted(peer.answers, 'answer')} of this address wrong"
    return f"{times}, from {peer.wrong_from:.1f} s to {run.ended:.1f} s; {since}"


def _interruptions(each: Watched) -> str:
    """Whether addresses went to and fro, or some of several were wrong all the time."""
    peers = each.history.peers
    flapping = [f"{name} ({_times(peer.turned)})" for name, peer in sorted(peers.items()) if peer.turned]
    if len(peers) < 2:
        return f" Wrong answers interrupted right ones {_times(each.judge.broken_streaks)}."
    if flapping:
        return f" Right answers turned wrong at {history.listed(flapping)}."
    always = [name for name, peer in sorted(peers.items()) if peer.answers and peer.wrong == peer.answers]
    if always:
        return f" Only {history.listed(always)} answered wrong, and every time: no address flaps."
    return " No address flaps."


def _also(seen: Observation) -> str:
    """The further mismatches of the same answer."""
    told = [f" Also: expected {expected}; got: {came}." for expected, came in seen.also[:MISMATCHES]]
    more = len(seen.also) - len(told)
    return "".join(told) + (f" And {_counted(more, 'more mismatch', 'more mismatches')}." if more else "")


def _unfinished(each: Watched, gate: Gate) -> str:
    judge, rules = each.judge, each.target.rules
    last = next((run.ended for run in reversed(each.history.runs) if run.last.right), 0.0)
    held = last - judge.first_right if judge.first_right is not None else 0.0
    if judge.streak < rules.consecutive_successes:
        return (
            f"it answered right {_times(judge.streak)} in a row, but `consecutive-successes` needs"
            f" {rules.consecutive_successes} before the deadline. Raise `timeout` ({gate.timeout:g} s), or lower `interval`"
            f" ({each.target.interval:g} s)."
        )
    if judge.streak < rules.connections:
        return (
            f"it answered right {_times(judge.streak)} in a row, but `replicas` needs {rules.connections} connections before"
            f" the deadline. Raise `timeout` ({gate.timeout:g} s)."
        )
    if judge.unconfirmed:
        return (
            f"the deadline passed before every address had answered right: {each.history.by_address(judge.addresses)}."
            f" Raise `timeout` ({gate.timeout:g} s), or remove addresses that serve nothing from DNS."
        )
    return (
        f"it answered right for {held:.1f} s in a row, but `stable-for` needs {rules.stable_for:g} s before the deadline."
        f" Raise `timeout` ({gate.timeout:g} s) by at least {max(1.0, rules.stable_for - held):.0f} s, or lower `stable-for`."
    )


def _blocks(ordered: Sequence[Watched], gate: Gate) -> list[Block]:
    blocks: list[Block] = []
    for each in ordered[:10]:
        if each.verdict is not Verdict.PASS and each.history.last is not None:
            blocks += _explained(each, gate)
    head = ("target", "verdict", "last answer", "version", "probes", "addresses", "healthy after")
    rows: list[Sequence[Inline]] = [_row(each) for each in ordered]
    blocks.append(Table(head, rows))
    drawn = [each for each in ordered if each.history.runs][:TIMELINES]
    if drawn:
        blocks.append(
            Table(
                ("target", "timeline", "answers"),
                [(each.target.name, each.history.strip(), each.history.line()) for each in drawn],
            )
        )
        blocks.append(Paragraph(history.LEGEND))
    return blocks + [Paragraph(text) for text in _proofs(ordered, gate)]


def _proofs(ordered: Sequence[Watched], gate: Gate) -> list[str]:
    """What the pass of the gate proves about the replicas of its targets; nothing of a gate that did not pass."""
    if gate.verdict is not Verdict.PASS or gate.cancelled_by is not None:
        return []
    proofs: list[str] = []
    whole: list[Watched] = []
    for each in ordered:
        if each.verdict is not Verdict.PASS or not each.history.peers:
            continue
        if each.target.rules.connections > 1:
            streak = f"{each.judge.streak} connections in a row, {_counted(len(each.history.peers), 'address', 'addresses')}"
            missed = f"The chance that they missed one of the `replicas` is at most {MISSED:.1%}."
            proofs.append(f"{each.target.name}: {streak}. {missed}")
        elif each.judge.unreached:
            proofs.append(f"{each.target.name}: every address that accepted a connection answered right.")
        else:
            whole.append(each)
    if whole:
        named = "" if all(each in whole for each in ordered) else f" for {_names(whole)}"
        proofs.append(
            f"Every address that DNS named{named} answered right. Behind a load balancer that proves one replica: set"
            " `replicas` to how many there are."
        )
    return proofs


def _explained(each: Watched, gate: Gate) -> list[Block]:
    run = _evidence(each) or each.history.runs[-1]
    blocks: list[Block] = [
        Paragraph((Strong(each.target.name), f" ({_quoted(each.target.place)}): {_copyable(standing(each, gate), each)}"))
    ]
    if run.last.excerpt:
        blocks.append(CodeBlock(run.last.excerpt))
    cause = usual_cause(each.target, run.last)
    if cause and not (each.verdict is Verdict.INCONCLUSIVE and each.judge.streak):
        blocks.append(Paragraph(f"Usually: {cause}"))
    return blocks


def _quoted(text: str) -> str:
    """Returns text that is shown as code, which can be copied as it is."""
    return f"`{text}`" if text and "`" not in text else text


def _copyable(text: str, each: Watched) -> str:
    """Returns the text with the target's own version and whole commits quoted."""
    wanted = re.escape(each.target.expectations.version)
    return re.sub(rf"(?:(?<=version ){wanted}|(?<![\w`.-])[0-9a-f]{{40}})(?![\w`…-])", r"`\g<0>`", text) if wanted else text


def _row(each: Watched) -> Sequence[Inline]:
    run = _evidence(each)
    verdict = f"{MARKS[each.verdict]} {each.verdict}" + ("" if each.target.critical else " (not critical)")
    healthy = f"{each.judge.passed_at:.1f} s" if each.judge.passed_at is not None else "–"
    came = shortened(run.last.came, 120) if run else "not probed"
    return (
        Strong(each.target.name),
        verdict,
        _copyable(came, each),
        Code(shortened(_seen_version(each) or "", 60)),
        str(each.judge.probes),
        _addresses(each),
        healthy,
    )


def _addresses(each: Watched) -> str:
    """How often each address answered: `10.0.0.7 ×9, 10.0.0.9 ×8`."""
    several = len(each.history.peers) > 1
    counts = [
        f"{name} ×{peer.probes}{f' ({wrong})' if several and (wrong := history.wrong_count(peer)) else ''}"
        for name, peer in sorted(each.history.peers.items())
    ]
    unreached = each.judge.unreached
    said = [f"unreached: {history.listed(unreached)}"] if unreached else []
    return "; ".join([*([history.listed(counts)] if counts else []), *said]) or "–"


def _finding(each: Watched, gate: Gate) -> Finding:
    run = _evidence(each)
    excerpt = f"\nIt said: {run.last.excerpt}" if run and run.last.excerpt and each.verdict is Verdict.FAIL else ""
    cause = usual_cause(each.target, run.last) if run else ""
    return Finding(
        rule=f"health-gate/{run.last.kind if run else 'not-probed'}",
        severity=Severity.ERROR if each.target.critical else Severity.WARNING,
        message=f"{each.target.name}: {standing(each, gate)}{excerpt}",
        fix=f"Usually: {cause}" if cause else "",
    )


def _outputs(gate: Gate, verdict: Verdict, reason: str, path: str) -> dict[str, OutputValue]:
    failed = [each.target.name for each in gate.watched if each.target.critical and each.verdict is Verdict.FAIL]
    return {
        "verdict": verdict,
        "healthy": verdict is Verdict.PASS,
        "observed-version": _version(gate),
        "attempts": gate.attempts,
        "elapsed-ms": round(gate.elapsed * 1000),
        "failed-targets": failed,
        "reason": reason,
        "report": path,
    }


def as_json(gate: Gate, verdict: Verdict, reason: str) -> dict[str, object]:
    """Returns the JSON report, version 1. Times are milliseconds since the gate started."""
    return {
        "version": VERSION,
        "verdict": verdict.value,
        "reason": reason,
        "cancelled": gate.cancelled_by is not None,
        "started-at": _utc(gate, 0.0),
        "elapsed-ms": round(gate.elapsed * 1000),
        "timeout-ms": round(gate.timeout * 1000),
        "attempts": gate.attempts,
        "observed-version": _version(gate),
        "targets": [
            {
                "name": each.target.name,
                "probes": each.target.place,
                "critical": each.target.critical,
                "verdict": each.verdict.value,
                "reason": standing(each, gate),
                "attempts": each.judge.probes,
                "healthy-after-ms": None if each.judge.passed_at is None else round(each.judge.passed_at * 1000),
                "version": _seen_version(each),
                "wrong-since": _utc(gate, _wrong_from(each)),
                "addresses": _addresses_as_json(each, gate),
                "answers": history.as_json(each.history.runs),
            }
            for each in gate.watched
        ],
    }


def _wrong_from(each: Watched) -> float | None:
    """Returns when the wrong answers that decide began, in seconds since the gate started."""
    run = _evidence(each) if each.verdict is Verdict.FAIL else None
    return each.history.tally(run).wrong_from if run and run.last.judged_wrong else None


def _utc(gate: Gate, seconds: float | None) -> str | None:
    return None if seconds is None else gate.moment(seconds).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _addresses_as_json(each: Watched, gate: Gate) -> list[dict[str, object]]:
    current = dict.fromkeys([*each.judge.addresses, *each.judge.unreached])
    return [
        {
            "address": name,
            "current": name in current,
            "probes": peer.probes,
            "wrong": peer.wrong,
            "wrong-since": _utc(gate, peer.wrong_from),
            "turned-wrong": peer.turned,
            "outcome": seen.outcome.value if seen else None,
            "label": seen.label if seen else None,
            "came": seen.came if seen else None,
            "version": seen.version if seen else None,
        }
        for name in dict.fromkeys([*current, *each.history.peers])
        for peer in [each.history.peers.get(name, history.Peer())]
        for seen in [peer.last]
    ]


def _write(file: Path, document: dict[str, object], runtime: Runtime) -> Finding | None:
    """Writes the file. Returns why it could not: the verdict stands anyway, since a rollback may depend on it."""
    try:
        private.write(file, json.dumps(_cleaned(document, runtime), ensure_ascii=False, indent=1) + "\n")
    except OSError as error:
        said = f"Could not write the JSON report to {file}: {error.strerror}."
        return Finding(rule="health-gate/report", severity=Severity.WARNING, message=said)
    return None


def _cleaned(value: object, runtime: Runtime) -> object:
    if isinstance(value, str):
        return visible(runtime.redactor(value))
    if isinstance(value, list):
        return [_cleaned(item, runtime) for item in value]
    if isinstance(value, dict):
        return {key: _cleaned(item, runtime) for key, item in value.items()}
    return value


def _version(gate: Gate) -> str:
    found = dict.fromkeys(version for each in gate.watched if (version := _seen_version(each)) is not None)
    return ", ".join(found)


def _seen_version(each: Watched) -> str | None:
    """Returns the version of the answers that decide, else the last one named."""
    run = _evidence(each) if each.verdict is Verdict.FAIL else None
    return run.last.version if run and run.last.version is not None else each.history.version()


def _time(gate: Gate) -> str:
    return f"{gate.elapsed:.1f} s" if gate.elapsed >= 1 else f"{gate.elapsed * 1000:.0f} ms"


def _targets(number: int) -> str:
    return "1 target" if number == 1 else f"{number} targets"


def _effort(gate: Gate) -> str:
    """What was seen: `41 connections, 3 addresses`; `7 probes` where addresses mean nothing."""
    connections = sum(peer.probes for each in gate.watched for peer in each.history.peers.values())
    if not connections:
        return _counted(gate.attempts, "probe")
    addresses = {name for each in gate.watched for name in each.history.peers}
    return f"{_counted(gate.attempts, 'connection')}, {_counted(len(addresses), 'address', 'addresses')}"


def _counted(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or f'{one}s'}"


def _times(number: int) -> str:
    return {1: "once", 2: "twice"}.get(number, f"{number} times")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _names(watched: Sequence[Watched]) -> str:
    return _listed([each.target.name for each in watched])
