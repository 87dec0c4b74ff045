"""Reads workflow and action files: their model with lines, and the expressions in them."""
