"""Metrics of predicted masks: agreement of pixels, outlines and shapes, and quality of the uncertainty."""
