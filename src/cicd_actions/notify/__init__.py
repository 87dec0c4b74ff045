"""The action notify: tells people of a failure, a rollback, a waiting approval or a recovery, once."""
