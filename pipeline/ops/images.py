"""Images as columns: decode, resize, normalize. Pillow is imported where it is used."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from pipeline.batch import columns
from pipeline.batch.columns import Array, Column, Ragged
from pipeline.errors import RowsError
from pipeline.ops.values import each_row
from pipeline.spec.prepare import DecodeImage, Normalize, Resize

# The first of them covers the files of cameras with several pictures (MPO), too.
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")


class _BadImageError(Exception):
    """Why a file cannot be decoded."""


def check_installed(step: DecodeImage | Resize) -> None:
    """Makes sure that Pillow, which both steps need, can be imported.

    Raises:
      ValueError: it cannot; says what to install.
    """
    try:
        import PIL.Image  # noqa: F401
    except ImportError as error:
        raise ValueError(
            f"needs the package 'pillow', which cannot be imported ({error}); install the extra "
            "'images', or: pip install pillow"
        ) from error


def decode(step: DecodeImage, column: Column) -> Ragged:
    """Image files -> pixels, in the colours red, green, blue, or grey.

    Args:
      step: number of channels, and most pixels.
      column: shape ``(rows,)``, bytes: a file each.

    Returns:
      uint8, each row of shape ``(height, width, channels)``.

    Raises:
      RowsError: files that are empty, damaged, cut short, too large, or no image of a known format.
    """
    pixels: list[Array] = []
    bad: dict[int, str] = {}
    for row, data in enumerate(columns.iterate(column)):
        try:
            pixels.append(_decode(step, data.item()))
        except _BadImageError as error:
            bad[row] = str(error)
    if bad:
        raise RowsError(bad)
    return Ragged(pixels)  # as they are, also where sizes agree: stacking would copy them all


def _decode(step: DecodeImage, data: bytes) -> Array:
    from PIL import Image, ImageOps, UnidentifiedImageError

    if not data:
        raise _BadImageError("found no bytes, expected an image file")
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            width, height = image.size
            if width * height > step.max_pixels:
                raise _BadImageError(
                    f"found {width} x {height} pixels, expected at most {step.max_pixels:,} in all"
                )
            upright = ImageOps.exif_transpose(_eight_bits(image))
            converted = upright.convert("RGB" if step.channels == 3 else "L")
            return np.array(converted, dtype=np.uint8).reshape(*converted.size[::-1], step.channels)
    except (_BadImageError, MemoryError):
        raise
    except UnidentifiedImageError:
        formats = ", ".join(_FORMATS)
        raise _BadImageError(
            f"found {len(data):,} bytes that begin with {data[:8]!r}, expected a file of one of "
            f"the formats {formats}"
        ) from None
    except Image.DecompressionBombError as error:
        raise _BadImageError(f"found more pixels than can be meant: {error}") from None
    except Exception as error:  # Pillow's decoders raise whatever they stumble over
        raise _BadImageError(
            f"the image cannot be decoded: {error or type(error).__name__}"
        ) from None


def _eight_bits(image: Any) -> Any:
    """The image with 8 bits a channel; Pillow's own conversion would cut off, not scale."""
    from PIL import Image

    if not image.mode.startswith("I;16"):
        return image
    scaled = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    scaled.info = dict(image.info)  # the orientation lies there, too
    return scaled


def resize(step: Resize, column: Column) -> Array:
    """Pixels -> pixels of one height and width, in the same dtype.

    Shapes: ``(rows, h, w)`` or ``(rows, h, w, channels)``, also ragged -> ``(rows, height, width)``
    or ``(rows, height, width, channels)``. uint8 is rounded. With the fit "crop", the middle of the
    longer side is kept. Source: ``PIL.Image.resize``, whose filter widens when it shrinks.

    Raises:
      RowsError: images without a single pixel.
    """
    empty = {i: row.shape for i, row in enumerate(columns.iterate(column)) if not row.size}
    if empty:
        raise RowsError({i: f"found no pixels (shape {list(shape)})" for i, shape in empty.items()})
    return np.stack([_resize(step, row) for row in columns.iterate(column)])


def _resize(step: Resize, pixels: Array) -> Array:
    from PIL import Image

    method = Image.Resampling.BILINEAR if step.method == "bilinear" else Image.Resampling.NEAREST
    box = _middle(step, *pixels.shape[:2]) if step.fit == "crop" else None

    def resized(plane: Array) -> Array:
        image = Image.fromarray(np.ascontiguousarray(plane))
        return np.array(image.resize((step.width, step.height), method, box=box))

    if pixels.ndim == 2 or (pixels.shape[2] == 3 and pixels.dtype == np.uint8):
        return resized(pixels)
    return np.stack([resized(pixels[:, :, i]) for i in range(pixels.shape[2])], axis=-1)


def _middle(step: Resize, height: int, width: int) -> tuple[float, float, float, float]:
    """The largest part with the proportions asked for: left, top, right, bottom."""
    scale = min(height / step.height, width / step.width)
    left, top = (width - step.width * scale) / 2, (height - step.height * scale) / 2
    return max(left, 0.0), max(top, 0.0), min(width - left, width), min(height - top, height)


def normalize(step: Normalize, column: Column) -> Column:
    """``(value / divide_by - mean) / std`` -> float32; mean and std along the last axis.

    Shape stays, but with the layout "chw" ``(rows, h, w, channels)`` becomes
    ``(rows, channels, h, w)``.
    """
    # As one factor and one offset: two passes over all values instead of three.
    std = np.asarray(step.std, dtype=np.float64)
    factor = (1 / (step.divide_by * std)).astype(np.float32)
    offset = (-np.asarray(step.mean, dtype=np.float64) / std).astype(np.float32)

    def compute(values: Array) -> Array:
        if step.layout == "chw":
            normal = values.transpose(0, 3, 1, 2).astype(np.float32, order="C")
            normal *= factor.reshape(-1, 1, 1)
            normal += offset.reshape(-1, 1, 1)
            return normal
        normal = values.astype(np.float32, order="C")
        rows = normal.reshape(len(normal), -1)
        for operate, per_channel in ((np.multiply, factor), (np.add, offset)):
            # Repeated to the length of a row: numpy is slow where its innermost loop is of three.
            repeats = rows.shape[1] // per_channel.size if per_channel.ndim else 1
            operate(rows, np.tile(per_channel, repeats), out=rows)
        return normal

    return each_row(column, compute)
