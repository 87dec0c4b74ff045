"""Where releases run: one protocol, one module an engine. `inputs.connected` makes the engine that an action's inputs name.

Reading order:

- `protocol` says what an engine does, and `release` moves all services of a release through it.
- `command`, `docker_engine`, `swarm` and `kubernetes` are the engines. Modules named after one (`swarm_spec`,
  `kubernetes_job`) hold a part of it; `kubernetes_rollout` reads Argo's kind of workload, and `docker_*` serve both Docker
  engines. `container_job` is plain Docker's, `kubectl` Kubernetes'. `programs` holds the user's programs of `command`, and
  `reported` reads what they say runs.
- `staged_protocol` lets a release stand beside the one before it, and `stage_labels` are written down at it. On both Docker
  engines `staged_beside` keeps the order: `staged_swarm` and `staged_docker` start the stage, and a proxy divides the traffic
  (`staged_proxy`, by `haproxy`), or the service's name does (`staged_replicas`, by `replica_share`). `staged_kubernetes` does
  it by Services or a `kubernetes_route`, with the objects of `kubernetes_stage` and `kubernetes_stage_objects`;
  `staged_command` by the user's programs. `staged_inputs` makes these engines.
- `staying_up` tells what ended a replica, and when that proves something against a release.
- `reference`, `registry` and `registry_trust` know images, `registry_logins` the logins. `left_behind` finds what interrupted
  runs left, and `patience` waits.
"""
