"""Metrics of calibration: whether predictions with 90 % confidence are correct nine times in ten."""
