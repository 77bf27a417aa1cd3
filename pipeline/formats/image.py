"""Records that are whole image files: their path is the id, their bytes the one field."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from pipeline.batch.batch import Batch
from pipeline.batch.block import Block
from pipeline.formats.decoder import Decoder, Part
from pipeline.formats.format import Format
from pipeline.formats.lookup import Record


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


class ImageDecoder(Decoder):
    """Hands each file's bytes over as the one field of the record; its path is the id.

    What is in them is not looked at.
    """

    def decode(self, block: Block) -> Batch:
        """See Decoder."""
        batch = super().decode(block)
        # The files' bytes are in the column; of the payloads only the paths go on.
        return replace(batch, payloads=tuple(batch.payloads))

    def part(self, block: Block, rows: range) -> Part:
        """See Decoder."""
        files = _files(block)
        (name,) = self._fields
        column = np.empty(len(rows), dtype=object)
        column[:] = files.contents[rows.start : rows.stop]
        return Part(rows, files.paths[rows.start : rows.stop], columns={name: column})

    def record(self, block: Block, row: int) -> Record:
        """See Decoder."""
        (name,) = self._fields
        return {name: _files(block).contents[row]}


def _files(block: Block) -> ImageFiles:
    assert isinstance(block.payloads, ImageFiles)
    return block.payloads


IMAGE = Format(
    "image",
    ImageDecoder,
    blocks=None,
    extensions=(".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif"),
)
