"""What a format of input files is: everything that tells one from the others, in one object."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from pipeline.batch.block import Block
from pipeline.formats.decoder import Decoder
from pipeline.formats.lines import DEFAULT_RECORD_BYTES, MAX_BLOCK_BYTES
from pipeline.formats.opened_file import Cut, OpenedFile
from pipeline.formats.partitions import names_in
from pipeline.spec.record import CsvSpec, RecordSpec
from pipeline.spec.record.keys import RecordKey
from pipeline.spec.row_limits import DEFAULT_ROWS


@dataclass(frozen=True)
class Reading:
    """How files are read.

    Attributes:
      block_rows: most records in a block; blocks of long records have fewer.
      format: name of the format of all files, or "auto": each has the one that its name tells.
      keys: what is read of each record, where a format allows to leave out the rest; None for all.
      max_record_bytes: a larger record is not read; what holds it ends in a block that says so.
      record: what is declared of them; None where nothing is yet, as for `init`.
      csv: how CSV is written, where nothing is declared.
    """

    block_rows: int = DEFAULT_ROWS
    format: str = "auto"
    keys: tuple[str, ...] | None = None
    max_record_bytes: int = DEFAULT_RECORD_BYTES
    record: RecordSpec | None = None
    csv: CsvSpec | None = None

    def keys_in(self, path: str, names: Collection[str]) -> tuple[str, ...] | None:
        """The keys to read of a file at a path, with columns of these names.

        All, where it lacks something that a record needs: its records are dead letters, whose
        payloads have everything.
        """
        if self.record is None:
            return self.keys
        has = {*names, *names_in(path, self.record)}
        return self.keys if has.issuperset(self.record.outer_keys()) else None

    @property
    def csv_spec(self) -> CsvSpec | None:
        """How CSV files are written; None where nobody said."""
        return self.record.csv if self.record is not None else self.csv

    @property
    def is_raw(self) -> bool:
        """Whether records are handed over whole, whatever is in them."""
        return self.record is not None and self.record.source == "raw"

    def encoding(self, format: str) -> str:
        """Of the text in files of a format."""
        spec = self.csv_spec
        return spec.encoding if spec is not None and format == "csv" else "utf-8"

    def rows_of(self, row_bytes: float) -> int:
        """The most records of such a size in a block, in formats that know it before they read."""
        small = MAX_BLOCK_BYTES // max(row_bytes, 1)
        return min(self.block_rows, max(DEFAULT_ROWS, int(small)))

    @property
    def max_chunk_bytes(self) -> int:
        """The most that records, which a format can only read together, may take in memory."""
        return 4 * self.max_record_bytes


@dataclass(frozen=True)
class Format:
    """A format of input files. A new one is a module that makes one, and its line in the registry.

    Attributes:
      name: as ``--input_format``, blocks and ranges of files name it.
      decoder: makes batches of its blocks.
      blocks: reads the records of an opened file as blocks that bear the format's name. What cannot
        be read ends in a block whose error says where and why. None where a file is one record,
        whatever is in it.
      check: what a file lacks of the declared record, or has twice of it and of what predictions
        repeat, as far as its beginning or its index says; raises ValueError where it is none of
        this format. None where a file does not say.
      extensions: how names of files end, in lower case.
      records_are: what a record is, for the help text.
      splittable: whether `blocks` can read a part of a file that is not compressed.
      cuts: where a file may be cut all the same, about so many bytes apart, by a look at all of it.
      compresses_itself: whether its data is compressed inside of a file. One that is compressed
        once more is refused.
      appends: whether what is written to the end of a file leaves the file before as it was.
      nests: whether its values may be objects, with values inside.
      raw_problem: why a record cannot be handed over whole (``source: raw``), and what to do
        instead; empty where it can.
    """

    name: str
    decoder: type[Decoder]
    blocks: Callable[[OpenedFile, Reading], Iterator[Block]] | None
    check: Callable[[OpenedFile, RecordSpec, Sequence[RecordKey]], Iterator[str]] | None = None
    extensions: tuple[str, ...] = ()
    records_are: str = ""
    splittable: bool = False
    cuts: Callable[[OpenedFile, RecordSpec, int], Iterator[Cut]] | None = None
    compresses_itself: bool = False
    appends: bool = True
    nests: bool = False
    raw_problem: str = ""
