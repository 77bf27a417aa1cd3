"""Values in Thrift's compact protocol, in which Parquet describes what is where.

Source: https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from __future__ import annotations

from collections.abc import Iterator

_DEEPEST = 32
_MOST_NUMBER = 0x7FFF

# As the protocol numbers its types.
_TRUE, FALSE, _BYTE, _I16, I32, I64, _DOUBLE, BINARY, LIST, _SET, _MAP, STRUCT = range(1, 13)
_INTEGERS = (_I16, I32, I64)
_FIXED_BYTES = {_BYTE: 1, _DOUBLE: 8}


class Reader:
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

    def take(self, count: int) -> memoryview:
        """Bytes that are no values."""
        if count < 0:
            raise IndexError("a length is negative")
        self._move(count)
        return memoryview(self._data)[self._at - count : self._at]

    def fields(self) -> Iterator[tuple[int, int]]:
        """Number and type of each field of a struct; whoever asks for the next has read it."""
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self.integer()
            if not 0 <= number <= _MOST_NUMBER:
                raise ValueError("its index is damaged: a field has no number that one may have")
            yield number, head & 0x0F

    def items(self, kind: int) -> range:
        """A round for each item of a list, of the one type that is expected."""
        count, found = self._list()
        if found != kind and count:
            raise ValueError(f"its index is damaged: a list of type {found}, expected {kind}")
        return range(count)

    def integer(self, kind: int = I64) -> int:
        """A number (zigzag varint)."""
        value = self._varint()
        if kind == I32:
            value &= 0xFFFFFFFF  # as Thrift cuts it
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
        elif kind == BINARY:
            self._move(self._varint())
        elif kind == STRUCT:
            while head := self._byte():
                if not head >> 4:
                    self._varint()
                self.skip(head & 0x0F, depth + 1)
        elif kind in (LIST, _SET):
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
        elif kind not in (_TRUE, FALSE):
            self._move(_FIXED_BYTES[kind])

    def _list(self) -> tuple[int, int]:
        head = self._byte()
        count = self._varint() if head >> 4 == 15 else head >> 4
        self._check_count(count)
        return count, head & 0x0F

    def _skip_item(self, kind: int, depth: int) -> None:
        """Passes over a value in a list or map, where truth values take a byte."""
        self.skip(_BYTE if kind in (_TRUE, FALSE) else kind, depth + 1)

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
