"""What an ONNX file says of itself: read from its bytes, without ONNX Runtime and without `onnx`.

An ONNX file is one protobuf message, ``ModelProto``. What is not asked for is skipped by its
length, so the weights inside a file of gigabytes cost nothing. Numbers of fields are those of
https://github.com/onnx/onnx/blob/main/onnx/onnx.proto, the encoding is that of
https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MOST_BYTES_OF_VARINT = 10
_DEEPEST = 100  # as deep as protobuf itself reads

_EXTERNAL = 1
_HALVES = (10, 16)  # FLOAT16, BFLOAT16
_TENSORS_BELOW = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
"""Message -> field that leads to tensors -> message in it."""


def external_files(file: BinaryIO) -> tuple[str, ...]:
    """The files that hold tensors for this one, as it names them: relative to its folder. Sorted.

    Args:
      file: seekable; read from its beginning.

    Raises:
      ValueError: it is not a protobuf message, or cut off.
    """
    names: set[str] = set()
    for end in _tensors(file, "model", _start(file), 0):
        locations, is_external = set(), False
        for number, kind, value in _fields(file, end):
            if (number, kind) == (13, _BYTES):  # external_data: a key and a value
                entry = dict(_texts(file, file.tell() + value))
                locations |= {entry.get(2, "")} if entry.get(1) == "location" else set()
            elif (number, kind) == (14, _VARINT):  # data_location
                is_external = value == _EXTERNAL
        names |= locations if is_external else set()
    return tuple(sorted(names))


def input_ranks(file: BinaryIO) -> dict[str, int | None]:
    """Input of the graph -> how many axes it has: 0 for a single value, None where not declared.

    Inputs that are not tensors have None. Initializers that can be overridden count as inputs.

    Args:
      file: seekable; read from its beginning.

    Raises:
      ValueError: it is not a protobuf message, or cut off.
    """
    ranks: dict[str, int | None] = {}
    for graph in _messages(file, _start(file), 7):
        for info in _messages(file, graph, 11):
            begin = file.tell()
            name = dict(_texts(file, info)).get(1, "")
            file.seek(begin)
            ranks[name] = None
            for end in _messages(file, info, 2):
                ranks[name] = _rank(file, end)
    return ranks


def has_halves(file: BinaryIO) -> bool:
    """Whether any tensor in the file, wherever it is, is float16 or bfloat16.

    Args:
      file: seekable; read from its beginning.

    Raises:
      ValueError: it is not a protobuf message, or cut off.
    """
    return any(
        (number, kind) == (2, _VARINT) and value in _HALVES  # data_type
        for tensor in _tensors(file, "model", _start(file), 0)
        for number, kind, value in _fields(file, tensor)
    )


def _rank(file: BinaryIO, end: int) -> int | None:
    """The axes of a TypeProto that ends there."""
    for tensor in _messages(file, end, 1):
        for shape in _messages(file, tensor, 2):
            return sum(1 for _ in _messages(file, shape, 1))
    return None


def _start(file: BinaryIO) -> int:
    """Goes to the beginning; returns where the file ends."""
    end = file.seek(0, os.SEEK_END)
    file.seek(0)
    return end


def _tensors(file: BinaryIO, message: str, end: int, depth: int) -> Iterator[int]:
    """Goes to each tensor below a message in turn; yields where that tensor ends."""
    if depth > _DEEPEST:
        raise ValueError("its messages are nested too deeply")
    below = _TENSORS_BELOW[message]
    for number, kind, size in _fields(file, end):
        inner = below.get(number) if kind == _BYTES else None
        if inner == "tensor":
            yield file.tell() + size
        elif inner is not None:
            yield from _tensors(file, inner, file.tell() + size, depth + 1)


def _messages(file: BinaryIO, end: int, wanted: int) -> Iterator[int]:
    """Goes to each message in a field in turn; yields where that message ends."""
    for number, kind, size in _fields(file, end):
        if (number, kind) == (wanted, _BYTES):
            yield file.tell() + size


def _texts(file: BinaryIO, end: int) -> Iterator[tuple[int, str]]:
    """The fields of bytes from here to `end`, with what is in them."""
    for number, kind, size in _fields(file, end):
        if kind == _BYTES:
            yield number, file.read(size).decode(errors="replace")


def _fields(file: BinaryIO, end: int) -> Iterator[tuple[int, int, int]]:
    """The fields from here to `end`: number, type, and the value, or the length of bytes.

    The file then stands at the bytes, which need not be read.
    """
    while (here := file.tell()) < end:
        tag = _varint(file)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            yield number, kind, _varint(file)
        elif kind == _BYTES:
            size = _varint(file)
            begin = file.tell()
            if begin + size > end:
                raise ValueError(f"it is cut off: a field at byte {here} reaches beyond the end")
            yield number, kind, size
            file.seek(begin + size)
        elif kind in (_FIXED64, _FIXED32):
            file.seek(8 if kind == _FIXED64 else 4, os.SEEK_CUR)
        else:
            raise ValueError(f"found a field of type {kind} at byte {here}, expected a message")


def _varint(file: BinaryIO) -> int:
    value = 0
    for place in range(_MOST_BYTES_OF_VARINT):
        read = file.read(1)
        if not read:
            raise ValueError("it is cut off")
        value |= (read[0] & 0x7F) << (7 * place)
        if read[0] < 0x80:
            return value
    raise ValueError("found a number that does not end, expected a message")
