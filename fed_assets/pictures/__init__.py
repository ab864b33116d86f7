"""Pixels of one picture, the same in training and in serving: decoded, and brought to one size."""
