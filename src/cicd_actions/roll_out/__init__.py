"""The action roll-out: all services of a release, by digest, or none of them. `run` does it, on `engines.release`."""
