"""Holds the steps of a self-test to what they have to say.

In the environment: STEPS, the `steps` context as JSON; EXPECTED, a line `step: outcome verdict` for each step. The exit code
is the number of steps that ended otherwise.
"""

from __future__ import annotations

import json
import os
import sys


def main() -> int:
    steps = json.loads(os.environ["STEPS"])
    wrong = 0
    for line in os.environ["EXPECTED"].splitlines():
        name, _, expected = line.strip().partition(": ")
        if not name:
            continue
        came = f"{steps[name]['outcome']} {steps[name]['outputs'].get('verdict')}"
        print(f"{name}: {came}")
        if came != expected:
            wrong += 1
            print(f"::error::{name} should have been {expected}, and was {came}")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
