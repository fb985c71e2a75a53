"""Applications that look down from orbit."""
