"""What every action stands on: inputs, verdicts and findings, reporting, errors, time, retry, redaction.

It knows no action, and imports nothing of the packages above it.
"""
