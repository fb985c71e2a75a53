"""Metrics with honest intervals, the blessing rules, and the report."""
