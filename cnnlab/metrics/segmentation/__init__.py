"""Metrics of masks: pixels, outlines, shapes and uncertainty."""
