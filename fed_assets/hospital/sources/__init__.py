"""Where a hospital's images come from."""
