"""Doors to the world: stores, hospital processes, the federation, tracking."""
