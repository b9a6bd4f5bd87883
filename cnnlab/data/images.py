"""Image files as arrays."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cnnlab.data.spec import InputSpec

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
MAX_PIXELS = 100_000_000  # a file may claim any size; 100 megapixels of RGB take 300 MB


def find_images(paths: Sequence[str | Path]) -> list[Path]:
    """Files as they are given, folders as the images in them (sorted, subfolders too).

    Raises:
      ValueError: a path does not exist, or a folder holds no image.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES)
            if not inside:
                raise ValueError(f"{path} holds no image; looked for {', '.join(SUFFIXES)}")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise ValueError(f"{path} does not exist; give image files or folders")
    return found


def read_image(path: str | Path, spec: InputSpec) -> np.ndarray:
    """One file as uint8 `[H, W, C]` of the spec's size and channels.

    Grey and RGB are converted into each other, transparency is laid on white, 16 bits are scaled to 8, a photo is
    turned upright by its EXIF tag, and the whole image is resized bilinearly (with antialiasing), whatever its shape.

    Raises:
      ValueError: the file is no image, is damaged, or is larger than `MAX_PIXELS`; it is named.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    if spec.channels not in (1, 3):
        raise ValueError(f"image files have 1 or 3 channels, this network takes {spec.channels}; pass arrays instead")
    try:
        with Image.open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"{path} has {image.width}x{image.height} pixels, more than {MAX_PIXELS:,}; shrink it")
            image = ImageOps.exif_transpose(image)
            image = _eight_bits(image)
            image = image.convert("L" if spec.channels == 1 else "RGB")
            height, width = spec.size
            pixels = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"cannot read {path} as an image ({error}); repair or remove it") from error
    return pixels.reshape(*spec.size, spec.channels)


def _eight_bits(image):
    """Any mode as L, RGB or one that Pillow converts to them faithfully."""
    from PIL import Image

    if image.mode.startswith("I"):  # 16 bits; Pillow's own conversion would clip at 255
        return Image.fromarray((np.asarray(image).clip(0, 65535) // 257).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return image
