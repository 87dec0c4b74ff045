"""Says what `judgement` decided, and decides nothing.

`summary` is the report for people, `whole` the same as JSON with the texts of the rules, `comment` keeps the pull request's
comment up to date, and `files` writes everything and fills the outputs.
"""
