"""`python -m rehearsal`: deploys releases with faults on a real Swarm, under load, and says how often the verdict was wrong.

Each trial is appended to a file, and a trial that the file has is not run again: an interrupted rehearsal goes on where it was.
Exit codes: 0 no false pass, no false fail and the right release everywhere (of our side), 1 otherwise, 2 it cannot run here.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from pathlib import Path

from rehearsal import results, trial, world
from rehearsal.faults import BY_NAME, FAULTS, Fault
from tests.harness.engine import NotHere

FILE = Path(".build/rehearsal/results.jsonl")
FIGURES, PAGE = Path("docs/rehearsal.json"), Path("docs/rehearsal.md")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m rehearsal", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--list", action="store_true", help="list the faults")
    parser.add_argument("--only", nargs="+", metavar="FAULT", choices=sorted(BY_NAME), help="these faults; default: all")
    parser.add_argument("--repeat", type=int, default=1, help="how often each fault is injected; default: 1")
    parser.add_argument("--side", choices=[trial.OURS, trial.PLAIN], help="one side; default: both")
    parser.add_argument("--results", type=Path, default=FILE, help=f"file of the trials; default: {FILE}")
    parser.add_argument("--logs", type=Path, help="folder for what each step of a job said")
    parser.add_argument("--json", type=Path, help="file for all figures as JSON, at the end")
    parser.add_argument("--page", action="store_true", help=f"write {PAGE} of {FIGURES}, and rehearse nothing")
    chosen = parser.parse_args()
    if chosen.page:
        PAGE.write_text(results.page(FIGURES.read_text("utf-8")), "utf-8")
        return 0
    if chosen.list:
        print("\n".join(f"{each.name:24} {each.what}" for each in FAULTS))
        return 0
    try:
        if world.INSIDE not in os.environ:
            world.enter()
        return rehearse(chosen)
    except NotHere as error:
        print(f"Could not rehearse: {error}.", file=sys.stderr)
        return 2


def rehearse(chosen: argparse.Namespace) -> int:
    faults = [BY_NAME[name] for name in chosen.only] if chosen.only else list(FAULTS)
    known = {(each["fault"], each["side"], each["repeat"]) for each in results.kept(chosen.results)}
    chosen.results.parent.mkdir(parents=True, exist_ok=True)
    wanted = [
        (fault, side, number)
        for number in range(1, chosen.repeat + 1)
        for fault in faults
        for side in ([chosen.side] if chosen.side else [trial.OURS, trial.PLAIN])
        if (side == trial.OURS or fault.plain) and (fault.name, side, number) not in known
    ]
    if wanted:
        with world.separate() as here:
            for at, (fault, side, number) in enumerate(wanted, 1):
                print(f"{at}/{len(wanted)} {fault.name}, {side}, {number}: ", end="", flush=True)
                print(told(here, fault, side, number, chosen), flush=True)
    trials = [each for each in results.kept(chosen.results) if each["repeat"] <= chosen.repeat]
    for line in [*results.sums(trials), "", f"Rollback: {results.rollbacks(trials)}", "", *results.table(trials)]:
        print(line)
    if chosen.json:
        chosen.json.write_text(results.document(trials, command(chosen)), "utf-8")
    ours = [each for each in trials if each["side"] == trial.OURS]
    return 0 if all(each["right"] and each["served_right"] for each in ours) else 1


def command(chosen: argparse.Namespace) -> str:
    """Returns what gives these figures anywhere: where the run kept its files is left out."""
    words = [
        "--repeat",
        str(chosen.repeat),
        *(["--side", chosen.side] if chosen.side else []),
        *(["--only", *chosen.only] if chosen.only else []),
    ]
    return f'make rehearsal REHEARSE="{shlex.join(words)}"'


def told(here: world.World, fault: Fault, side: str, number: int, chosen: argparse.Namespace) -> str:
    """Runs one trial, keeps it, and returns its line."""
    began = time.monotonic()
    outcome = trial.run(here, fault, side)
    results.keep(chosen.results, fault, side, number, outcome)
    if chosen.logs:
        chosen.logs.mkdir(parents=True, exist_ok=True)
        (chosen.logs / f"{fault.name}-{side}-{number}.log").write_text(outcome.log, "utf-8")
    verdict = outcome.verdict if outcome.right else f"WRONG {outcome.verdict}"
    served = outcome.served if outcome.served_right else f"WRONG {outcome.served}"
    parts = [verdict, f"serves {served}", f"{outcome.failed} of {outcome.requests} failed", f"job {outcome.took:.1f} s"]
    parts += [f"left: {', '.join(outcome.left)}"] if outcome.left else []
    return f"{'; '.join(parts)} ({time.monotonic() - began:.0f} s)"


if __name__ == "__main__":
    sys.exit(main())
