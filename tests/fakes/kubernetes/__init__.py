"""A Kubernetes API server's stand-in for the real `kubectl`: see `server`."""
