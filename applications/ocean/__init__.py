"""Applications about the sea and its shores."""
