"""Versions of models: what each was made of, which of them serves, and why."""
