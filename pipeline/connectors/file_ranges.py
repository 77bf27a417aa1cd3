"""Ranges of input files, the elements that are spread over the workers, and opening them."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, ClassVar

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from pipeline.connectors import lines
from pipeline.connectors.storage_errors import status_of
from pipeline.core.formats import Format, format_of
from pipeline.runner import coders

_SPLITTABLE: tuple[Format, ...] = ("jsonl", "parquet", "avro")


@dataclass(frozen=True)
class FileRange:
    """The records of a file that start in ``[start, end)``; all of them if it cannot be split.

    Attributes:
      path: local path or URI.
      start: first byte.
      end: the byte behind the last one.
      format: what the file holds.
    """

    wire_form: ClassVar[str] = "file-range/1"

    path: str
    start: int
    end: int
    format: Format = "jsonl"

    @property
    def compression(self) -> str:
        """How the file is compressed, one of Beam's CompressionTypes."""
        name: str = CompressionTypes.detect_compression_type(self.path)
        return name

    @property
    def compressed(self) -> bool:
        """Whether the file is compressed as a whole."""
        return bool(self.compression != CompressionTypes.UNCOMPRESSED)

    @property
    def splittable(self) -> bool:
        """Whether a part of the file can be read by itself."""
        return self.format in _SPLITTABLE and not self.compressed


coders.register(FileRange)


def split_file(file: Any, split_bytes: int, chosen: str = "auto") -> Iterator[FileRange]:
    """The ranges of one file; none if it is empty.

    Args:
      file: Beam's FileMetadata.
      split_bytes: size of a range, where a file can be split.
      chosen: its format, or "auto".
    """
    size = file.size_in_bytes
    whole = FileRange(file.path, 0, size, format_of(file.path, chosen))
    if not whole.splittable:
        split_bytes = max(size, 1)
    for start in range(0, size, split_bytes):
        yield FileRange(file.path, start, min(start + split_bytes, size), whole.format)


def open_file(path: str) -> Any:
    """The stored bytes of a file, as a seekable binary file.

    Raises:
      FileNotFoundError: it is gone.
      Exception: as the storage has it.
    """
    try:
        return FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)
    except Exception as error:
        if status_of(error) != 404:
            raise
        raise FileNotFoundError(
            f"{path}: was there when the input was matched, and is gone now"
        ) from error


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


def content(file: BinaryIO, part: FileRange) -> Iterator[bytes]:
    """All bytes of a file from its start, decompressed, in chunks.

    Raises:
      DamagedFileError: after all bytes before the damage were yielded.
    """
    if part.compressed:
        return lines.decompressed(file, part.compression)
    return iter(lambda: file.read(lines.CHUNK_BYTES), b"")
