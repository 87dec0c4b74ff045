"""GitHub's API, through PyGithub: the client, records, what is set in a repository."""
