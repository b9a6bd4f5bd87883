"""Files in and out: images, TIFF tags, videos, strict JSON, and writing whole or not at all."""
