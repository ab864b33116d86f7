"""Jobs, and what starts them."""
