"""Judges a new release (the canary) against the one before it (the baseline), from requests that both answered.

`tally` counts requests, and `histogram` their latencies. `proportions` and `ranks` are the statistics, each with its source.
`judgement` has the rules that make a verdict of them. Everything is plain Python on numbers: nothing here asks a server.
"""
