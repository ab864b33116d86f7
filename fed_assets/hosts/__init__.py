"""Hospitals on hosts of their own: who they are, and the one connection that they open."""
