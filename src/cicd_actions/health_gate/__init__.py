"""Waits until what was deployed answers right, and proves it when it does not."""
