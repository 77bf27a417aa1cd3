"""The compression of Avro's blocks, undone as far as memory allows.

A few bytes may hold gigabytes, so nothing is unpacked without a limit.

Source: https://avro.apache.org/docs/1.12.0/specification/#required-codecs
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from io import BytesIO

import cramjam
import zstandard

_CHECKSUM_BYTES = 4


def unpacked(codec: str, data: bytes, most: int) -> bytes:
    """The bytes of a block.

    Args:
      codec: the compression, as a container names it.
      data: as stored.
      most: how many bytes may come out.

    Raises:
      ValueError: more would.
      Exception: whatever damaged data lead a library to.
    """
    found = data if codec == "null" else _UNPACK[codec](data, most)
    if len(found) > most:
        raise ValueError(
            f"its {len(data):,} bytes become more than {most:,}; a larger --max_record_bytes reads "
            "them"
        )
    return found


def is_known(codec: str) -> bool:
    """Whether this compression can be undone."""
    return codec == "null" or codec in _UNPACK


def _snappy(data: bytes, most: int) -> bytes:
    packed, checksum = data[:-_CHECKSUM_BYTES], data[-_CHECKSUM_BYTES:]
    size = shift = 0
    for byte in packed[:5]:  # how many bytes come out, as a varint
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    if size > most:
        return bytes(most + 1)
    found = bytes(cramjam.snappy.decompress_raw(packed))
    if zlib.crc32(found) != int.from_bytes(checksum, "big"):
        raise ValueError("its checksum is wrong")
    return found


def _zstandard(data: bytes, most: int) -> bytes:
    decoder = zstandard.ZstdDecompressor(max_window_size=1 << 27)
    return decoder.stream_reader(BytesIO(data)).read(most + 1)


_UNPACK: dict[str, Callable[[bytes, int], bytes]] = {
    "deflate": lambda data, most: zlib.decompressobj(-15).decompress(data, most + 1),
    "bzip2": lambda data, most: bz2.BZ2Decompressor().decompress(data, most + 1),
    "xz": lambda data, most: lzma.LZMADecompressor(memlimit=1 << 27).decompress(data, most + 1),
    "snappy": _snappy,
    "zstandard": _zstandard,
}
