"""Metrics of masks: pixels, outlines, shapes, doubt."""
