"""Metrics in NumPy and double precision, over all examples at once."""
