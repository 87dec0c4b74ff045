"""verify-openapi-client: the client in git is the client this backend generates, and what a change does to its callers."""
