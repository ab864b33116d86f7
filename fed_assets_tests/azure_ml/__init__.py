"""What stands in for Azure on this machine: a service that knows Azure ML's jobs, and Azurite."""
