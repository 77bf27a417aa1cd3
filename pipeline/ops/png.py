"""What Pillow does not look at, or looks at too closely, in PNG files."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_IDLE = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
"""Text, and a profile, which Pillow refuses where it is very long; none changes a pixel."""
_ORIENTATION = (b"XML:com.adobe.xmp\0", b"Raw profile type exif\0")
"""Texts that may say how the picture is to be turned."""


def has_changed_pixels(data: bytes) -> bool:
    """Whether the checksum of compressed pixels is wrong, which Pillow passes over."""
    return any(_kind(chunk) == b"IDAT" and not _is_whole(chunk) for chunk in _chunks(data))


def without_idle_chunks(data: bytes) -> bytes:
    """A PNG file without the chunks that change no pixel, and can keep it from being read.

    These are texts and profiles, and other chunks that a reader may leave out whose checksum is
    wrong. What may say how the picture is to be turned stays: without it, it could be shown
    sideways.
    """
    return SIGNATURE + b"".join(chunk for chunk in _chunks(data) if not _is_idle(chunk))


def _chunks(data: bytes) -> Iterator[bytes]:
    """Length, kind, content and checksum of each chunk; the last may be cut short.

    What stands behind the chunk IEND is no part of the picture.
    """
    at = len(SIGNATURE)
    while at < len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        yield data[at:end]
        if data[at + 4 : at + 8] == b"IEND":
            return
        at = end


def _kind(chunk: bytes) -> bytes:
    return chunk[4:8]


def _is_whole(chunk: bytes) -> bool:
    """Whether its checksum is right."""
    return zlib.crc32(memoryview(chunk)[4:-4]) == int.from_bytes(chunk[-4:], "big")


def _is_idle(chunk: bytes) -> bool:
    if _kind(chunk) == b"eXIf" or chunk[8:].startswith(_ORIENTATION):
        return False
    may_be_left_out = bool(chunk[4:5].islower())
    return _kind(chunk) in _IDLE or (may_be_left_out and not _is_whole(chunk))
