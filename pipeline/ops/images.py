"""Images as columns: decode, resize, normalize. Pillow is imported where it is used."""

from __future__ import annotations

import io
import math
import re
import warnings
from functools import cache
from typing import Any

import numpy as np

from pipeline.batch import columns
from pipeline.batch.columns import Array, Column, Ragged
from pipeline.errors import RowsError
from pipeline.ops import png
from pipeline.ops.resampling import resample
from pipeline.ops.values import each_row
from pipeline.spec.prepare import CenterCrop, DecodeImage, Normalize, Resize

# The first of them covers the files of cameras with several pictures (MPO), too.
_BEGINNINGS = {
    kind: re.compile(beginning, re.DOTALL)
    for kind, beginning in {
        "JPEG": rb"\xff\xd8\xff",
        "PNG": re.escape(png.SIGNATURE),
        "WEBP": rb"RIFF....WEBP",
        "BMP": rb"BM.{12}[\x0c-\x7c]\0\0\0",
        "GIF": rb"GIF8[79]a",
        "TIFF": rb"II\*\0|MM\0\*|II\+\0|MM\0\+",
        "AVIF": rb"....ftyp(avif|avis)",
    }.items()
}
_OTHERS = {
    kind: re.compile(beginning, re.DOTALL)
    for kind, beginning in {
        "a HEIC picture": rb"....ftyp(hei[cxms]|hev[cxms]|mif1|msf1)",
        "a JPEG 2000 picture": rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51",
        "a JPEG XL picture": rb"\0\0\0\x0cJXL |\xff\x0a",
        "a PNM picture": rb"P[1-7]\s",
        "a Photoshop document": rb"8BPS",
        "an SVG drawing": rb"\s*(<\?xml.*)?<svg\b",
        "a PDF document": rb"%PDF-",
        "a DICOM file": rb".{128}DICM",
    }.items()
}
"""What comes among pictures, and has to be converted."""
_BITS_PER_SAMPLE, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0
"""Of TIFF files."""


_MOST_PIXELS = 50_000_000
"""Of one that `fit: shorter_side` makes: a picture of one line would become any size."""


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
            f"needs the package 'pillow', which cannot be imported ({error}): pip install pillow"
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
    from PIL import UnidentifiedImageError

    if not data:
        raise _BadImageError("found no bytes, expected an image file")
    kind = _kind_of(data)
    if kind == "PNG" and png.has_changed_pixels(data):
        raise _BadImageError("the PNG image is damaged: its pixels do not fit their checksum")
    try:
        try:
            return _pixels(step, data)
        except _BadImageError:
            raise
        except Exception:
            whole = png.without_idle_chunks(data) if kind == "PNG" else data
            if len(whole) == len(data):
                raise
            return _pixels(step, whole)
    except (_BadImageError, MemoryError):
        raise
    except Exception as error:  # Pillow's decoders raise whatever they stumble over
        if kind not in _formats():
            raise _BadImageError(
                f"found {_told(data)}, expected a file of one of the formats "
                f"{', '.join(_formats())}"
            ) from None
        # Pillow's words for what it cannot identify name an object in memory.
        unknown = isinstance(error, UnidentifiedImageError)
        why = "its header cannot be read" if unknown else str(error) or type(error).__name__
        raise _BadImageError(
            f"the {kind} image is damaged, or of a kind that Pillow does not read: {why}"
        ) from None


def _pixels(step: DecodeImage, data: bytes) -> Array:
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(data), formats=_formats()) as image:
            width, height = image.size
            if width * height > step.max_pixels:
                raise _BadImageError(
                    f"found {width} x {height} pixels, expected at most {step.max_pixels:,} in all"
                )
            upright = ImageOps.exif_transpose(_eight_bits(image))
            converted = upright.convert("RGB" if step.channels == 3 else "L")
            return np.array(converted, dtype=np.uint8).reshape(*converted.size[::-1], step.channels)
    except Image.DecompressionBombError as error:
        raise _BadImageError(f"found more pixels than can be meant: {error}") from None


@cache
def _formats() -> tuple[str, ...]:
    """The formats that the Pillow of this process reads, of those that are known here."""
    from PIL import Image, features

    Image.init()
    with warnings.catch_warnings(action="ignore"):  # an older Pillow has not heard of AVIF
        return tuple(
            kind
            for kind in _BEGINNINGS
            if kind in Image.OPEN and (kind != "AVIF" or features.check("avif"))
        )


def _kind_of(data: bytes) -> str:
    """What a file is by its first bytes; empty for no image that is known here."""
    return next((kind for kind, known in _BEGINNINGS.items() if known.match(data)), "")


def _told(data: bytes) -> str:
    """What a file is that is no image known here."""
    other = next((words for words, known in _OTHERS.items() if known.match(data[:1024])), "")
    return other or f"{len(data):,} bytes that begin with {data[:8]!r}"


def _eight_bits(image: Any) -> Any:
    """The image with 8 bits a channel; Pillow's own conversion would cut off, not scale."""
    from PIL import Image

    if image.mode in ("I", "F"):
        kind = "32 bits" if image.mode == "I" else "floats"
        raise _BadImageError(
            f"found a {image.format} image whose pixels are {kind}, expected 8 or 16 bits: what "
            "is black and white in it, it does not say"
        )
    if not image.mode.startswith("I;16"):
        return image
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(_BITS_PER_SAMPLE, (16,))[0]
    values = (np.asarray(image) >> (bits - 8)).astype(np.uint8)
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        values = 255 - values
    scaled = Image.fromarray(values)
    scaled.info = dict(image.info)  # the orientation lies there, too
    return scaled


def resize(step: Resize, column: Column) -> Column:
    """Pixels -> pixels of one height and width, or of one length of the shorter side.

    Shapes: ``(rows, h, w)`` or ``(rows, h, w, channels)``, also ragged -> the same with the height
    and width of `Resize.size_of`. The dtype is that of `Resize.types`; uint8 is rounded. With the
    fit "crop", the middle of the longer side is kept. Source: ``PIL.Image.resize``, whose filter
    widens when it shrinks; :mod:`pipeline.ops.resampling` for the rest.

    Raises:
      RowsError: images without a single pixel, or so long that the result is too large.
    """
    bad: dict[int, str] = {}
    for i, row in enumerate(columns.iterate(column)):
        if not row.size:
            bad[i] = f"found no pixels (shape {list(row.shape)})"
        elif step.fit == "shorter_side" and math.prod(step.size_of(*row.shape[:2])) > _MOST_PIXELS:
            height, width = row.shape[:2]
            bad[i] = (
                f"found {height} x {width} pixels, which would become more than "
                f"{_MOST_PIXELS:,} if the shorter side had {step.size}"
            )
    if bad:
        raise RowsError(bad)
    return columns.from_rows([_resize(step, row) for row in columns.iterate(column)])


def _resize(step: Resize, pixels: Array) -> Array:
    height, width = step.size_of(*pixels.shape[:2])
    if step.antialias and step.method != "area":
        return _by_pillow(step, pixels, height, width)
    if step.fit == "crop":
        pixels = _whole_middle(pixels, height, width)
    made = resample(pixels, height, width, step.method)
    if step.antialias and pixels.dtype == np.uint8:
        return np.floor(made + np.float32(0.5)).astype(np.uint8)
    return made


def _by_pillow(step: Resize, pixels: Array, height: int, width: int) -> Array:
    from PIL import Image

    method = Image.Resampling[step.method.upper()]
    box = _middle(height, width, *pixels.shape[:2]) if step.fit == "crop" else None

    def resized(plane: Array) -> Array:
        image = Image.fromarray(np.ascontiguousarray(plane))
        return np.array(image.resize((width, height), method, box=box))

    if pixels.ndim == 2 or (pixels.shape[2] == 3 and pixels.dtype == np.uint8):
        return resized(pixels)
    return np.stack([resized(pixels[:, :, i]) for i in range(pixels.shape[2])], axis=-1)


def _middle(
    to_height: int, to_width: int, height: int, width: int
) -> tuple[float, float, float, float]:
    """The largest part with the proportions asked for: left, top, right, bottom."""
    scale = min(height / to_height, width / to_width)
    left, top = (width - to_width * scale) / 2, (height - to_height * scale) / 2
    return max(left, 0.0), max(top, 0.0), min(width - left, width), min(height - top, height)


def _whole_middle(pixels: Array, height: int, width: int) -> Array:
    """The same in whole pixels, as Keras' ``Resizing(crop_to_aspect_ratio=True)`` cuts it."""
    there, across = pixels.shape[:2]
    rows = max(1, min(there, int(across * height / width)))
    places = max(1, min(across, int(there * width / height)))
    top, left = (there - rows) // 2, (across - places) // 2
    return pixels[top : top + rows, left : left + places]


def center_crop(step: CenterCrop, column: Column) -> Array:
    """The middle of pictures: ``(rows, h, w, ...)``, also ragged -> ``(rows, height, width, ...)``.

    Raises:
      RowsError: pictures that are smaller.
    """
    rows = list(columns.iterate(column))
    least = np.array((step.height, step.width))
    small = {i: row.shape for i, row in enumerate(rows) if (row.shape[:2] < least).any()}
    if small:
        raise RowsError(
            {
                i: f"found {shape[0]} x {shape[1]} pixels, expected at least "
                f"{step.height} x {step.width}"
                for i, shape in small.items()
            }
        )

    def start(there: int, kept: int) -> int:
        return round((there - kept) / 2) if step.rounding == "half_even" else (there - kept) // 2

    def middle(row: Array) -> Array:
        top, left = start(row.shape[0], step.height), start(row.shape[1], step.width)
        return row[top : top + step.height, left : left + step.width]

    return np.stack([middle(row) for row in rows])


def normalize(step: Normalize, column: Column) -> Column:
    """``(value / divide_by - mean) / std`` -> float32; mean and std along the last axis.

    With the order "bgr", the last axis is reversed first. Shape stays, but with the layout "chw"
    ``(rows, h, w, channels)`` becomes ``(rows, channels, h, w)``. What float32 would round before
    the mean is taken off is computed in float64: float64, and integers of 32 bits or more.
    """
    # As one factor and one offset: two passes over all values instead of three.
    std = np.asarray(step.std, dtype=np.float64)
    exact_factor = 1 / (step.divide_by * std)
    exact_offset = -np.asarray(step.mean, dtype=np.float64) / std

    def compute(values: Array) -> Array:
        if step.order == "bgr":
            values = values[..., ::-1]
        dtype = np.result_type(values.dtype, np.float32)
        factor, offset = exact_factor.astype(dtype), exact_offset.astype(dtype)
        if step.layout == "chw":
            normal = values.transpose(0, 3, 1, 2).astype(dtype, order="C")
            normal *= factor.reshape(-1, 1, 1)
            normal += offset.reshape(-1, 1, 1)
            return normal.astype(np.float32, copy=False)
        normal = values.astype(dtype, order="C")
        rows = normal.reshape(len(normal), -1)
        for operate, per_channel in ((np.multiply, factor), (np.add, offset)):
            # Repeated to the length of a row: numpy is slow where its innermost loop is of three.
            repeats = rows.shape[1] // per_channel.size if per_channel.ndim else 1
            operate(rows, np.tile(per_channel, repeats), out=rows)
        return normal.astype(np.float32, copy=False)

    return each_row(column, compute)
