"""Starts an action's launcher with coverage in it: `python -I -S` reads no `.pth` file, which starts it elsewhere.

    python -I -S -B measured.py SITE-PACKAGES LAUNCHER WORDS…

COVERAGE_PROCESS_CONFIG holds coverage's settings, as it hands them to every process.
"""

import runpy
import sys

packages, launcher = sys.argv[1:3]
sys.path.append(packages)

import coverage  # noqa: E402 - found by the line above

coverage.process_startup()
# What the action imports is what it brings along.
sys.path.remove(packages)
del sys.argv[:2]
runpy.run_path(launcher, run_name="__main__")
