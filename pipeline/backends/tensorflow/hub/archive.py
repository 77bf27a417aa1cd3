"""Unpacks the archive that a hub sent, which may be made to do harm.

A few kilobytes can unpack to terabytes, to millions of files, or to a name of a gigabyte, which
tarfile reads into memory. Links, devices and paths that lead out of the folder are refused.
"""

from __future__ import annotations

import posixpath
import tarfile
from typing import Any, Protocol

_MOST_FILES = 10_000
_MOST_NAME_BYTES = 64 << 10
_COPY_BYTES = 1 << 20
_LONG = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)


class Readable(Protocol):
    """What an archive is read from."""

    def read(self, size: int) -> bytes:
        """The next bytes."""


class ArchiveError(Exception):
    """The archive is refused; its text says why. It is no ValueError, which tarfile would take."""


class OversizeError(Exception):
    """The archive unpacks to more than it may."""


class _Member(tarfile.TarInfo):
    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Member:
        member = super().frombuf(buf, encoding, errors)
        if member.size < 0:
            raise ArchiveError(f"its file '{member.name}' has {member.size} bytes")
        if member.type in _LONG and member.size > _MOST_NAME_BYTES:
            raise ArchiveError(f"it has a name of {member.size:,} bytes")
        return member


def unpack(archive: Readable, folder: str, most_bytes: int) -> None:
    """Writes the archive's files, local or to wherever TensorFlow writes.

    Args:
      archive: a tar archive, plain or compressed.
      folder: which exists.
      most_bytes: of all its files together.

    Raises:
      OversizeError: it has more.
      ArchiveError: it has what it must not have.
      OSError, EOFError, tarfile.TarError: it is damaged.
      tf.errors.OpError: the files cannot be written.
    """
    left = most_bytes
    # A stream's type asks for a whole file object; tarfile only calls `read`.
    source: Any = archive
    with tarfile.open(fileobj=source, mode="r|*", tarinfo=_Member) as tar:
        for count, member in enumerate(tar):
            left -= member.size
            if left < 0:
                raise OversizeError
            if count == _MOST_FILES:
                raise ArchiveError(f"it has more than {_MOST_FILES:,} files")
            _write(tar, member, _place(folder, member.name))


def _place(folder: str, name: str) -> str:
    """Where a member goes.

    Raises:
      ArchiveError: outside the folder.
    """
    below = posixpath.normpath(name.lstrip("/"))
    if below == ".." or below.startswith("../") or "\0" in below:
        raise ArchiveError(f"its file '{name}' would lie outside the folder of the model")
    return folder if below == "." else posixpath.join(folder, below)


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, place: str) -> None:
    import tensorflow as tf

    if member.isdir():
        tf.io.gfile.makedirs(place)
        return
    content = tar.extractfile(member) if member.isreg() and not member.issparse() else None
    if content is None:
        raise ArchiveError(f"'{member.name}' is no plain file or folder")
    tf.io.gfile.makedirs(posixpath.dirname(place))
    with content, tf.io.gfile.GFile(place, "wb") as file:
        while chunk := content.read(_COPY_BYTES):
            file.write(chunk)
