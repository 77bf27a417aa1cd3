"""The files of an artifact on this machine: which they are, whether they changed, copies of them.

Links are followed, to files and to folders, so that what a model reads through one counts. In a
version they lead to its own files, or to a store that names files by their content, as the cache of
Hugging Face and DVC do: else who made the model would choose which file of the machine is read.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.backends.onnx.companions import companions_of
from pipeline.errors import ArtifactError, ArtifactNotFoundError, LoadError

_ESCAPE = re.compile(r"\\([0-7]{3})")
_CONTENT_NAME = re.compile(r"[0-9a-f]{30,}(\.\w+)?")
_FICLONE = 0x40049409  # linux/fs.h
_NO_CLONES = {errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS, errno.EPERM}


class ArtifactFile(NamedTuple):
    """One file of an artifact.

    Attributes:
      relative: path below the folder, with ``/``; empty where the URI is that of the file itself.
        Files that such a one needs beside it have their path below the folder that it is in.
      size_bytes: its size.
    """

    relative: str
    size_bytes: int


Snapshot = tuple[tuple[str, int, int, int, int], ...]
"""Of every file: path below the folder, inode, size, times of content and of the inode (ns)."""


def local_files(path: Path) -> list[ArtifactFile]:
    """The files at a local path: itself, or all files below it.

    Raises:
      ArtifactNotFoundError: nothing is there, or a folder without files.
      ArtifactError: a link leads back to a folder above it.
    """
    if path.is_file():
        return [ArtifactFile("", path.stat().st_size)]
    if not path.is_dir():
        raise ArtifactNotFoundError(f"{path} does not exist")
    files = [ArtifactFile(name, (path / name).stat().st_size) for name in files_below(path)]
    if not files:
        raise ArtifactNotFoundError(f"{path} is a folder without files, expected a model in it")
    return files


def version_files(path: Path) -> list[ArtifactFile]:
    """The files of the version at a local path: with those that a single file needs beside it.

    Raises:
      ArtifactNotFoundError: nothing is there, or a folder without files.
      LoadError: a file that it needs is missing, or not in its folder; a link leads out of that.
      ArtifactError: a link leads back to a folder above it.
      OSError: a file cannot be read.
    """
    files = local_files(path)
    if not files[0].relative:
        names = companions_of(path)
        files += [ArtifactFile(name, (path.parent / name).stat().st_size) for name in names]
    _check_links(path if path.is_dir() else path.parent, [file.relative for file in files])
    return files


def _check_links(folder: Path, names: Sequence[str]) -> None:
    inside = f"{os.path.realpath(folder)}/"
    for name in names:
        target = os.path.realpath(folder / name)
        # "": a file that the ensemble file or a pattern names itself.
        if name and not target.startswith(inside) and not _named_by_content(target):
            raise LoadError(
                f"{folder / name} leads by a link to '{target}', outside the folder of the model: "
                "put the file itself there (cp -rL copies a folder so)"
            )


def _named_by_content(target: str) -> bool:
    return _CONTENT_NAME.fullmatch(target.rpartition("/")[2]) is not None


def files_below(folder: Path) -> Iterator[str]:
    """The files below a folder: their paths in it, with ``/``.

    Raises:
      ArtifactError: a link leads back to a folder above it.
    """
    return _files_below(folder, "", ())


def _files_below(folder: Path, prefix: str, above: tuple[tuple[int, int], ...]) -> Iterator[str]:
    status = folder.stat()
    here = (status.st_dev, status.st_ino)
    if here in above:
        raise ArtifactError(f"{folder} is a link to a folder that it lies in")
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _files_below(entry, f"{prefix}{entry.name}/", (*above, here))
        elif entry.is_file():
            yield prefix + entry.name


def place_of(path: Path, relative: str) -> Path:
    """Where a file of the version at `path` is."""
    if not relative:
        return path
    return (path if path.is_dir() else path.parent) / relative


def digest_of(path: Path) -> str:
    """sha256 over the sorted (relative path, size, sha256 of the content) of all files.

    The same for a copy anywhere; of a single file the name does not count.

    Raises:
      ArtifactNotFoundError: nothing is there, or a folder without files.
      LoadError: a file that a single file needs beside it is missing, or not in its folder.
      ArtifactError: a file cannot be read.
    """
    total = hashlib.sha256()
    try:
        for relative, size in sorted(version_files(path)):
            content = _sha256(place_of(path, relative))
            line = f"{relative}\0{size}\0{content}\n"  # names need not be UTF-8
            total.update(line.encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error}") from error
    return total.hexdigest()


def snapshot(path: Path) -> Snapshot:
    """What tells that files were changed, without reading them.

    Raises:
      ArtifactError: as from `digest_of`.
    """
    try:
        files = [
            (relative, place_of(path, relative).stat())
            for relative, _ in sorted(version_files(path))
        ]
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error}") from error
    return tuple(
        (name, one.st_ino, one.st_size, one.st_mtime_ns, one.st_ctime_ns) for name, one in files
    )


def copy_version(path: Path, target: Path) -> None:
    """Copies the version at `path`, so that its files lie at and beside `target` as they do there.

    Files are cloned where the file system can, which takes neither time nor room.

    Raises:
      ArtifactError: there is no room, or the files changed meanwhile; may go well another time.
      OSError: a file cannot be read or written.
    """
    before = snapshot(path)
    pairs = {}
    for file in version_files(path):
        to = target if not file.relative or path.is_dir() else target.parent
        pairs[file] = (place_of(path, file.relative), to / file.relative)
    for _, destination in pairs.values():
        destination.parent.mkdir(parents=True, exist_ok=True)
    whole = [file for file, pair in pairs.items() if not clone(*pair)]
    check_room(target.parent, whole)
    for file in whole:
        shutil.copyfile(*pairs[file])
    if snapshot(path) != before:
        raise ArtifactError(f"{path} was changed while it was copied")


def check_room(folder: Path, files: Sequence[ArtifactFile]) -> None:
    """Makes sure that there is room for files.

    Raises:
      ArtifactError: there is not.
    """
    needed, free = sum(file.size_bytes for file in files), shutil.disk_usage(folder).free
    if needed > free:
        raise ArtifactError(
            f"a copy of the model needs {needed:,} bytes in '{folder}', where {free:,} are free: "
            "make room, or set XDG_CACHE_HOME to a folder that has it"
        )


def clone(source: Path, destination: Path) -> bool:
    """Makes a file that shares the blocks of another one; whether the file system can."""
    with source.open("rb") as content, destination.open("wb") as file:
        try:
            fcntl.ioctl(file.fileno(), _FICLONE, content.fileno())
        except OSError as error:
            if error.errno in _NO_CLONES:
                return False
            raise
    return True


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def filesystem_of(path: Path) -> str:
    """The type of the file system that holds a path; empty where unknown."""
    try:
        table = os.fsdecode(Path("/proc/self/mountinfo").read_bytes())
    except OSError:
        return ""
    return filesystem_in(table, os.path.realpath(path))


def filesystem_in(table: str, path: str) -> str:
    """The type of the file system that a table of mounts names for a path; empty where none does.

    Args:
      table: as proc(5) describes mountinfo: blanks, line ends and backslashes in the name of a
        mount point are octal escapes, every other character is itself.
      path: absolute, without links.
    """
    found, kind = "", ""
    for line in table.split("\n"):
        mount, separator, source = line.partition(" - ")
        if not separator:
            continue
        point = _ESCAPE.sub(lambda escape: chr(int(escape[1], 8)), mount.split(" ")[4])
        inside = f"{path}/".startswith(f"{point.rstrip('/')}/")
        if inside and len(point) >= len(found):
            found, kind = point, source.split(" ")[0]
    return kind
