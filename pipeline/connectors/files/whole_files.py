"""Reading files that are a record each, images, as blocks of several files.

The files are put into groups when the pipeline starts; only these lists are reshuffled, and each
worker reads the files of its groups itself, several at once: a bucket answers after tens of
milliseconds, however small the object.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pipeline.batch.block import Block, printable
from pipeline.connectors.files.ranges import GONE, UnservedObjectError, open_stored
from pipeline.connectors.storage import paths
from pipeline.connectors.storage.errors import status_of
from pipeline.formats.image import IMAGE, ImageFiles

MAX_FILE_BYTES = 64 << 20
"""A larger file is no image that somebody wants to have classified, but a slip in the pattern."""

# As for text: what a worker holds of a block is bounded.
MAX_BLOCK_BYTES = 8 << 20
_AT_ONCE = 8


@dataclass(frozen=True)
class FileGroup:
    """Files that are read together: (path, size in bytes) of each."""

    files: tuple[tuple[str, int], ...]


def match_groups(pattern: str, block_rows: int) -> Iterator[FileGroup]:
    """The files that match now, in groups of one block each.

    Raises:
      PathError: nothing matches, or the storage refuses.
    """
    held: list[tuple[str, int]] = []
    held_bytes = 0
    for file in paths.match_input(pattern):
        held_bytes += file.size_in_bytes
        if held and (len(held) == block_rows or held_bytes > MAX_BLOCK_BYTES):
            yield FileGroup(tuple(held))
            held, held_bytes = [], file.size_in_bytes
        held.append((file.path, file.size_in_bytes))
    yield FileGroup(tuple(held))


def read_group(group: FileGroup) -> Iterator[Block]:
    """The files of a group as one block, and a block with the reason for each that is none.

    Whatever matches is a record, also when it is empty or no image: that is for the decoder to say.
    A file that is gone, or is larger than MAX_FILE_BYTES, is a block without payloads.

    Raises:
      Exception: the storage cannot be read now; Beam tries again.
    """
    if len(group.files) > 1:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            found = list(pool.map(_read, group.files))
    else:
        found = [_read(file) for file in group.files]
    yield from _blocks(group.files, found)


def _read(file: tuple[str, int]) -> bytes | str:
    """The file's bytes, or in words why it is left out."""
    path, size = file
    if size > MAX_FILE_BYTES:
        return f"found a file of {size:,} bytes, expected an image of at most {MAX_FILE_BYTES:,}"
    try:
        with open_stored(path) as opened:
            return bytes(opened.read())
    except UnservedObjectError as error:
        return str(error)
    except Exception as error:
        if status_of(error) != 404:
            raise
        return GONE


def _blocks(files: Sequence[tuple[str, int]], found: Sequence[bytes | str]) -> Iterator[Block]:
    """The block of the files that could be read, and one for each of the others."""
    read = {path: data for (path, _), data in zip(files, found, strict=True)}
    contents = {path: data for path, data in read.items() if isinstance(data, bytes)}
    if contents:
        payloads = ImageFiles(tuple(map(printable, contents)), tuple(contents.values()))
        yield Block(payloads, payloads.paths[0], format=IMAGE.name)
    for path, reason in read.items():
        if isinstance(reason, str):
            yield Block((), path, f"{path}: {reason}", format=IMAGE.name)
