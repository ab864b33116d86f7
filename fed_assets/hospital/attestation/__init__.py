"""A key that only the code which a hospital approved is given; the attester here is SIMULATED."""
