"""The action verify-attestation: the images of a release were built by the workflow that may build them."""
