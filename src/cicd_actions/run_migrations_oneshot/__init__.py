"""run-migrations-oneshot: migrations as one gated job of the image that is about to be rolled out."""
