"""Arrays between two processes of a machine, through memory that both of them map.

Through the sockets of `multiprocessing`, arrays are copied six times, and messages of more than
16 KB wait 40 ms for an acknowledgement, since their two parts are sent one by one (Nagle's
algorithm meets delayed acknowledgements). benchmarks/calls/sharing.py measures both.

The memory has no name in any file system, so a process that dies leaves nothing behind.
"""

from __future__ import annotations

import mmap
import os
import pickle
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline.batch.columns import Array, Column

_ALIGNMENT = 64
_LEAST_BYTES = 1 << 20


class ArenaError(Exception):
    """The other process's memory cannot be reached."""


@dataclass(frozen=True)
class Address:
    """Where a process finds the memory of another one.

    Attributes:
      pid, fd: of the process that made it.
      name: tells it from whatever else may stand there later.
    """

    pid: int
    fd: int
    name: str


@dataclass(frozen=True)
class Packed:
    """Arrays in an arena.

    Attributes:
      spans: (begin, end) of their pickle, then of each buffer that it leaves out.
    """

    spans: tuple[tuple[int, int], ...]

    @property
    def end(self) -> int:
        """Where the memory behind them begins."""
        return max(end for _, end in self.spans)


class Arena:
    """Memory for one call at a time: its inputs, and behind them its outputs. Grows as needed."""

    def __init__(self, fd: int, address: Address) -> None:
        self.address = address
        self._fd = fd
        self._map: mmap.mmap | None = None

    @classmethod
    def create(cls) -> Arena:
        """New memory of this process.

        Raises:
          ArenaError: not on this operating system.
        """
        if not hasattr(os, "memfd_create"):
            raise ArenaError("memory without a name needs Linux")
        name = f"ensemble-{uuid.uuid4().hex}"
        fd = os.memfd_create(name)
        return cls(fd, Address(os.getpid(), fd, name))

    @classmethod
    def attach(cls, address: Address) -> Arena:
        """The memory of another process of the same user, on the same machine.

        Raises:
          ArenaError: it is not to be reached, or is another one.
        """
        link = Path(f"/proc/{address.pid}/fd/{address.fd}")
        try:
            if not str(link.readlink()).startswith(f"/memfd:{address.name}"):
                raise ArenaError(f"{link} is not the memory that was meant")
            return cls(os.open(link, os.O_RDWR), address)
        except OSError as error:
            raise ArenaError(f"{link}: {error.strerror}") from error

    def put(self, arrays: Mapping[str, Column], begin: int = 0) -> Packed:
        """Copies columns into the memory from `begin` on; text is pickled."""
        buffers: list[pickle.PickleBuffer] = []
        parts = [memoryview(pickle.dumps(dict(arrays), 5, buffer_callback=buffers.append))]
        parts += [buffer.raw() for buffer in buffers]
        spans = []
        for part in parts:
            begin += -begin % _ALIGNMENT
            spans.append((begin, begin + part.nbytes))
            begin += part.nbytes
        memory = self._memory(begin)
        for (start, end), part in zip(spans, parts, strict=True):
            memory[start:end] = part
        return Packed(tuple(spans))

    def get(self, packed: Packed, *, copy: bool) -> dict[str, Array]:
        """The arrays; without `copy`, views that hold until the next `put`."""
        memory = self._memory(packed.end)
        head, *buffers = (memory[begin:end] for begin, end in packed.spans)
        found: dict[str, Array] = pickle.loads(
            head, buffers=[bytearray(buffer) if copy else buffer for buffer in buffers]
        )
        return found

    def close(self) -> None:
        """Lets go of the memory. Views that are still there keep it."""
        os.close(self._fd)
        self._map = None

    def _memory(self, size: int) -> memoryview:
        if self._map is None or len(self._map) < size:
            if os.fstat(self._fd).st_size < size:
                os.ftruncate(self._fd, max(_LEAST_BYTES, 1 << (size - 1).bit_length()))
            self._map = mmap.mmap(self._fd, os.fstat(self._fd).st_size)
        return memoryview(self._map)


class ArenaPool:
    """The arenas of a process: as many as it makes calls at the same time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._free: list[Arena] = []

    @contextmanager
    def borrow(self) -> Iterator[Arena]:
        """An arena that nobody else uses meanwhile.

        It is not used again when the ``with`` block raises: whoever was to read it may still do so,
        or write to it.
        """
        with self._lock:
            arena = self._free.pop() if self._free else Arena.create()
        try:
            yield arena
        except BaseException:
            with suppress(OSError):
                arena.close()
            raise
        with self._lock:
            self._free.append(arena)
