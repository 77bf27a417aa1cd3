"""Files in the folders of Hudi and Paimon tables, whose logs are not read here.

Both keep files of older versions beside those of the newest, and only their logs tell them apart:
who reads them all reads rows that were deleted, and rows that were updated in each of their
versions. They are known by how their files are called (https://hudi.apache.org/docs/storage_layouts,
https://paimon.apache.org/docs/0.8/concepts/specification) and by a file of each table above them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from pipeline.connectors.storage import paths
from pipeline.errors import PathError
from pipeline.readable import logger
from pipeline.spec.uris import is_local

_LOGGER = logger(__name__)

MOST_LOOKS = 64
"""Each is a request to a storage that is not local."""


class _Kind(NamedTuple):
    """A table format.

    Attributes:
      name: of the format.
      file: how the paths of its Parquet files end.
      mark: a file that each table has, below its folder.
    """

    name: str
    file: re.Pattern[str]
    mark: str


_KINDS = (
    _Kind(
        "Hudi",
        re.compile(r"[^/]+_\d+-\d+-\d+_(\d{14}|\d{17})\.parquet$"),
        ".hoodie/hoodie.properties",
    ),
    _Kind("Paimon", re.compile(r"(^|/)bucket-[^/]+/[^/]+\.parquet$"), "schema/schema-0"),
)


def problems(files: Sequence[str]) -> Iterator[str]:
    """Why not all rows of these files may be rows of the tables in whose folders they are.

    Args:
      files: paths of Parquet files.
    """
    for kind in _KINDS:
        folders = Counter(file.rpartition("/")[0] for file in files if kind.file.search(file))
        try:
            tables = _tables(folders, kind)
        except PathError as error:
            yield f"what may be a {kind.name} table cannot be looked at: {error}"
            continue
        for table, count in tables.items():
            yield (
                f"{table} is a {kind.name} table, and which of its {count} files that match hold "
                "rows of its newest version is not known here; write the rows of the table to a "
                f"folder of their own with a reader of {kind.name} tables, such as a query of Spark"
            )


def _tables(folders: Counter[str], kind: _Kind) -> Counter[str]:
    """The folder of each table, and how many of its files are in these folders.

    Raises:
      PathError: the storage refuses to tell.
    """
    tables: Counter[str] = Counter()
    looked: set[str] = set()
    for number, (folder, count) in enumerate(folders.items()):
        if len(looked) >= MOST_LOOKS and not is_local(folder):
            say_unseen(kind.name, number, len(folders))
            break
        above = _with_parents(folder)
        table = next((place for place in above if place in tables), None)
        for place in above if table is None else ():
            if place not in looked and paths.exists(f"{place}/{kind.mark}"):
                table = place
                break
            looked.add(place)
        if table is not None:
            tables[table] += count
    return tables


def _with_parents(folder: str) -> list[str]:
    """A folder and those above it, nearest first; "." stands for the one of relative paths."""
    scheme, mark, rest = folder.rpartition("://")
    inside = PurePosixPath(rest or ".")
    parents = [inside, *inside.parents]
    if mark:  # the last is no bucket
        parents = parents[:-1]
    return [f"{scheme}{mark}{'' if str(each) == '/' else each}" for each in parents]


def say_unseen(kind: str, looked: int, folders: int) -> None:
    """Logs that not all folders were looked at."""
    _LOGGER.warning(
        "%d of %d folders of input files were looked at for %s tables; whether files of older "
        "versions are in the others is not known",
        looked,
        folders,
        kind,
    )
