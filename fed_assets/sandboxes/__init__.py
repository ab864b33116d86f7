"""Sandboxes are data: a name and a value for each control."""
