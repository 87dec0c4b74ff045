"""verify-migrations: what a new migration does to the release that still runs, proven on a real PostgreSQL before the merge."""
