"""What every contender gets: the same records, the same models. Made once, then reused."""

from __future__ import annotations

import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal, Self

Format = Literal["jsonl", "csv", "parquet"]


class Workload(ABC):
    """Records, an ensemble file, and models. A kind of workload is a subclass.

    Args:
      folder: of all workloads; each has a folder of its own there.

    Attributes:
      name: of the kind, for the command line and for its folder.
      forms: of records that it comes in.
      part_rows: records of a file.
      title: what the summary calls it.
      noun: what the summary calls a record.
      batch_section: of the document, and its picture's name: rates.
      stages_section: the same for what the stages take.
      spec_source: the ensemble file, which names models in the folder `models` beside it.
      folder: holds the files, and the contenders' outputs while they are needed.
    """

    name: ClassVar[str]
    forms: ClassVar[tuple[Format, ...]]
    part_rows: ClassVar[int]
    title: ClassVar[str]
    noun: ClassVar[str]
    batch_section: ClassVar[str]
    stages_section: ClassVar[str]
    spec_source: ClassVar[Path]

    def __init__(self, folder: Path) -> None:
        self.folder = folder / self.name

    @abstractmethod
    def write_models(self, folder: Path) -> None:
        """Writes the models' files into an empty folder."""

    @abstractmethod
    def write_part(self, form: Format, first: int, rows: int, path: Path) -> None:
        """Writes a file of records.

        Args:
          form: of the file.
          first: number of its first record; fewer rows with the same one are the same records.
          rows: how many.
          path: the file.
        """

    @property
    def spec(self) -> Path:
        """The ensemble file of this project."""
        return self.folder / "ensemble.yaml"

    @property
    def models(self) -> Path:
        """The folder of the models."""
        return self.folder / "models"

    @classmethod
    def prepare(cls, folder: Path) -> Self:
        """Makes the models, if they are not there, and puts the ensemble file beside them."""
        made = cls(folder)
        made.folder.mkdir(parents=True, exist_ok=True)
        _make(made.models, made._fill_models)
        shutil.copy(cls.spec_source, made.spec)
        return made

    def _fill_models(self, folder: Path) -> None:
        folder.mkdir()
        self.write_models(folder)

    def records(self, count: int, form: Format) -> Path:
        """The folder with files of the first `count` records, made now if it is not there.

        Folders share their files: the parts of a larger one are those of a smaller one.
        """
        parts = self.folder / "parts"
        parts.mkdir(parents=True, exist_ok=True)

        def link(folder: Path) -> None:
            folder.mkdir()
            for first in range(0, count, self.part_rows):
                rows = min(self.part_rows, count - first)
                part = parts / f"{first:08d}-{rows}.{form}"
                _make(part, partial(self.write_part, form, first, rows))
                (folder / part.name).hardlink_to(part)

        path = self.folder / f"records-{count}-{form}"
        _make(path, link)
        return path


def _make(path: Path, write: Callable[[Path], None]) -> None:
    """Writes under another name first: what has its name is complete."""
    if path.exists():
        return
    made = path.with_name(f".{path.name}.{os.getpid()}")
    write(made)
    made.rename(path)
