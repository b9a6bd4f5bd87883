"""Metrics of boxes: average precision, calibration, causes of errors."""
