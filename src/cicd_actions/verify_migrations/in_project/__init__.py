"""Programs that run in the project's own environment, the base's and the change's. They are written for Python 3.8."""
