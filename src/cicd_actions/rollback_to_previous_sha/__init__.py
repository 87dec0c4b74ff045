"""The action rollback-to-previous-sha: back to the last release that passed its gate, by digest, and proven again."""
