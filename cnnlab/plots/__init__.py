"""Pictures: arrays in, matplotlib figures out. Matplotlib is imported when the first one is drawn."""
