"""A file that a connector has opened, for a format to read: nothing here knows a storage."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from pipeline.formats.lines import CHUNK_BYTES, decompressed, text_of_range


@dataclass(frozen=True)
class Cut:
    """Where a file may be cut that only a look at all before can tell.

    Attributes:
      start: first byte of the part behind it.
      line: number of the line that begins there.
      first_row: of the file, such as the names of the columns.
    """

    start: int
    line: int
    first_row: bytes


@dataclass(frozen=True)
class OpenedFile:
    """An opened file, and which of its records are wanted: those that start in ``[start, end)``.

    Attributes:
      path: local path or URI, for messages.
      file: its stored bytes, seekable.
      start: first byte.
      end: the byte behind the last one.
      compression: how the file is compressed as a whole, as Beam's CompressionTypes name it; empty
        if it is not.
      head: its first bytes, of the text if it is compressed; empty if they were not looked at.
      line: of a part of a file that was cut, the number of its first line.
      first_row: of such a part, the first row of the file; None of a file that was not cut.
    """

    path: str
    file: BinaryIO
    start: int
    end: int
    compression: str = ""
    head: bytes = b""
    line: int = 1
    first_row: bytes | None = None

    def content(self) -> Iterator[bytes]:
        """All bytes of the file from its start, decompressed, in chunks.

        Raises:
          DamagedFileError: after all bytes before the damage were yielded.
        """
        if self.compression:
            return decompressed(self.file, self.compression)
        return iter(lambda: self.file.read(CHUNK_BYTES), b"")

    def lines(self) -> Iterator[bytes]:
        """The text of the wanted lines, in chunks: of a compressed file all of it.

        Raises:
          DamagedFileError: as above.
        """
        if self.compression:
            return self.content()
        return text_of_range(self.file, self.start, self.end)


class WatchedFile(io.RawIOBase):
    """A binary file that remembers how the storage failed.

    Libraries that parse what they read raise all kinds of errors for damaged data, and some raise
    the same for a storage that fails. The first costs records, the second must be tried again.

    Args:
      file: seekable.
    """

    def __init__(self, file: Any) -> None:
        super().__init__()
        self._file = file
        self._failure: Exception | None = None

    def raise_failure(self) -> None:
        """Raises what the storage raised, if it did."""
        if self._failure is not None:
            raise self._failure

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """The position."""
        return int(self._file.tell())

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """See io.IOBase."""
        return int(self._watched(self._file.seek, offset, whence))

    def read(self, size: int | None = -1, /) -> bytes:
        """All of `size` bytes, fewer at the end."""
        return bytes(self._watched(self._file.read, -1 if size is None else size))

    def _watched(self, operation: Callable[..., Any], *arguments: int) -> Any:
        try:
            return operation(*arguments)
        except (ValueError, TypeError, OverflowError, MemoryError):
            raise  # a length or place that damaged data made up
        except Exception as error:
            self._failure = error
            raise
