"""The asset graph: thin adapters that read, call and return with metadata."""
