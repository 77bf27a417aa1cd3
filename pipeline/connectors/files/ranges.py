"""Ranges of input files, the elements that are spread over the workers, and opening them."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

from pipeline.connectors.storage import paths
from pipeline.connectors.storage.errors import status_of
from pipeline.formats import lines, looks
from pipeline.formats.format import Reading
from pipeline.formats.opened_file import Cut, OpenedFile
from pipeline.formats.registry import format_named, format_of
from pipeline.runner import coders
from pipeline.spec.record import RecordSpec


@dataclass(frozen=True)
class FileRange:
    """The records of a file that start in ``[start, end)``; all of them if it cannot be split.

    Attributes:
      path: local path or URI.
      start: first byte.
      end: the byte behind the last one.
      format: name of the format that the file has.
      line, first_row: as of an OpenedFile.
      matched_bytes: of the whole file, when it was matched; 0 where nobody said.
    """

    wire_form: ClassVar[str] = "file-range/2"

    path: str
    start: int
    end: int
    format: str = "jsonl"
    line: int = 1
    first_row: bytes | None = None
    matched_bytes: int = 0

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


GONE = "was there when the input was matched, and is gone now"
"""Why nothing is read of a file that was removed meanwhile."""


class UnservedObjectError(ValueError):
    """An object whose metadata keep Beam from reading it."""


def open_stored(path: str) -> Any:
    """Opens a file as it is stored.

    Raises:
      UnservedObjectError: nobody can read it as it is stored.
      Exception: as the storage has it.
    """
    try:
        return FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)
    except NotImplementedError as error:  # Beam's, for objects that are said to be gzip twice
        raise UnservedObjectError(
            f"cannot be read ({error}): its metadata have `Content-Encoding: gzip` and a type of "
            "gzip as well; leave out one, such as with `gcloud storage objects update "
            "--clear-content-encoding`"
        ) from error


def split_file(
    file: Any,
    split_bytes: int,
    chosen: str = "auto",
    options: PipelineOptions | None = None,
    record: RecordSpec | None = None,
) -> Iterator[FileRange]:
    """The ranges of one file, all of about one size; none if it is empty.

    Args:
      file: Beam's FileMetadata.
      split_bytes: most bytes of a range, where a file can be split.
      chosen: its format, or "auto".
      options: Beam's, for the storage.
      record: what is declared of the records.
    """
    size = file.size_in_bytes
    form = format_of(file.path, chosen).name
    whole = FileRange(file.path, 0, size, form, matched_bytes=size)
    cuts = format_named(whole.format).cuts
    may_be_cut = bool(whole.splittable or (cuts and record and not whole.compression))
    if not may_be_cut or (size > split_bytes and _is_something_else(whole, options)):
        split_bytes = max(size, 1)
    # Runners give each worker as many ranges, whatever their sizes.
    range_bytes = max(1, math.ceil(size / max(1, math.ceil(size / split_bytes))))
    if cuts and record and size > split_bytes:
        with opened(whole) as text:
            yield from _parts(whole, cuts(text, record, range_bytes))
        return
    for start in range(0, size, range_bytes):
        yield replace(whole, start=start, end=min(start + range_bytes, size))


def _parts(whole: FileRange, cuts: Iterable[Cut]) -> Iterator[FileRange]:
    """The parts of a file between its cuts; itself where there are none."""
    part = whole
    for cut in cuts:
        yield replace(part, end=cut.start, first_row=cut.first_row)
        part = replace(whole, start=cut.start, line=cut.line, first_row=cut.first_row)
    yield part


@contextmanager
def opened(part: FileRange) -> Iterator[OpenedFile]:
    """Opens the file of a range, for its format to read.

    Raises:
      FileNotFoundError: it is gone.
      UnservedObjectError: nobody can read it as it is stored.
      Exception: as the storage has it.
    """
    try:
        file = open_stored(part.path)
    except Exception as error:
        if status_of(error) != 404:
            raise
        raise FileNotFoundError(f"{part.path}: {GONE}") from error
    with file:
        head, compression = b"", part.compression
        if _begins_here(part):
            head = file.read(looks.HEAD_BYTES)
            file.seek(0)
            compression = looks.compression(head, part.format, compression)
            if compression:
                head = lines.text_head(head, compression)
        yield OpenedFile(
            part.path, file, part.start, part.end, compression, head, part.line, part.first_row
        )


def _begins_here(part: FileRange) -> bool:
    """Whether a range is read from the start of its file, so that its first bytes cost nothing.

    Formats that compress their data themselves are told by their index, which may be at the end;
    unless the name says that they are compressed once more.
    """
    by_index = format_named(part.format).compresses_itself and not part.compression
    return part.start == 0 and not by_index


def outgrown(part: FileRange, file: OpenedFile, reading: Reading) -> str:
    """Why nothing is read of a file that is larger than when it was matched.

    Of one that is a sequence of records, what was matched is still there, and is read. One that can
    only be read whole was another then, and may have been cut.

    Args:
      part: the range.
      file: opened for it.
      reading: how it is read.

    Returns:
      the reason; empty where the range may be read.
    """
    what = _whole_kind(part.format, file, reading)
    if not what:
        return ""
    size = file.file.seek(0, io.SEEK_END)
    file.file.seek(0)
    # Of Parquet alone a range may be a part of what is whole.
    matched_bytes = part.end if format_named(part.format).appends else part.matched_bytes
    if not matched_bytes or size <= matched_bytes:
        return ""
    of = "it" if part.start == 0 and part.end >= part.matched_bytes else "this part of it"
    return (
        f"had {max(matched_bytes, part.matched_bytes):,} bytes when the input was matched; when it "
        f"was read it had {size:,} and was {what}: it was replaced or written on meanwhile, and "
        f"nothing of {of} is read. Run again when it is complete"
    )


def _whole_kind(format: str, file: OpenedFile, reading: Reading) -> str:
    """What a file is that can only be read whole, in words; empty of any other."""
    if not format_named(format).appends:
        return f"a {format.capitalize()} file, whose index is at its end"
    if file.compression:
        return "compressed"
    if format == "jsonl" and looks.is_json_array(file.head) and not reading.is_raw:
        return "one JSON array"
    return "text in UTF-16" if reading.encoding(format) == "utf-16" else ""


def _is_something_else(whole: FileRange, options: PipelineOptions | None) -> bool:
    """Whether a file must not be cut, by its first bytes: it is compressed, or no lines."""
    head = paths.read_head(whole.path, looks.HEAD_BYTES, options)
    if looks.compression(head, whole.format) or looks.foreign(head, whole.format):
        return True
    return whole.format == "jsonl" and looks.is_json_array(head)
