"""The files that a model's file needs beside it, as the file itself names them.

A version whose URI names a file is that file and its companions: all of them are fetched, count in
the digest and are watched. A format whose files name others has its reader in `_READERS`; formats
that keep everything in one file, or in a folder that is the version, need nothing here.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import BinaryIO

from pipeline.backends.onnx import file as onnx_file
from pipeline.errors import LoadError

_READERS = {".onnx": onnx_file.external_files}
"""Suffix -> reads the names of other files from a seekable file, or raises ValueError.

Names are relative to the file's folder.
"""


def names_others(name: str) -> bool:
    """Whether a file of that name or URI is of a format that can name others."""
    return PurePosixPath(name).suffix.lower() in _READERS


def companions(name: str, file: BinaryIO) -> tuple[str, ...]:
    """The files that one needs beside it: paths below its folder, with ``/``, sorted.

    Empty if it is broken: it will not be loaded either (:func:`check`).

    Args:
      name: path or URI of the file.
      file: its content; seekable.

    Raises:
      LoadError: it names a file outside its folder.
    """
    if not names_others(name):
        return ()
    try:
        named = _READERS[PurePosixPath(name).suffix.lower()](file)
    except ValueError:
        return ()
    for other in named:
        if leads_out(other):
            raise LoadError(
                f"{name} keeps a part of the model in '{other}', expected a file in its folder: a "
                "version is what lies there; export it with all of its data beside it"
            )
    own = PurePosixPath(name).name
    return tuple(sorted({str(PurePosixPath(other)) for other in named} - {own}))


def companions_of(path: Path) -> tuple[str, ...]:
    """The same for a local file, once all of them are known to be there.

    Raises:
      LoadError: it names a file outside its folder, or one that is missing.
      OSError: it cannot be read.
    """
    if not names_others(path.name):
        return ()
    with path.open("rb") as file:
        found = companions(str(path), file)
    for name in found:
        if not (path.parent / name).is_file():
            raise LoadError(
                f"{path} keeps a part of the model in '{name}', which is missing beside it"
            )
    return found


def check(path: Path) -> None:
    """Makes sure that the names of other files can be read from a local file, and that all exist.

    Raises:
      ValueError: it is broken.
      LoadError: it names a file outside its folder, or one that is missing.
    """
    with path.open("rb") as file:
        _READERS[path.suffix.lower()](file)
    companions_of(path)


def leads_out(name: str) -> bool:
    """Whether a name in a model's file leads out of the folder of that file."""
    path = PurePosixPath(name)
    return not path.name or path.is_absolute() or ".." in path.parts
