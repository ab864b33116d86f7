"""Registered models, signed, and the service that answers with the champion of a sandbox."""
