"""What protects an update on its way out of a hospital."""
