"""Predictions for files: records, drawings and videos."""
