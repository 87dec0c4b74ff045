"""Builds the tree of a release commit, reproducibly: the same source commit gives the same bytes."""
