"""Land cover, from satellite chips."""
