"""Where releases run: one protocol, one module an engine. `inputs.connected` makes the engine that an action's inputs name."""
