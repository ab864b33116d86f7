"""What a registered version is, when it may serve, and what became of each."""
