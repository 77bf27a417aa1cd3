"""Records that are whole image files: their path is the id, their bytes the one field."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.core.batch import Batch
from pipeline.core.block import Origin
from pipeline.core.record_spec import RecordSpec


@dataclass(frozen=True)
class ImageFiles:
    """Image files, as the payloads of a block.

    As a payload, which is what dead letters repeat, a file is ``{"path": ...}``: its megabytes
    are where they were.

    Attributes:
      paths: one for each file.
      contents: the bytes of each.
    """

    paths: tuple[str, ...]
    contents: tuple[bytes, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int, /) -> bytes:
        return json.dumps({"path": self.paths[row]}, ensure_ascii=False).encode(
            errors="backslashreplace"
        )

    def __iter__(self) -> Iterator[bytes]:
        return map(self.__getitem__, range(len(self)))


def decode(record: RecordSpec, files: ImageFiles, origins: Sequence[Origin] | None = None) -> Batch:
    """One batch for some files; what is in them is not looked at.

    Args:
      record: its source is "image".
      files: of a block.
      origins: one for each file, where the source has them.

    Returns:
      a batch with the files' bytes as the record's field.
    """
    (field,) = record.fields
    contents = np.empty(len(files), dtype=object)
    contents[:] = files.contents
    return Batch(
        ids=files.paths,
        payloads=tuple(files),
        columns={field: contents},
        origins=None if origins is None else tuple(origins),
    )
