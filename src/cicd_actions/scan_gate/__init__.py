"""The action scan-gate: one verdict on the reports of every scanner.

Reading order: `scan` (what a report says), `document` (JSON from outside), `reports` (which files, and which scanner wrote
them), `formats` (one module for the reports of a kind), `hygiene` (what an image's configuration says), `identity` (which
findings are the same), `judgement` (age, SLA, acknowledgements, verdict), `reporting` (summary, JSON, SARIF), `run`.
"""
