"""Metrics of probabilities: whether 90 % is right nine times in ten."""
