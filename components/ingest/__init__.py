"""Ingest: raw files become TFRecords of Examples in three splits; what cannot be used goes to quarantine."""
