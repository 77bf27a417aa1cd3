"""Files in the folder of a Delta table that are not, or not whole, in the table.

Delta keeps the Parquet files of older versions beside those of the newest, and its log in
``_delta_log`` says which are which (https://github.com/delta-io/delta/blob/master/PROTOCOL.md). Who
reads them all reads rows that were deleted, and rows that were updated in each of their versions.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

import pyarrow.parquet as pq
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from pipeline.connectors.files.unread_tables import MOST_LOOKS, say_unseen
from pipeline.connectors.storage import paths
from pipeline.connectors.storage.errors import READER_ROLE, explain
from pipeline.errors import PathError
from pipeline.spec.uris import is_local

_COMMIT = re.compile(r"(\d{20})\.json")
_CHECKPOINT = re.compile(r"(\d{20})\.checkpoint(?:\.\d{10}\.(\d{10}))?\.parquet")
_WAY_OUT = (
    "write the rows of the table to a folder of their own with a reader of Delta tables, or, where "
    "nobody needs its older versions, let `VACUUM` remove their files"
)

_FileKey = tuple[str, str]
"""Path below the table, and the deletion vector of the file, which is empty where it has none."""


def problems(files: Sequence[str]) -> Iterator[str]:
    """Why not all rows of these files are rows of the Delta tables in whose folders they are.

    Args:
      files: paths of Parquet files.
    """
    tables: defaultdict[str, list[str]] = defaultdict(list)
    for file in files:
        table, name = _split(file)
        tables[table].append(name)
    for number, (table, names) in enumerate(tables.items()):
        if number >= MOST_LOOKS and not is_local(table):
            say_unseen("Delta", number, len(tables))
            return
        if log := _log_of(table):
            try:
                held = _held(log)
            except Exception as error:
                reason = explain(table, error, READER_ROLE)
                yield f"{table} is a Delta table whose log cannot be read: {reason}; {_WAY_OUT}"
            else:
                yield from _strangers(table, names, held)


def _split(file: str) -> tuple[str, str]:
    """The folder of the table that a file would belong to, and its path there."""
    parts = file.split("/")
    first = len(parts) - 1
    while first > 0 and "=" in parts[first - 1]:  # the folder of a partition
        first -= 1
    return "/".join(parts[:first]), "/".join(parts[first:])


def _log_of(table: str) -> dict[str, str]:
    """Name -> path of the versions in a log; empty where a folder is no table."""
    try:
        found = paths.match_input(f"{table or '.'}/_delta_log/0*")
    except PathError:
        return {}
    return {file.path.rsplit("/", 1)[-1]: file.path for file in found}


def _strangers(table: str, names: Sequence[str], held: set[_FileKey] | None) -> Iterator[str]:
    if held is None:
        yield (
            f"{table} is a Delta table whose log cannot be followed here, and files beside it may "
            f"hold rows that it does not have any more; {_WAY_OUT}"
        )
        return
    vectors = {_below(table, path): vector for path, vector in held}
    strangers = [name for name in names if name not in vectors]
    if strangers:
        yield (
            f"{table} is a Delta table, and {len(strangers)} of its {len(names)} files that match "
            f"hold rows that its newest version does not have or has elsewhere, such as "
            f"{strangers[0]}; {_WAY_OUT}"
        )
    elif marked := [name for name in names if vectors[name]]:
        yield (
            f"{table} is a Delta table, and {len(marked)} of its {len(names)} files that match "
            f"hold rows that it marks as deleted, such as {marked[0]}; {_WAY_OUT}, after "
            "`REORG TABLE ... APPLY (PURGE)`"
        )


def _below(table: str, path: str) -> str:
    """The path of a file as a log writes it, as one below the table where it is there."""
    return unquote(path).removeprefix(f"{table}/")


def _held(log: Mapping[str, str]) -> set[_FileKey] | None:
    """The files of the newest version; None where the log does not say it in the usual form."""
    commits = {
        int(found[1]): path for name, path in log.items() if (found := _COMMIT.fullmatch(name))
    }
    newest = max(commits, default=-1)
    start, parts = _checkpoint(log)
    held = {key for part in parts for key in _added(part)}
    for version in range(start + 1, newest + 1):
        if version not in commits:
            return None
        actions = list(_actions(commits[version]))
        # The order within a version means nothing: what it adds is there.
        held -= {_key(action["remove"]) for action in actions if action.get("remove")}
        held |= {_key(action["add"]) for action in actions if action.get("add")}
    return held if max(start, newest) >= 0 else None


def _checkpoint(log: Mapping[str, str]) -> tuple[int, list[str]]:
    """The version of the newest whole checkpoint, and its files; -1 where there is none."""
    found: defaultdict[tuple[int, int], list[str]] = defaultdict(list)
    for name, path in log.items():
        if match := _CHECKPOINT.fullmatch(name):
            found[int(match[1]), int(match[2] or 1)].append(path)
    whole = [(version, parts) for (version, of), parts in found.items() if len(parts) == of]
    return max(whole, default=(-1, []))


def _added(checkpoint: str) -> Iterator[_FileKey]:
    """The files in a part of a checkpoint.

    Raises:
      ValueError: it names other files that have them.
    """
    with FileSystems.open(checkpoint, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        opened = pq.ParquetFile(file)
        if "sidecar" in opened.schema_arrow.names:
            raise ValueError("its checkpoint has sidecar files, which are not read here")
        if "add" in opened.schema_arrow.names:
            for batch in opened.iter_batches(columns=["add.path", "add.deletionVector"]):
                yield from (_key(row["add"]) for row in batch.to_pylist() if row["add"])


def _actions(commit: str) -> Iterator[dict[str, Any]]:
    with FileSystems.open(commit, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        for line in file.read().splitlines():
            if line.strip():
                yield json.loads(line)


def _key(action: Mapping[str, Any]) -> _FileKey:
    vector = action.get("deletionVector")
    return action["path"], json.dumps(vector, sort_keys=True) if vector else ""
