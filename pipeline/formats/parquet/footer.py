"""The index at the end of a Parquet file, read without Arrow.

Arrow's C++ ends the process when Python asks it for a column of a damaged index: the exception has
no way out of it. What it reads of the data raises as it should. So all that is asked of the index
is read here: which bytes a row group takes, and how large its values become in memory, which a
file of few bytes may leave open to make gigabytes of them.

The encoding is Thrift's compact protocol.

Source: https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift
and https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from pipeline.formats.opened_file import WatchedFile

_MAGIC = b"PAR1"
_TAIL_BYTES = 8
_DEEPEST = 32

# As Thrift's compact protocol numbers its types.
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)
_INTEGERS = (_I16, _I32, _I64)
_FIXED_BYTES = {_BYTE: 1, _DOUBLE: 8}

# As Parquet numbers its physical types.
_BYTE_ARRAY: Final = 6
_FIXED_BYTE_ARRAY: Final = 7
_VALUE_BYTES = {0: 1, 1: 4, 2: 8, 3: 12, 4: 4, 5: 8, _BYTE_ARRAY: 4}


@dataclass(frozen=True)
class Chunk:
    """The values of one leaf column in one row group.

    Attributes:
      column: the name of the column, without those of its inner parts.
      start: the first byte of its pages.
      stored_bytes: of its pages, compressed.
      value_bytes: of its values in memory, as far as the file says.
      even: whether no row can have much more of them than another.
    """

    column: str
    start: int
    stored_bytes: int
    value_bytes: int
    even: bool


@dataclass(frozen=True)
class RowGroup:
    """Consecutive rows.

    Attributes:
      rows: how many.
      chunks: one for each leaf column.
      middle: the byte in the middle of its data; one of the file's, whatever the index says.
    """

    rows: int
    chunks: tuple[Chunk, ...]
    middle: int


def row_groups(file: WatchedFile) -> tuple[RowGroup, ...]:
    """The row groups of a file.

    Args:
      file: anywhere; left anywhere.

    Raises:
      ValueError: it is no Parquet file, or its index is damaged.
    """
    size = file.seek(0, 2)
    if size < _TAIL_BYTES + len(_MAGIC):
        raise ValueError("found fewer bytes than the smallest has")
    file.seek(size - _TAIL_BYTES)
    tail = file.read(_TAIL_BYTES)
    if tail[4:] == b"PARE":
        raise ValueError("its index is encrypted")
    if tail[4:] != _MAGIC:
        raise ValueError("it does not end like one; it may be cut")
    length = int.from_bytes(tail[:4], "little")
    if length > size - _TAIL_BYTES - len(_MAGIC):
        raise ValueError("its index would be larger than the file")
    file.seek(size - _TAIL_BYTES - length)
    try:
        return _parsed(file.read(length), size)
    except (IndexError, KeyError, UnicodeDecodeError, OverflowError) as error:
        raise ValueError(f"its index is damaged ({error!r})") from error


def unpacked_bytes(stored: memoryview) -> int:
    """What the pages of a chunk say that they become, once decompressed.

    Arrow makes room for as much as each says. Where a page cannot be read, the sum ends: Arrow
    comes to an end there, too.

    Args:
      stored: the bytes of the chunk.
    """
    reader, found = _Reader(stored), 0
    try:
        while not reader.is_at_end:
            sizes = {2: 0, 3: 0}
            for number, kind in reader.fields():
                if number in sizes and kind in _INTEGERS:
                    sizes[number] = reader.integer()
                else:
                    reader.skip(kind)
            unpacked, packed = sizes.values()
            found += max(unpacked, 0)
            if packed < 0:
                break
            reader.pass_over(packed)
    except (IndexError, KeyError, ValueError):
        pass
    return found


# Each range of a file is read by itself, and all of them look at the index.
@lru_cache(maxsize=4)
def _parsed(index: bytes, file_bytes: int) -> tuple[RowGroup, ...]:
    reader = _Reader(index)
    rows = 0
    widths: list[int] = []
    groups: list[RowGroup] = []
    for number, kind in reader.fields():
        if number == 2 and kind == _LIST:
            widths = [width for _ in reader.items(_STRUCT) if (width := _leaf_bytes(reader))]
        elif number == 3 and kind in _INTEGERS:
            rows = reader.integer()
        elif number == 4 and kind == _LIST:
            groups += [_row_group(reader, widths, file_bytes) for _ in reader.items(_STRUCT)]
        else:
            reader.skip(kind)
    if rows != (found := sum(group.rows for group in groups)):
        raise ValueError(f"its index is damaged: it says {rows} rows and describes {found}")
    return tuple(groups)


def _leaf_bytes(reader: _Reader) -> int:
    """The bytes of one value of a schema element, the least if they differ; 0 if it is no leaf."""
    kind, length = -1, 0
    for number, wire in reader.fields():
        if number == 1 and wire in _INTEGERS:
            kind = reader.integer()
        elif number == 2 and wire in _INTEGERS:
            length = reader.integer()
        else:
            reader.skip(wire)
    if kind < 0:
        return 0
    return max(length, 1) if kind == _FIXED_BYTE_ARRAY else _VALUE_BYTES[kind]


def _row_group(reader: _Reader, widths: list[int], file_bytes: int) -> RowGroup:
    rows = 0
    columns: list[_Column] = []
    for number, kind in reader.fields():
        if number == 1 and kind == _LIST:
            columns = [_column(reader) for _ in reader.items(_STRUCT)]
        elif number == 3 and kind in _INTEGERS:
            rows = reader.integer()
        else:
            reader.skip(kind)
    if len(columns) != len(widths) or rows < 0:
        raise ValueError(
            f"its index is damaged: {rows} rows of {len(columns)} columns, expected {len(widths)}"
        )
    chunks = tuple(c.chunk(rows, width) for c, width in zip(columns, widths, strict=True))
    begin = min((chunk.start for chunk in chunks), default=0)
    end = max((chunk.start + chunk.stored_bytes for chunk in chunks), default=0)
    return RowGroup(rows, chunks, min((begin + end) // 2, file_bytes - 1))


@dataclass
class _Column:
    """What the index says of a chunk."""

    path: str = ""
    kind: int = -1
    values: int = -1
    unpacked: int = -1
    stored: int = -1
    data: int = -1
    dictionary: int = 0
    texts: int = 0

    def chunk(self, rows: int, width: int) -> Chunk:
        """The chunk, checked."""
        if (
            min(self.kind, self.values, self.unpacked, self.stored, self.data) < 0
            or self.dictionary < 0
        ):
            raise ValueError("its index is damaged: it does not say where a column is")
        made = self.values * width + self.texts
        fixed = self.kind != _BYTE_ARRAY and self.values == rows
        return Chunk(
            self.path,
            # As Arrow has it: some writers name a place behind the data.
            min(self.dictionary, self.data) if self.dictionary else self.data,
            self.stored,
            max(made, self.unpacked),
            even=fixed and self.unpacked <= 2 * made + (1 << 20),
        )


_SIZES = {1: "kind", 5: "values", 6: "unpacked", 7: "stored", 9: "data", 11: "dictionary"}


def _column(reader: _Reader) -> _Column:
    column = _Column()
    for number, kind in reader.fields():
        if number != 3 or kind != _STRUCT:
            reader.skip(kind)
            continue
        for inner, wire in reader.fields():
            if inner in _SIZES and wire in _INTEGERS:
                setattr(column, _SIZES[inner], reader.integer())
            elif inner == 3 and wire == _LIST:
                names = [reader.text() for _ in reader.items(_BINARY)]
                column.path = names[0]
            elif inner == 16 and wire == _STRUCT:
                column.texts = _unpacked_texts(reader)
            else:
                reader.skip(wire)
    return column


def _unpacked_texts(reader: _Reader) -> int:
    """The bytes of all texts of a chunk, each counted as often as it stands there."""
    found = 0
    for number, kind in reader.fields():
        if number == 1 and kind in _INTEGERS:
            found = max(reader.integer(), 0)
        else:
            reader.skip(kind)
    return found


class _Reader:
    """Values in Thrift's compact protocol, one after the other.

    Raises:
      IndexError: from all methods, at the end of the data.
    """

    def __init__(self, data: bytes | memoryview) -> None:
        self._data = data
        self._at = 0

    @property
    def is_at_end(self) -> bool:
        """Whether nothing is left."""
        return self._at >= len(self._data)

    def pass_over(self, count: int) -> None:
        """Passes over bytes that are no values."""
        self._move(count)

    def fields(self) -> Iterator[tuple[int, int]]:
        """Number and type of each field of a struct; whoever asks for the next has read it."""
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self.integer()
            yield number, head & 0x0F

    def items(self, kind: int) -> range:
        """A round for each item of a list, of the one type that is expected."""
        count, found = self._list()
        if found != kind and count:
            raise ValueError(f"its index is damaged: a list of type {found}, expected {kind}")
        return range(count)

    def integer(self) -> int:
        """A number (zigzag varint)."""
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def text(self) -> str:
        """Some text."""
        length = self._varint()
        self._move(length)
        return bytes(self._data[self._at - length : self._at]).decode()

    def skip(self, kind: int, depth: int = 0) -> None:
        """Passes over a value of any type."""
        data = self._data
        if depth > _DEEPEST:
            raise ValueError("its index is damaged: values inside of values without end")
        if kind in _INTEGERS:
            while data[self._at] > 0x7F:
                self._at += 1
            self._at += 1
        elif kind == _BINARY:
            self._move(self._varint())
        elif kind == _STRUCT:
            while head := self._byte():
                if not head >> 4:
                    self._varint()
                self.skip(head & 0x0F, depth + 1)
        elif kind in (_LIST, _SET):
            count, inner = self._list()
            for _ in range(count):
                self._skip_item(inner, depth)
        elif kind == _MAP:
            if count := self._varint():
                kinds = self._byte()
                self._check_count(count)
                for _ in range(count):
                    for inner in (kinds >> 4, kinds & 0x0F):
                        self._skip_item(inner, depth)
        elif kind not in (_TRUE, _FALSE):
            self._move(_FIXED_BYTES[kind])

    def _list(self) -> tuple[int, int]:
        head = self._byte()
        count = self._varint() if head >> 4 == 15 else head >> 4
        self._check_count(count)
        return count, head & 0x0F

    def _skip_item(self, kind: int, depth: int) -> None:
        """Passes over a value in a list or map, where truth values take a byte."""
        self.skip(_BYTE if kind in (_TRUE, _FALSE) else kind, depth + 1)

    def _check_count(self, count: int) -> None:
        if count > len(self._data) - self._at:  # each takes a byte at least
            raise IndexError("a list or a map is longer than the index")

    def _byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _varint(self) -> int:
        data, at = self._data, self._at
        value = data[at]
        at += 1
        if value > 0x7F:
            value &= 0x7F
            shift = 7
            while True:
                byte = data[at]
                at += 1
                value |= (byte & 0x7F) << shift
                if byte < 0x80:
                    break
                shift += 7
                if shift > 63:
                    raise ValueError("its index is damaged: a number of more than 64 bits")
        self._at = at
        return value

    def _move(self, count: int) -> None:
        self._at += count
        if self._at > len(self._data):
            raise IndexError("the index is cut")
