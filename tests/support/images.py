"""Image files made on the spot, for tests."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

ORIENTATION = 0x0112


def gradient(height: int, width: int, channels: int = 3) -> np.ndarray:
    """A smooth picture: what a lossy format leaves nearly as it was. uint8."""
    rows, columns = np.mgrid[:height, :width]
    planes = [rows * 5 + 20, columns * 5 + 40, rows * 2 + columns * 2 + 60]
    return np.stack(planes[:channels], axis=-1).clip(0, 255).astype(np.uint8)


def encoded(pixels: np.ndarray | Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """Pixels, or a Pillow image, as the bytes of a file."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def turned(pixels: np.ndarray | Image.Image, orientation: int) -> bytes:
    """A JPEG whose EXIF says how it is to be turned."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return encoded(pixels, "JPEG", quality=95, exif=exif)


def claims(height: int, width: int) -> bytes:
    """A small PNG whose header claims another size."""
    data = encoded(gradient(2, 2))
    header = b"IHDR" + struct.pack(">II", width, height) + data[24:29]
    return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]


def column(*files: bytes) -> np.ndarray:
    """A column of bytes."""
    array = np.empty(len(files), dtype=object)
    array[:] = files
    return array
