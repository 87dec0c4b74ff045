"""The action rollback-to-previous-sha: back to the last release that passed its gate, by digest, and verified again.

Reading order: `rollback` is the course of one run. `checks` reads the facts, `plan` decides by them alone, `schema_guard` asks
the images about the database (`alembic` reads their answers), `moves` carries the plan out, and `revert` opens the pull
request. `outcome` reports, and `by_hand` says what a person can do where the action cannot go on.
"""
