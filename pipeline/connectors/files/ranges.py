"""Ranges of input files, the elements that are spread over the workers, and opening them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from pipeline.connectors.storage.errors import status_of
from pipeline.formats.opened_file import OpenedFile
from pipeline.formats.registry import format_named, format_of
from pipeline.runner import coders


@dataclass(frozen=True)
class FileRange:
    """The records of a file that start in ``[start, end)``; all of them if it cannot be split.

    Attributes:
      path: local path or URI.
      start: first byte.
      end: the byte behind the last one.
      format: name of the format that the file has.
    """

    wire_form: ClassVar[str] = "file-range/1"

    path: str
    start: int
    end: int
    format: str = "jsonl"

    @property
    def compression(self) -> str:
        """How the file is compressed as a whole, one of Beam's CompressionTypes; empty if not."""
        name: str = CompressionTypes.detect_compression_type(self.path)
        return "" if name == CompressionTypes.UNCOMPRESSED else name

    @property
    def splittable(self) -> bool:
        """Whether a part of the file can be read by itself."""
        return format_named(self.format).splittable and not self.compression


coders.register(FileRange)


def split_file(file: Any, split_bytes: int, chosen: str = "auto") -> Iterator[FileRange]:
    """The ranges of one file; none if it is empty.

    Args:
      file: Beam's FileMetadata.
      split_bytes: size of a range, where a file can be split.
      chosen: its format, or "auto".
    """
    size = file.size_in_bytes
    whole = FileRange(file.path, 0, size, format_of(file.path, chosen).name)
    if not whole.splittable:
        split_bytes = max(size, 1)
    for start in range(0, size, split_bytes):
        yield FileRange(file.path, start, min(start + split_bytes, size), whole.format)


@contextmanager
def opened(part: FileRange) -> Iterator[OpenedFile]:
    """Opens the file of a range, for its format to read.

    Raises:
      FileNotFoundError: it is gone.
      Exception: as the storage has it.
    """
    try:
        file = FileSystems.open(part.path, compression_type=CompressionTypes.UNCOMPRESSED)
    except Exception as error:
        if status_of(error) != 404:
            raise
        raise FileNotFoundError(
            f"{part.path}: was there when the input was matched, and is gone now"
        ) from error
    with file:
        yield OpenedFile(part.path, file, part.start, part.end, part.compression)
