"""The index at the end of a Parquet file, read without Arrow.

Arrow's C++ ends the process when Python asks it for a column of a damaged index: the exception has
no way out of it. What it reads of the data raises as it should. So all that is asked of the index
is read here: which bytes a row group takes, and what kind of values they are.

Source: https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from pipeline.formats.opened_file import WatchedFile
from pipeline.formats.parquet.thrift import BINARY, INTEGERS, LIST, STRUCT, Reader

_MAGIC = b"PAR1"
_TAIL_BYTES = 8

# As Parquet numbers its physical types, and how often a value may be there.
_BYTE_ARRAY: Final = 6
_FIXED_BYTE_ARRAY: Final = 7
_VALUE_BYTES = {0: 1, 1: 4, 2: 8, 3: 12, 4: 4, 5: 8, _BYTE_ARRAY: 4}
_REQUIRED, _OPTIONAL, _REPEATED = range(3)


@dataclass(frozen=True)
class Leaf:
    """A column of values; a column of the table has several if it holds structs.

    Attributes:
      width: bytes of a value in memory; of a text or bytes, of its length only.
      is_text: whether values may be of any length.
      repetition: in how many lists a value is; 0 where a row has one.
      definition: how many things around a value may be missing.
    """

    width: int
    is_text: bool
    repetition: int
    definition: int


@dataclass(frozen=True)
class Chunk:
    """The values of one leaf in one row group.

    Attributes:
      column: the name of the column, without those of its inner parts.
      leaf: what kind of values.
      start: the first byte of its pages.
      stored_bytes: of its pages, compressed.
      values: how many, as the index says.
      codec: how they are compressed, as Parquet numbers it.
    """

    column: str
    leaf: Leaf
    start: int
    stored_bytes: int
    values: int
    codec: int


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


# Each range of a file is read by itself, and all of them look at the index.
@lru_cache(maxsize=4)
def _parsed(index: bytes, file_bytes: int) -> tuple[RowGroup, ...]:
    reader = Reader(index)
    rows = 0
    leaves: list[Leaf] = []
    groups: list[RowGroup] = []
    for number, kind in reader.fields():
        if number == 2 and kind == LIST:
            leaves = _leaves([_element(reader) for _ in reader.items(STRUCT)])
        elif number == 3 and kind in INTEGERS:
            rows = reader.integer()
        elif number == 4 and kind == LIST:
            groups += [_row_group(reader, leaves, file_bytes) for _ in reader.items(STRUCT)]
        else:
            reader.skip(kind)
    if rows != (found := sum(group.rows for group in groups)):
        raise ValueError(f"its index is damaged: it says {rows} rows and describes {found}")
    return tuple(groups)


def _leaves(elements: list[_Element]) -> list[Leaf]:
    """The leaves of a schema, whose elements stand in it each before its parts."""
    leaves: list[Leaf] = []
    # Around what comes next: how many parts are still to come, and the levels there.
    around: list[list[int]] = [[elements[0].parts, 0, 0]] if elements else []
    for element in elements[1:]:
        while around and not around[-1][0]:
            around.pop()
        if not around:
            raise ValueError("its index is damaged: its schema has parts of nothing")
        around[-1][0] -= 1
        repetition = around[-1][1] + (element.repetition == _REPEATED)
        definition = around[-1][2] + (element.repetition in (_OPTIONAL, _REPEATED))
        if element.kind < 0:
            around.append([element.parts, repetition, definition])
        else:
            leaves.append(Leaf(element.width, element.kind == _BYTE_ARRAY, repetition, definition))
    return leaves


@dataclass
class _Element:
    """What the index says of a part of the schema; no kind if it has parts of its own."""

    kind: int = -1
    length: int = 0
    repetition: int = _REQUIRED
    parts: int = 0

    @property
    def width(self) -> int:
        return max(self.length, 1) if self.kind == _FIXED_BYTE_ARRAY else _VALUE_BYTES[self.kind]


_ELEMENT = {1: "kind", 2: "length", 3: "repetition", 5: "parts"}


def _element(reader: Reader) -> _Element:
    element = _Element()
    for number, wire in reader.fields():
        if number in _ELEMENT and wire in INTEGERS:
            setattr(element, _ELEMENT[number], reader.integer())
        else:
            reader.skip(wire)
    return element


def _row_group(reader: Reader, leaves: list[Leaf], file_bytes: int) -> RowGroup:
    rows = 0
    columns: list[_Column] = []
    for number, kind in reader.fields():
        if number == 1 and kind == LIST:
            columns = [_column(reader) for _ in reader.items(STRUCT)]
        elif number == 3 and kind in INTEGERS:
            rows = reader.integer()
        else:
            reader.skip(kind)
    if len(columns) != len(leaves) or rows < 0:
        raise ValueError(
            f"its index is damaged: {rows} rows of {len(columns)} columns, expected {len(leaves)}"
        )
    chunks = tuple(c.chunk(leaf) for c, leaf in zip(columns, leaves, strict=True))
    begin = min((chunk.start for chunk in chunks), default=0)
    end = max((chunk.start + chunk.stored_bytes for chunk in chunks), default=0)
    return RowGroup(rows, chunks, min((begin + end) // 2, file_bytes - 1))


@dataclass
class _Column:
    """What the index says of a chunk."""

    path: str = ""
    codec: int = 0
    values: int = -1
    stored: int = -1
    data: int = -1
    dictionary: int = 0

    def chunk(self, leaf: Leaf) -> Chunk:
        """The chunk, checked."""
        if min(self.values, self.stored, self.data) < 0 or self.dictionary < 0:
            raise ValueError("its index is damaged: it does not say where a column is")
        # As Arrow has it: some writers name a place behind the data.
        start = min(self.dictionary, self.data) if self.dictionary else self.data
        return Chunk(self.path, leaf, start, self.stored, self.values, self.codec)


_COLUMN = {4: "codec", 5: "values", 7: "stored", 9: "data", 11: "dictionary"}


def _column(reader: Reader) -> _Column:
    column = _Column()
    for number, kind in reader.fields():
        if number != 3 or kind != STRUCT:
            reader.skip(kind)
            continue
        for inner, wire in reader.fields():
            if inner in _COLUMN and wire in INTEGERS:
                setattr(column, _COLUMN[inner], reader.integer())
            elif inner == 3 and wire == LIST:
                names = [reader.text() for _ in reader.items(BINARY)]
                column.path = names[0]
            else:
                reader.skip(wire)
    return column
