"""What is in an archive that somebody else made, perhaps to do harm.

A few kilobytes can unpack to terabytes, to millions of files, or to a name or a table of a
gigabyte, which tarfile and zipfile read into memory; a path can be deeper than Python calls
itself. Links, devices and paths that lead out of the folder are refused.
"""

from __future__ import annotations

import posixpath
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from typing import IO, Any, NamedTuple, Protocol

COPY_BYTES = 1 << 20
DEFAULT_BYTES = 4096 << 20
"""The most that an archive unpacks to, unless somebody says otherwise."""
_MOST_FILES = 10_000
_MOST_NAME_BYTES = 64 << 10
_MOST_DIRECTORY_BYTES = 8 << 20
_MOST_FOLDERS = 64
"""Of one path."""
_LONG = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)
_END, _END_BYTES = b"PK\5\6", 22
_LOCATOR, _LOCATOR_BYTES = b"PK\6\7", 20
_LARGE_END_BYTES = 56
_TAIL_BYTES = (64 << 10) + _END_BYTES + _LOCATOR_BYTES + _LARGE_END_BYTES
"""The records at the end of a zip file, with the longest comment behind them."""
_MANY, _HUGE = (1 << 16) - 1, (1 << 32) - 1
_ENCRYPTED = 1
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Those that zipfile unpacks piece by piece; of others it takes all that a piece unpacks to."""


class Readable(Protocol):
    """What a tar archive is read from."""

    def read(self, size: int) -> bytes:
        """The next bytes."""


class ArchiveError(Exception):
    """The archive is refused; its text says why. It is no ValueError, which tarfile would take."""


class OversizeError(Exception):
    """The archive unpacks to more than it may."""


class Member(NamedTuple):
    """A file or folder in an archive.

    Attributes:
      path: below the folder of the archive, with ``/``; empty for that folder.
      content: of a file, to be read before the next member; None for a folder.
    """

    path: str
    content: IO[bytes] | None


class _TarMember(tarfile.TarInfo):
    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _TarMember:
        member = super().frombuf(buf, encoding, errors)
        if member.size < 0:
            raise ArchiveError(f"its file '{member.name}' has {member.size} bytes")
        if member.type in _LONG and member.size > _MOST_NAME_BYTES:
            raise ArchiveError(f"it has a name of {member.size:,} bytes")
        if member.type == tarfile.GNUTYPE_SPARSE:
            raise _sparse(member)
        return member

    def _proc_gnusparse_10(self, next: tarfile.TarInfo, *arguments: Any) -> None:
        # tarfile would read its table of holes first, of any length.
        raise _sparse(next)


def _sparse(member: tarfile.TarInfo) -> ArchiveError:
    return ArchiveError(f"its file '{member.name}' is sparse; pack it without --sparse")


class _Budget:
    """What an archive may still unpack to."""

    def __init__(self, most_bytes: int) -> None:
        self._bytes, self._files = most_bytes, _MOST_FILES

    def take(self, size_bytes: int) -> None:
        """Counts one member.

        Raises:
          OversizeError: the files are too large.
          ArchiveError: they are too many.
        """
        self._bytes -= size_bytes
        if self._bytes < 0:
            raise OversizeError
        if not self._files:
            raise ArchiveError(f"it has more than {_MOST_FILES:,} files")
        self._files -= 1


def tar_members(archive: Readable, most_bytes: int, mode: str = "r|*") -> Iterator[Member]:
    """What is in a tar archive.

    Args:
      archive: plain or compressed.
      most_bytes: of all its files together.
      mode: of tarfile, for a stream.

    Raises:
      OversizeError: it has more.
      ArchiveError: it has what it must not have.
      OSError, EOFError, tarfile.TarError: it is damaged.
    """
    budget = _Budget(most_bytes)
    # A stream's type asks for a whole file object, and knows modes by heart; tarfile calls `read`.
    source, any_mode = archive, mode
    options: dict[str, Any] = {"fileobj": source, "mode": any_mode, "tarinfo": _TarMember}
    with tarfile.open(**options) as tar:
        for member in tar:
            budget.take(member.size)
            path = _place(member.name)
            if member.isdir():
                yield Member(path, None)
                continue
            if member.issparse():
                raise _sparse(member)
            if member.issym() or member.islnk():
                raise ArchiveError(
                    f"'{member.name}' is a link to '{member.linkname}'; tar packs what it leads to "
                    "with --dereference --hard-dereference"
                )
            content = tar.extractfile(member) if member.isreg() else None
            if content is None:
                raise ArchiveError(f"'{member.name}' is no plain file or folder")
            with content:
                yield Member(path, content)


def zip_members(archive: IO[bytes], most_bytes: int) -> Iterator[Member]:
    """What is in a zip archive.

    Args:
      archive: a file that can be read from any place.
      most_bytes: of all its files together.

    Raises:
      OversizeError: it has more.
      ArchiveError: it has what it must not have.
      Exception: it is damaged; whatever zipfile meets then.
    """
    count = _checked_count(archive)
    budget = _Budget(most_bytes)
    with zipfile.ZipFile(archive) as opened:
        members = opened.infolist()
        if count not in (len(members), _MANY):
            raise ArchiveError(f"its list of files names {len(members)} of its {count} files")
        for member in members:  # all of them before the first is written: they say it themselves
            budget.take(member.file_size)
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind == stat.S_IFLNK:
                raise ArchiveError(
                    f"'{member.filename}' is a link; zip packs what it leads to without --symlinks"
                )
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise ArchiveError(f"'{member.filename}' is no plain file or folder")
            if member.flag_bits & _ENCRYPTED:
                raise ArchiveError(f"its file '{member.filename}' is encrypted")
            if member.compress_type not in _METHODS:
                raise ArchiveError(
                    f"its file '{member.filename}' is packed by method {member.compress_type}, "
                    "expected deflate (8) or none (0), as `zip` and most others use it"
                )
            if "\\" in member.filename:
                raise ArchiveError(
                    f"its file '{member.filename}' has a name with \\, expected / between folders"
                )
        for member in members:
            path = _place(member.filename)
            if member.is_dir() or stat.S_ISDIR(member.external_attr >> 16):
                yield Member(path, None)
                continue
            with opened.open(member) as content:
                yield Member(path, content)


def is_macos_file(path: str) -> bool:
    """Whether a member is what the archivers of macOS add to the files."""
    parts = path.split("/")
    return parts[0] == "__MACOSX" or parts[-1].startswith("._") or parts[-1] == ".DS_Store"


def _checked_count(archive: IO[bytes]) -> int:
    """How many files the end of a zip archive counts; `_MANY` for no less than that.

    Its list of files is not read yet: zipfile reads it as a whole, and passes over a part of it
    that was swallowed by a damaged length.

    Raises:
      ArchiveError: that list is too long; its length stands at the end of the file, and of a large
        file also in a longer record there.
    """
    size = archive.seek(0, 2)
    archive.seek(max(0, size - _TAIL_BYTES))
    tail = archive.read()
    count, longest, at = _MANY, 0, tail.find(_END)
    while at >= 0:
        count = int.from_bytes(tail[at + 10 : at + 12], "little")
        short = int.from_bytes(tail[at + 12 : at + 16], "little")
        locator = at - _LOCATOR_BYTES
        if tail[max(locator, 0) : at].startswith(_LOCATOR):
            of_large = tail[max(locator - _LARGE_END_BYTES, 0) : max(locator, 0)]
            longest = max(longest, int.from_bytes(of_large[40:48], "little"))
            # Of such a file the short record may have the greatest number there is.
            short = 0 if short == _HUGE else short
        longest = max(longest, short)
        at = tail.find(_END, at + 1)
    if longest > _MOST_DIRECTORY_BYTES:
        raise ArchiveError(f"its list of files has {longest:,} bytes")
    return count


def _place(name: str) -> str:
    """Where a member goes, below the folder.

    Raises:
      ArchiveError: outside the folder, or too deep in it.
    """
    below = posixpath.normpath(name.lstrip("/"))
    if below == ".." or below.startswith("../") or "\0" in below:
        raise ArchiveError(f"its file '{name}' would lie outside the folder of the model")
    if below.count("/") > _MOST_FOLDERS:
        raise ArchiveError(f"its file '{name[:100]}...' lies in more than {_MOST_FOLDERS} folders")
    return "" if below == "." else below
