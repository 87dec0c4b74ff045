"""The action deployment-record: what was deployed, whether it passed its gate, and from where a release may come."""
