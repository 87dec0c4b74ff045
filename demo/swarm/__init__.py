"""The demo's releases as stacks of a Docker Swarm: `python -m demo --engine swarm`."""
