"""What data looks like: a curated schema per application and the feature keys they share."""
