r"""Lines out of bytes: byte ranges, decompression, line ends, blocks. Pure: files in, tuples out.

Everything is a generator over chunks, so memory holds one chunk, one block and the longest line.
A line ends with ``\n`` or ``\r\n``, which is not part of it; the last one may lack it. An empty
line is a line; the end of a file after its last line end is not.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO

import zstandard

CHUNK_BYTES = 1 << 20

MAX_BLOCK_BYTES = 8 << 20
"""Blocks of long records hold fewer of them: memory is bounded by bytes, too."""

_BOM = b"\xef\xbb\xbf"

# Compressed bytes decoded in one step. Few, because a damaged spot takes the whole step with it,
# and because one step is all that swells in memory, up to a thousandfold for repetitive text.
_STEP_BYTES = 512

_DECOMPRESSORS: dict[str, Callable[[], Any]] = {
    "gzip": lambda: zlib.decompressobj(wbits=zlib.MAX_WBITS | 16),
    "deflate": zlib.decompressobj,
    "bzip2": bz2.BZ2Decompressor,
    "lzma": lzma.LZMADecompressor,
    "zstd": lambda: zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj(),
}
"""Compression as Beam's CompressionTypes name it -> decoder of one member of a file."""

_DECODE_ERRORS = (zlib.error, lzma.LZMAError, zstandard.ZstdError, OSError, EOFError, ValueError)


class DamagedFileError(Exception):
    """Compressed bytes that cannot be decoded further.

    Attributes:
      text_bytes: how many bytes of text came out before.
    """

    def __init__(self, reason: str, text_bytes: int) -> None:
        self.text_bytes = text_bytes
        super().__init__(reason)

    def told(self, path: str, before: str) -> str:
        """Says that a compressed file could not be read to its end.

        Args:
          path: the file's.
          before: what was read until then, in words.
        """
        return (
            f"{path} cannot be read to its end: {self}; reading stopped at byte "
            f"{self.text_bytes} of its text, after {before}"
        )


def text_of_range(
    file: BinaryIO, start: int, end: int, chunk_bytes: int = CHUNK_BYTES
) -> Iterator[bytes]:
    """The text of the lines that *start* in the byte range ``[start, end)`` of a plain file.

    Ranges that cover a file without overlap own each of its lines exactly once. That is the text
    between the first line start at or after `start` and the first one at or after `end`: a line
    starts behind the first line end at or after the byte before.

    Args:
      file: seekable; read from ``start - 1`` to the end of the last line of the range.
      start: first byte of the range.
      end: the byte behind it, more than `start`.
      chunk_bytes: how much is read at once.
    """
    position = max(start - 1, 0)
    file.seek(position)
    inside = start == 0
    while chunk := file.read(chunk_bytes):
        begin = 0
        if not inside:
            begin = chunk.find(b"\n") + 1
            inside = begin > 0
            first_start = position + (begin if inside else len(chunk))
            if first_start >= end:
                return
        if inside:
            # The byte before `end` may be anywhere from this chunk on, but never before `begin`.
            stop = chunk.find(b"\n", max(end - 1 - position, 0)) + 1
            if stop > 0:
                yield chunk[begin:stop]
                return
            yield chunk[begin:] if begin else chunk
        position += len(chunk)


def decompressed(
    file: BinaryIO, compression: str, chunk_bytes: int = CHUNK_BYTES
) -> Iterator[bytes]:
    """The text of a compressed file; of all members, where several were concatenated.

    Args:
      file: read once from its start.
      compression: a key of the table above.
      chunk_bytes: how much is read at once, and about how much text is yielded at once.

    Raises:
      DamagedFileError: after all text before the damage, or before the cut, was yielded.
    """
    held: list[bytes] = []
    held_bytes = 0
    try:
        for piece in _decode(file, _DECOMPRESSORS[compression], chunk_bytes):
            held.append(piece)
            held_bytes += len(piece)
            if held_bytes >= chunk_bytes:
                yield b"".join(held)
                held, held_bytes = [], 0
    except DamagedFileError:
        yield b"".join(held)
        raise
    yield b"".join(held)


def _decode(file: BinaryIO, new_decoder: Callable[[], Any], chunk_bytes: int) -> Iterator[bytes]:
    decoder = None  # none between members
    text_bytes = 0
    # Reading stays outside the try: storage errors must reach Beam, which then retries.
    while chunk := file.read(chunk_bytes):
        for step in range(0, len(chunk), _STEP_BYTES):
            rest = chunk[step : step + _STEP_BYTES]
            while rest:
                if decoder is None:
                    rest = rest.lstrip(b"\0")  # padding, as tapes and some archivers leave it
                    if not rest:
                        break
                    decoder = new_decoder()
                try:
                    piece = decoder.decompress(rest)
                except _DECODE_ERRORS as error:
                    raise DamagedFileError(f"damaged data ({error})", text_bytes) from error
                yield piece
                text_bytes += len(piece)
                rest = b""
                if decoder.eof:
                    rest, decoder = decoder.unused_data, None
    if decoder is not None:
        raise DamagedFileError("the file ends amid its compressed data", text_bytes)


def without_bom(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The chunks of a whole file, without the UTF-8 byte order mark that some editors put first."""
    head = b""
    remaining = iter(chunks)
    for chunk in remaining:
        head += chunk
        if len(head) >= len(_BOM):
            break
    yield head.removeprefix(_BOM)
    yield from remaining


def split_lines(chunks: Iterable[bytes]) -> Iterator[list[bytes]]:
    """The lines of a text, a list for each chunk that ends at least one."""
    unfinished: list[bytes] = []
    for chunk in chunks:
        unfinished.append(chunk)
        if b"\n" not in chunk:
            continue
        text = b"".join(unfinished)
        if b"\r\n" in text:
            text = text.replace(b"\r\n", b"\n")
        lines = text.split(b"\n")
        unfinished = [lines.pop()]
        yield lines
    last = b"".join(unfinished)
    if last:
        yield [last]


def in_blocks(
    lists: Iterable[list[bytes]], rows: int, max_bytes: int = MAX_BLOCK_BYTES
) -> Iterator[tuple[bytes, ...]]:
    """The lines of all lists, `rows` to a block; fewer in the last, and where lines are long.

    Args:
      lists: the lines in order.
      rows: most lines of a block.
      max_bytes: a block is closed when its lines together reach this size.

    Raises:
      DamagedFileError: from `lists`, after the lines before the damage were yielded.
    """
    held: list[bytes] = []
    held_bytes = 0
    try:
        for lines in lists:
            held += lines
            held_bytes += sum(map(len, lines))
            full = len(held) - len(held) % rows
            for first in range(0, full, rows):
                yield tuple(held[first : first + rows])
            if full:
                held = held[full:]
                held_bytes = sum(map(len, held))
            if held and held_bytes >= max_bytes:
                yield tuple(held)
                held, held_bytes = [], 0
    except DamagedFileError:
        if held:
            yield tuple(held)
        raise
    if held:
        yield tuple(held)
