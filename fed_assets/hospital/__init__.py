"""The code that runs inside a hospital's process, and nowhere else."""
