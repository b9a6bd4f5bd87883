"""Functions that draw arrays as matplotlib figures. Matplotlib is imported when the first figure is drawn."""
