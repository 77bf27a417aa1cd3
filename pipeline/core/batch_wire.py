"""Batches as bytes, for the places where Beam moves them between processes.

Arrays are not pickled but appended as they are (pickle protocol 5, PEP 574): one copy of each on
the way out, none on the way in. Layout, little endian: number of parts (uint32), length of each
(uint64), then the parts, each starting at a multiple of 16 bytes: the pickle, then the buffers in
its order.
"""

from __future__ import annotations

import pickle
import struct

from pipeline.core.batch import Batch

_COUNT = struct.Struct("<I")
_ALIGNMENT = 16


def encode(batch: Batch) -> bytes:
    """The bytes of a batch."""
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(batch, protocol=5, buffer_callback=buffers.append)
    parts: list[bytes | memoryview] = [head, *(buffer.raw() for buffer in buffers)]
    sizes = [len(part) for part in parts]
    index = _COUNT.pack(len(parts)) + struct.pack(f"<{len(parts)}Q", *sizes)
    chunks: list[bytes | memoryview] = [index, bytes(-len(index) % _ALIGNMENT)]
    for part, size in zip(parts, sizes, strict=True):
        chunks += [part, bytes(-size % _ALIGNMENT)]
    return b"".join(chunks)


def decode(data: bytes) -> Batch:
    """The batch in bytes made by `encode`; its arrays are read-only views of `data`."""
    (count,) = _COUNT.unpack_from(data)
    sizes = struct.unpack_from(f"<{count}Q", data, _COUNT.size)
    view = memoryview(data)
    start = _aligned(_COUNT.size + 8 * count)
    parts = []
    for size in sizes:
        parts.append(view[start : start + size])
        start = _aligned(start + size)
    batch = pickle.loads(parts[0], buffers=parts[1:])
    assert isinstance(batch, Batch)
    return batch


def _aligned(position: int) -> int:
    return position + -position % _ALIGNMENT
