"""From what runs measured of each sandbox to a ranked decision that says how sure it is."""
