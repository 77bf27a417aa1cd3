r"""A JSON array as lines: each of its values becomes one, so that it is read as JSON lines are.

Only what separates the values is looked at: brackets, commas and quotes. What a value is, the
decoder tells, so a bad one costs itself; but where brackets or quotes do not match, nobody can tell
where the next one begins.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import numpy as np

from pipeline.batch.columns import Array
from pipeline.formats.lines import CHUNK_BYTES, DamagedFileError

_SPACE, _QUOTE, _BACKSLASH, _LINE_FEED, _RETURN, _LAST = b' "\\\n\r]'
_BLANKS = b" \t\r\n"
_BEFORE_VALUES = re.compile(rb"\n[ \t]+")
_NO_TEXT = 0x0B
"""Stands for a line end in a text, where JSON allows none; nor does it allow this character."""

_OTHER, _OPENS, _CLOSES, _SEPARATES = range(4)
_KIND_OF = dict(zip(b"[{]},", (_OPENS, _OPENS, _CLOSES, _CLOSES, _SEPARATES), strict=True))
_KINDS = bytes(_KIND_OF.get(code, _OTHER) for code in range(256))
"""What a character does, by its code."""


def as_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The values of arrays that follow each other, a line each, and what stands behind as it is.

    Args:
      chunks: a text that begins with an array.

    Raises:
      DamagedFileError: the text ends before the array does; after all values, the last as it is.
    """
    array = _Values()
    text_bytes = 0
    parts = _small(chunks)
    for part in parts:
        text_bytes += len(part)
        while part:
            if array.ended:
                part = part.lstrip(_BLANKS)
                if not part.startswith(b"["):
                    break
                array = _Values()
            line, part = array.lines(part)
            yield line
        if part:
            yield part
            yield from parts
    if not array.ended:
        yield array.last_end()
        raise DamagedFileError("it ends before its JSON array does", text_bytes)


def _small(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Chunks cut so small that what is made of one takes little memory."""
    for chunk in chunks:
        for begin in range(0, len(chunk), CHUNK_BYTES):
            yield chunk[begin : begin + CHUNK_BYTES]


class _Values:
    """What is known of an array between one chunk and the next.

    Attributes:
      ended: whether all of it was read.
    """

    def __init__(self) -> None:
        self.ended = False
        self._depth = 0
        self._in_text = False
        self._escapes = False  # the next character: the last one was a backslash that does
        self._between = True  # nothing of the next value was there yet

    def lines(self, chunk: bytes) -> tuple[bytes, bytes]:
        """A part of the text as lines, and what of it stands behind the end of the array."""
        codes = np.frombuffer(chunk, np.uint8)
        outside = self._outside(codes, chunk)
        kinds = np.frombuffer(chunk.translate(_KINDS), np.uint8)
        marks = np.flatnonzero((kinds != _OTHER) & outside)
        kinds = kinds[marks]
        steps = (kinds == _OPENS).astype(np.int64) - (kinds == _CLOSES)
        depths = self._depth + np.cumsum(steps)
        begin, end, rest = 0, len(chunk), b""
        if self._depth == 0 and len(marks):
            begin = int(marks[0]) + 1
        if len(closed := marks[(depths == 0) & (kinds == _CLOSES)]):
            end, self.ended = int(closed[0]), True
            rest = chunk[end + 1 :]
            end += chunk[end] != _LAST  # a brace that nobody opened makes the last value a bad one
        if len(marks):
            self._depth = int(depths[-1])
        made = codes.copy()
        line_ends = np.flatnonzero((codes == _LINE_FEED) | (codes == _RETURN))
        made[line_ends] = np.where(outside[line_ends], _SPACE, _NO_TEXT)
        made[marks[(depths == 1) & (kinds == _SEPARATES)]] = _LINE_FEED
        text = self._without_blanks(made[begin:end].tobytes())
        if self.ended:
            return text + self.last_end(), rest
        return text, b""

    def last_end(self) -> bytes:
        """The end of the line of the last value; empty if there is none."""
        return b"" if self._between else b"\n"

    def _outside(self, codes: Array, chunk: bytes) -> Array:
        """Which characters are in no text; its first quote is, its last one is not."""
        quotes = codes == _QUOTE
        if self._escapes or b"\\" in chunk:
            quotes &= ~self._escaped(codes)
        in_text = np.bitwise_xor.accumulate(quotes)
        if self._in_text:
            in_text = ~in_text
        if len(codes):
            self._in_text = bool(in_text[-1])
        outside: Array = ~in_text
        return outside

    def _escaped(self, codes: Array) -> Array:
        """Which characters stand behind an odd number of backslashes."""
        places = np.arange(len(codes))
        last_other = np.maximum.accumulate(np.where(codes == _BACKSLASH, -1, places))
        # Backslashes up to each place; those before the first place count from the chunk before.
        counts = places - last_other + (self._escapes & (last_other < 0))
        odd = counts % 2 == 1
        escaped: Array = np.concatenate([[self._escapes], odd[:-1]])
        if len(odd):
            self._escapes = bool(odd[-1])
        return escaped

    def _without_blanks(self, text: bytes) -> bytes:
        """A text without the blanks before a value: they are no line where none follows."""
        text = _BEFORE_VALUES.sub(b"\n", text)
        if self._between:
            text = text.lstrip(_BLANKS[:2])
        if text:
            self._between = text.endswith(b"\n")
        return text
