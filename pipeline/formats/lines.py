r"""Lines out of bytes: byte ranges, decompression, line ends, blocks. Pure: files in, lines out.

Everything is a generator over chunks, so memory holds one chunk, one block and the longest line
that is allowed. A line ends with ``\n`` or ``\r\n``, which is not part of it; the last one may lack
it. An empty line is a line; the end of a file after its last line end is not.
"""

from __future__ import annotations

import bz2
import io
import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, BinaryIO

import numpy as np
import zstandard

from pipeline.batch.payloads import Lines

CHUNK_BYTES = 1 << 20

MAX_BLOCK_BYTES = 8 << 20
"""Blocks of long records hold fewer of them: memory is bounded by bytes, too."""

DEFAULT_RECORD_BYTES = 32 << 20
"""A larger record is a file that lacks line ends, or one made to fill the memory."""

_BOM = b"\xef\xbb\xbf"
_START_BYTES = 40

# Compressed bytes decoded in one step. Few, because a damaged spot takes the whole step with it,
# and because one step is all that swells in memory, up to a thousandfold for repetitive text.
_STEP_BYTES = 512

# What a file may ask of the memory of a decoder: twice what `zstd` and `xz` need at their highest
# level, unless they are told to use more.
_WINDOW_BYTES = 128 << 20

_DECOMPRESSORS: dict[str, Callable[[], Any]] = {
    "gzip": lambda: zlib.decompressobj(wbits=zlib.MAX_WBITS | 16),
    "deflate": zlib.decompressobj,
    "bzip2": bz2.BZ2Decompressor,
    "lzma": lambda: lzma.LZMADecompressor(memlimit=_WINDOW_BYTES),
    "zstd": lambda: zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES).decompressobj(),
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
            f"{self.text_bytes} of its text, after {before}. Those were handed on already: "
            "predictions from them stand, and may be wrong where the damage is before that byte"
        )


@dataclass(frozen=True)
class LongLine:
    """A line that was passed over because it is too long.

    Attributes:
      start: how it begins.
      length: its bytes.
    """

    start: bytes
    length: int

    def told(self, path: str, before: str, most: int) -> str:
        """Says so.

        Args:
          path: the file's.
          before: what was read until then, in words.
          most: the allowed length, in bytes.
        """
        return long_record(path, f"the line after {before}, {self.start!r}...,", self.length, most)


def long_record(path: str, which: str, length: int, most: int) -> str:
    """Says that a record was passed over because it is too long.

    Args:
      path: the file's.
      which: the record, in words.
      length: its bytes.
      most: the allowed length, in bytes.
    """
    return (
        f"{path}: {which} has {length:,} bytes, expected at most {most:,}: it is left out. "
        "A larger --max_record_bytes reads it"
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


def text_head(head: bytes, compression: str) -> bytes:
    """The beginning of a text, as far as the first bytes of the compressed file tell it."""
    text = b""
    try:
        for piece in _decode(io.BytesIO(head), _DECOMPRESSORS[compression], len(head)):
            text += piece
    except DamagedFileError:
        pass  # it goes on
    return text


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


def split_lines(
    chunks: Iterable[bytes], most: int = DEFAULT_RECORD_BYTES, *, exact: bool = False
) -> Iterator[Lines | LongLine]:
    r"""The lines of a text, some for each chunk that ends at least one.

    Args:
      chunks: the text.
      most: bytes of the longest line that is read; of others no more is held than this.
      exact: whether a ``\r`` before a line end stays, since it may be inside of a value.
    """
    held: list[bytes] = []
    length = 0
    for chunk in chunks:
        last = chunk.rfind(b"\n")
        if last < 0:
            held.append(chunk)
            length += len(chunk)
            if length > most and len(held) > 1:
                held = [b"".join(held)[:_START_BYTES]]
            continue
        if length > most:
            rest, _, chunk = chunk.partition(b"\n")
            yield LongLine(held[0][:_START_BYTES], length + len(rest))
            held, last = [], last - len(rest) - 1
        before, held = held, [chunk[last + 1 :]]
        length = len(held[0])
        if last < 0:
            continue
        text = b"".join([*before, chunk[:last]])
        if not exact and b"\r" in text:
            text = (text + b"\n").replace(b"\r\n", b"\n")[:-1]
        found = Lines.split(text)
        # Few texts are so long that one of their lines can be.
        yield from _apart(found, most) if len(text) > most else [found]
    if length > most:
        yield LongLine(held[0][:_START_BYTES], length)
    elif end := b"".join(held):
        yield Lines.of((end,))


def _apart(lines: Lines, most: int) -> Iterator[Lines | LongLine]:
    """The lines, those that are too long each by itself."""
    begin, begins = 0, lines.begins
    lengths = lines.ends - begins
    for i in np.flatnonzero(lengths > most).tolist():
        yield lines.part(begin, i)
        first, length = int(begins[i]), int(lengths[i])
        yield LongLine(lines.text[first : first + min(length, _START_BYTES)], length)
        begin = i + 1
    yield lines.part(begin, len(lines))


def in_blocks(
    parts: Iterable[Lines | LongLine], rows: int, max_bytes: int = MAX_BLOCK_BYTES
) -> Iterator[Lines | LongLine]:
    """The lines of all parts, `rows` to a block; fewer in the last, and where lines are long.

    A line that was passed over stands where it was, between two blocks.

    Args:
      parts: the lines in order.
      rows: most lines of a block.
      max_bytes: a block is closed when its lines together reach this size.

    Raises:
      DamagedFileError: from `parts`, after the lines before the damage were yielded.
    """
    held: list[Lines] = []
    try:
        for part in parts:
            if isinstance(part, LongLine):
                if held:
                    yield _joined(held)
                    held = []
                yield part
                continue
            if len(part):
                held.append(part)
            count = sum(map(len, held))
            if count >= rows:
                lines = _joined(held)
                full = count - count % rows
                for first in range(0, full, rows):
                    yield lines.part(first, first + rows)
                held = [lines.part(full, count)] if full < count else []
            if held and sum(len(lines.text) for lines in held) >= max_bytes:
                yield _joined(held)
                held = []
    except DamagedFileError:
        if held:
            yield _joined(held)
        raise
    if held:
        yield _joined(held)


def _joined(parts: Sequence[Lines]) -> Lines:
    """The lines of all parts, at least one, as one text."""
    if len(parts) == 1:
        return parts[0]
    begins = accumulate((len(part.text) + 1 for part in parts), initial=0)
    ends = [part.ends + begin for part, begin in zip(parts, begins, strict=False)]
    return Lines(b"\n".join(part.text for part in parts), np.concatenate(ends))
