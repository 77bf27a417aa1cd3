"""Model versions that are an archive: unpacked, they are the folder that was packed."""

from __future__ import annotations

import errno
import gzip
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from pipeline.backends.archives import (
    COPY_BYTES,
    ArchiveError,
    Member,
    OversizeError,
    is_macos_file,
    tar_members,
    zip_members,
)
from pipeline.errors import LoadError

_SUFFIXES = (".tar.gz", ".tgz", ".zip")
_ZIP, _GZIP = b"PK\3\4", b"\x1f\x8b"
_STORAGE_ERRORS = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EIO,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOENT,
}
"""Errors that say nothing of the archive."""
_HEADERS_BYTES = 64 << 20
"""Of a tar archive beside its files: names, and how each is filled to 512 bytes."""


def is_archive(uri: str) -> bool:
    """Whether a file of that name or URI is an archive."""
    return (
        uri.rstrip("/").lower().endswith(_SUFFIXES)
    )  # a file is found by its name with a slash, too


def folder_name(name: str) -> str:
    """What the folder that an archive becomes is called: its name without the suffix."""
    suffix = next(suffix for suffix in _SUFFIXES if name.lower().endswith(suffix))
    return name[: -len(suffix)]


def unpack(uri: str, packed: Path, folder: Path, most_bytes: int) -> None:
    """Makes the folder that was packed.

    Folders around all files are left out, and so are empty ones and what macOS adds.

    Args:
      uri: for messages.
      packed: the archive.
      folder: to be made; beside `packed`.
      most_bytes: of all files together.

    Raises:
      LoadError: it is damaged, too large, or has what it must not have.
      OSError: the files cannot be written.
    """
    root = folder.with_name(f"{folder.name}.unpacked")
    root.mkdir()
    try:
        with packed.open("rb") as file:
            for path, content in _members(file, most_bytes):
                if content is not None and not is_macos_file(path):
                    _write(root / path, content)
    except OversizeError:
        raise LoadError(
            f"{uri} unpacks to more than {most_bytes >> 20:,} MiB; a larger --max_hub_model_mb "
            "takes it, and a folder has no limit"
        ) from None
    except ArchiveError as error:
        raise LoadError(f"{uri} is refused: {error}") from None
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise LoadError(f"{uri} is refused: it has two files of one name") from None
    except Exception as error:  # whatever damaged bytes lead the readers to
        number = error.errno if isinstance(error, OSError) else None
        if number in _STORAGE_ERRORS:
            raise
        if number == errno.ENAMETOOLONG:
            raise LoadError(f"{uri} is refused: it has a name too long") from None
        raise LoadError(f"{uri} is damaged or cut off: {error or type(error).__name__}") from error
    inside, top = root, list(root.iterdir())
    while len(top) == 1 and top[0].is_dir():
        inside, top = top[0], list(top[0].iterdir())
    if not top:
        raise LoadError(f"{uri} is an archive without files, expected a model in it")
    inside.rename(folder)
    shutil.rmtree(root, ignore_errors=True)  # the folders around it


def _members(file: IO[bytes], most_bytes: int) -> Iterator[Member]:
    head = file.read(len(_ZIP))
    file.seek(0)
    if head == _ZIP:
        yield from zip_members(file, most_bytes)
        return
    if not head.startswith(_GZIP):
        raise ArchiveError(f"it begins with {head!r}, expected a zip file or a tar file with gzip")
    unzipped = _Unzipped(file, most_bytes + _HEADERS_BYTES)
    yield from tar_members(unzipped, most_bytes, "r|")
    # To the end, where the checksum stands, which a file that was cut short has not.
    while unzipped.read(COPY_BYTES):
        pass


class _Unzipped:
    """A gzip file as it is unzipped, up to a size."""

    def __init__(self, file: IO[bytes], most_bytes: int) -> None:
        self._content = gzip.GzipFile(fileobj=file)
        self._left = most_bytes

    def read(self, size: int) -> bytes:
        """The next bytes.

        Raises:
          OversizeError: they are too many.
        """
        chunk = self._content.read(size)
        self._left -= len(chunk)
        if self._left < 0:
            raise OversizeError
        return chunk


def _write(place: Path, content: IO[bytes]) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.open("xb") as file:
        shutil.copyfileobj(content, file, COPY_BYTES)
