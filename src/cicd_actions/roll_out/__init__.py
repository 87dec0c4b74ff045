"""The action roll-out: all services of a release, by digest, or none of them.

Reading order: `run` does it, on `engines.release`. With a `strategy`, `staged` walks through the stage, its steps and its end,
and `progress` keeps what became of them; `watch` counts what both releases answer, and `strategy` reads the steps. `latency`
and `counts` ask `prometheus`.
"""
