"""Where in a folder the model is, and how large it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline.backends.foreign_files import HEAD_BYTES, advice
from pipeline.errors import LoadError

_LISTED = 10
_POINTER, _POINTER_BYTES = b"version https://git-lfs", 1024
"""How a pointer begins, and what none exceeds (the specification of Git LFS)."""


def model_file(path: Path, suffixes: Sequence[str], *, otherwise: str = "") -> Path:
    """The model file at `path`: the file itself, or the only one with such a suffix in a folder.

    Args:
      path: file or folder.
      suffixes: lower case, with the dot; those of the framework's formats.
      otherwise: name of a file that a folder might hold instead, for the message.

    Raises:
      LoadError: nothing there, another suffix, not exactly one such file in the folder, or an
        file without its content (see `with_content`).
    """
    expected = ", ".join(suffixes)
    if path.is_file():
        if path.suffix.lower() not in suffixes:
            raise LoadError(
                f"{path} has none of the suffixes {expected}"
                + advice([path.name], head_in(path.parent))
            )
        return with_content(path)
    if not path.is_dir():
        raise LoadError(f"{path} does not exist; expected a {expected} file, or a folder with one")
    names = sorted(entry.name for entry in path.iterdir())
    fitting = [name for name in names if Path(name).suffix.lower() in suffixes]
    if len(fitting) != 1:
        shown = ", ".join(names[:_LISTED]) + (", ..." if len(names) > _LISTED else "")
        raise LoadError(
            f"{path} must hold exactly one model file ({expected})"
            f"{otherwise and f' or a {otherwise}'}, "
            f"but {len(fitting)} fit; it holds {shown or 'nothing'}"
            + (
                ""
                if fitting
                else _deeper(path, suffixes, otherwise) or advice(names, head_in(path))
            )
        )
    return with_content(path / fitting[0])


def _deeper(path: Path, suffixes: Sequence[str], otherwise: str) -> str:
    """The end of a message, where a folder in the folder holds a model, as published ones do."""
    for file in sorted(path.glob("*/*")):
        if file.suffix.lower() in suffixes or file.name == otherwise:
            folder = file.parent.name
            return (
                f"; give its folder {folder}, which has {file.name}; an archive as `uri` has to be "
                "unpacked for that"
            )
    return ""


def head_in(folder: Path) -> Callable[[str], bytes]:
    """What reads the first bytes of a file in a folder; of a folder in it, nothing."""

    def head(name: str) -> bytes:
        if not (folder / name).is_file():
            return b""
        with (folder / name).open("rb") as file:
            return file.read(HEAD_BYTES)

    return head


def with_content(file: Path) -> Path:
    """The file, if what it stands for is in it.

    Raises:
      LoadError: it is empty, as a broken upload leaves it, or a pointer; frameworks explain that
        badly.
    """
    if file.stat().st_size == 0:
        raise LoadError(f"{file} is empty")
    return no_pointer(file)


def no_pointer(file: Path) -> Path:
    """The file, if it is the file.

    Raises:
      LoadError: it is a pointer of Git LFS, as a clone without it leaves it.
    """
    if file.stat().st_size < _POINTER_BYTES and file.read_bytes().startswith(_POINTER):
        raise LoadError(
            f"{file} is a pointer of Git LFS instead of the file; `git lfs pull` in the clone "
            "fetches the file"
        )
    return file


def size_of(path: Path) -> int:
    """Bytes of a model's files.

    All files of a folder count. Beside a file, those whose names begin with its name count too:
    ONNX exporters name external data so (``model.onnx.data``, ``model.onnx_data``).
    """
    if path.is_dir():
        return sum(entry.stat().st_size for entry in path.rglob("*") if entry.is_file())
    return sum(
        entry.stat().st_size
        for entry in path.parent.iterdir()
        if entry.is_file() and entry.name.startswith(path.name)
    )
