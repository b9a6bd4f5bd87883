"""Reading and writing files: images, TIFF tags, videos, figures, strict JSON, atomic writes and locks."""
