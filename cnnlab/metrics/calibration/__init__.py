"""Metrics of calibration: whether nine of ten predictions with 90 % confidence are correct."""
