"""NVFlare's server and clients: who takes part, how they are started, what a round is."""
