"""Waits until what was deployed answers right, and proves it when it does not.

Reading order:

- `inputs`, then `reading`, `settings` and `targets`: from texts to what is probed. `rules` and `expectations` say what is
  right.
- `gate` runs the probes, `schedule` says when, `judge` what they prove, `history` keeps them. `run` ties them to a report;
  `limits` bounds time and connections.
- `http_probe`, `tcp_probe`, `command_probe`, `metric_probe`: one kind of target each, and an `observation` as the result.
- `exchange`, `head`, `answer`, `coding`, `inflate` speak HTTP over `network`, `wire`, `tls`, `proxies`, `resolver`,
  `addresses`, `urls`.
- `report` says what was seen: `evidence` in sentences, `summary` for people, `document` for programs, `advice` what to do.
  `metadata` knows the clouds' own addresses. `embedded` is the gate inside another action.
"""
