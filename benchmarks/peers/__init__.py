"""Servers that `benchmarks/serving.py` compares ours with, each configured as its documentation advises."""
