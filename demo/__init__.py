"""Runs this repository's pipeline on one machine, with act: `python -m demo`."""
