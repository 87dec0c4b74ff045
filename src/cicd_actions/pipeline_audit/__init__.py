"""Reads a repository as a pipeline, and says which rules of a safe deploy it breaks."""
