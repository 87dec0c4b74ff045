"""Where releases run: one protocol, one module an engine. `inputs.connected` makes the engine that an action's inputs name.

Reading order:

- `protocol` says what an engine does, and `release` moves all services of a release through it.
- `command`, `docker_engine`, `swarm` and `kubernetes` are the engines. Modules named after one (`swarm_spec`,
  `kubernetes_job`) hold a part of it; `docker_*` serve both Docker engines. `container_job` is plain Docker's, `kubectl`
  Kubernetes'. `programs` holds the user's programs of `command`, and `reported` reads what they say runs.
- `reference`, `registry` and `registry_trust` know images. `left_behind` finds what interrupted runs left, and `patience`
  waits.
"""
