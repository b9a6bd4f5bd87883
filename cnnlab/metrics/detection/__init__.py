"""Metrics of detected boxes: average precision, calibration, and causes of errors."""
