"""What ten hospitals as real processes cost, against other ways to do the same work."""
