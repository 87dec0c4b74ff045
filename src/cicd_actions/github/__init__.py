"""GitHub's API, through PyGithub: the client, records, what is set in a repository.

Reading order: `client` calls the API over `connection`, and `errors` explains its answers. `release_record` is a record as a
value, `proof` says who wrote it, `records` reads and writes them, and `history` says what they mean together.
`statuses` shows a deploy's state to people. `kept_pages` has what a job read of the records last, for a rollback while
GitHub does not answer. `attestations` asks who built an image. `commits`, `contents` and `settings` ask for the rest.
"""
