"""Timings: ratios of two things measured in one session."""
