"""What attacks showed of a sandbox: probes, their evidence, and three ladders."""
