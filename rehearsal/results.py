"""Keeps the outcome of each trial, and makes the table and the page of them."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rehearsal.faults import FAULTS, PASS, Fault
from rehearsal.job import LIMIT
from rehearsal.trial import OURS, PLAIN, Outcome

Kept = dict[str, Any]
"""One trial as it is kept: the fault's name, the side, the repetition, and what came of it."""


def keep(path: Path, fault: Fault, side: str, number: int, outcome: Outcome) -> Kept:
    """Appends a trial as one JSON line, without its log."""
    found = {"fault": fault.name, "side": side, "repeat": number, "at": int(time.time()), **asdict(outcome)}
    del found["log"]
    for name in ("detected", "back", "took", "rolled_back"):
        found[name] = None if found[name] is None else round(found[name], 1)
    found["steps"] = {name: round(seconds, 1) for name, seconds in found["steps"].items()}
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(found) + "\n")
    return found


def kept(path: Path) -> list[Kept]:
    """Returns the trials of a file, oldest first."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def machine() -> str:
    """Returns what the figures were measured on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    python = platform.python_version()
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.release()}, Python {python}"


def document(trials: Sequence[Kept], command: str) -> str:
    """Returns all figures as JSON: what `docs/rehearsal.md` is made of."""
    date = time.strftime("%Y-%m-%d", time.gmtime(max(each["at"] for each in trials)))
    return json.dumps({"date": date, "machine": machine(), "command": command, "trials": list(trials)}, indent=1) + "\n"


def false_pass(trial: Kept, fault: Fault) -> bool:
    """Whether a deploy was green that must not be."""
    return trial["verdict"] == PASS and PASS not in fault.right


def false_fail(trial: Kept, fault: Fault) -> bool:
    """Whether a good release was called bad, or one that could have been judged was not."""
    return not trial["right"] and not false_pass(trial, fault)


def table(trials: Iterable[Kept]) -> list[str]:
    """Returns the table of all faults as Markdown, both sides in a row, and one line of sums for each side."""
    found = list(trials)
    lines = _head(
        *("fault", "verdict", "detected:", "old release back:", "requests failed:", "left behind"),
        *("plain: verdict", "detected:", "back:", "failed:", "left"),
    )
    for fault in FAULTS:
        cells = [_cells(_of(found, fault, side), fault) for side in (OURS, PLAIN)]
        if any(cells):
            lines.append(
                "| "
                + " | ".join(
                    [f"`{fault.name}`: {fault.what}", *(cells[0] or ["not run", *[""] * 4]), *(cells[1] or ["–", *[""] * 4])]
                )
                + " |"
            )
    return lines


def sums(trials: Iterable[Kept]) -> list[str]:
    """Returns the table of sums as Markdown, one row for each side."""
    found = list(trials)
    lines = _head(
        *("", "trials:", "false passes:", "false fails:", "wrong release in the end:", "detected, median:"),
        *("old release back, median:", "failed requests:", "left something:"),
    )
    by_name = {fault.name: fault for fault in FAULTS}
    for side, title in ((OURS, "cicd-actions"), (PLAIN, "plain pipeline")):
        of = [each for each in found if each["side"] == side and each["fault"] in by_name]
        if not of:
            continue
        passes = sum(false_pass(each, by_name[each["fault"]]) for each in of)
        fails = sum(false_fail(each, by_name[each["fault"]]) for each in of)
        wrong = sum(not each["served_right"] for each in of)
        failed, requests = (sum(each[name] for each in of) for name in ("failed", "requests"))
        left = sum(bool(each["left"]) for each in of)
        cells = [
            title,
            len(of),
            passes,
            fails,
            wrong,
            _median(of, "detected"),
            _median(of, "back"),
            f"{failed} of {requests:,}",
            left,
        ]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return lines


def rollbacks(trials: Iterable[Kept]) -> str:
    """Returns how long a rollback takes beside the engine's own, as a sentence: medians of the faults that have both."""
    found = [each for each in trials if each.get("rolled_back") is not None]
    medians = [
        [statistics.median(each["rolled_back"] for each in of) for of in both]
        for both in ([_of(found, fault, side) for side in (OURS, PLAIN)] for fault in FAULTS)
        if all(both)
    ]
    if not medians:
        return "No fault was rolled back by both."
    ours, plain = (statistics.median(each[side] for each in medians) for side in (0, 1))
    count = "1 fault" if len(medians) == 1 else f"{len(medians)} faults"
    return f"{ours:.1f} s against {plain:.1f} s, which is {ours / plain:.2f} × (median of the {count} that both rolled back)."


def _head(*names: str) -> list[str]:
    """Returns the first lines of a table; numbers, whose column's name ends with a colon, stand to the right."""
    return [
        f"| {' | '.join(name.rstrip(':') for name in names)} |",
        f"|{'|'.join(' ---: ' if name.endswith(':') else ' --- ' for name in names)}|",
    ]


def _of(trials: Sequence[Kept], fault: Fault, side: str) -> list[Kept]:
    return [each for each in trials if each["fault"] == fault.name and each["side"] == side]


def _cells(trials: Sequence[Kept], fault: Fault) -> list[str]:
    if not trials:
        return []
    verdicts = sorted({_shown(each, fault) for each in trials})
    left = sorted({thing for each in trials for thing in _things(each)})
    failed = sum(each["failed"] for each in trials)
    wrong = sorted({each["served"] for each in trials if not each["served_right"]})
    back = f"**no: {'; '.join(wrong)}**" if wrong else _median(trials, "back")
    requests = sum(each["requests"] for each in trials)
    return [", ".join(verdicts), _median(trials, "detected"), back, f"{failed} of {requests}", ", ".join(left)]


def _shown(trial: Kept, fault: Fault) -> str:
    if trial["right"]:
        return str(trial["verdict"])
    return f"**{trial['verdict']}** (false {'pass' if false_pass(trial, fault) else 'fail'})"


def _things(trial: Kept) -> list[str]:
    """Returns what was left behind, without the names, which differ each time."""
    return sorted(
        {each.partition(" ")[0] if each.split()[0] in {"container", "service", "volume"} else each for each in trial["left"]}
    )


def _median(trials: Sequence[Kept], name: str) -> str:
    values = [each[name] for each in trials if each[name] is not None]
    return f"{statistics.median(values):.1f} s" if values else ""


def _often(trials: Sequence[Kept], side: str) -> str:
    """Returns how often a fault was injected on a side: fewest and most where they differ."""
    counts = Counter(each["fault"] for each in trials if each["side"] == side).values()
    low, high = min(counts, default=0), max(counts, default=0)
    return f"{low} ×" if low == high else f"{low} to {high} ×"


def page(text: str) -> str:
    """Returns docs/rehearsal.md of what `document` wrote."""
    found = json.loads(text)
    trials = found["trials"]
    faults = {each["fault"] for each in trials}
    head = Path(__file__).with_name("page.md").read_text("utf-8")
    return head.format(
        date=found["date"],
        machine=found["machine"],
        command=found["command"],
        faults=len(faults),
        ours=_often(trials, OURS),
        plain=_often(trials, PLAIN),
        sums="\n".join(sums(trials)),
        rollbacks=rollbacks(trials),
        limit=f"{LIMIT / 60:.0f} minutes",
        table="\n".join(table(trials)),
    )
