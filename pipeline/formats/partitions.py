"""Values in the path of a file, as Hive and Spark write tables in parts: ``day=2024-01-01/a.csv``.

The folders of a path are looked at, not the file's own name. Names and values are percent-encoded
there. A record's own value of a key wins over the one in the path.

Source: https://spark.apache.org/docs/latest/sql-data-sources-parquet.html#partition-discovery
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import unquote

from pipeline.batch.tensors import FLOATS, INTEGERS
from pipeline.errors import RecordError
from pipeline.formats.fields import FieldDecoder
from pipeline.spec.record import FieldSpec, RecordSpec
from pipeline.spec.record.keys import RecordKey

_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


def names_in(path: str, record: RecordSpec) -> frozenset[str]:
    """The fields' keys and the id that the folders of a path name; see `values_in`."""
    return frozenset(name for name, _ in _folders(path, record, ()))


def values_in(
    path: str, record: RecordSpec, pass_through: Iterable[RecordKey] = ()
) -> dict[str, str | None]:
    """What the folders of a path say: key -> text, or None for a missing value.

    Args:
      path: local path or URI of a file.
      record: its fields and id may be there.
      pass_through: what predictions repeat besides.

    Raises:
      ValueError: one comes twice, with different values.
    """
    found: dict[str, str | None] = {}
    for name, value in _folders(path, record, pass_through):
        if found.setdefault(name, value) != value:
            raise ValueError(f"'{name}=' comes twice in the path of the file {path}")
    return found


def _folders(
    path: str, record: RecordSpec, pass_through: Iterable[RecordKey]
) -> Iterator[tuple[str, str | None]]:
    if "=" not in path:
        return
    keys = {*record.by_key, record.id, *pass_through}
    for folder in path.split("/")[:-1]:
        name, equals, text = folder.partition("=")
        if equals and unquote(name) in keys:
            yield unquote(name), None if text == _NO_VALUE else unquote(text)


def value_of(text: str | None, spec: FieldSpec | None) -> Any:
    """What a text in a path stands for; the text, if it cannot be a value of the field.

    Args:
      text: as `values_in` has it.
      spec: of the field that reads it; None for one that is not declared.
    """
    if text is None or spec is None or not text.isascii() or "_" in text:
        return text
    if spec.dtype == "bool":
        return {"true": True, "false": False}.get(text.lower(), text)
    try:
        if spec.dtype in FLOATS:
            return float(text)
        return int(text) if spec.dtype in INTEGERS else text
    except ValueError:
        return text


def problems(path: str, record: RecordSpec, has: Iterable[str]) -> Iterator[str]:
    """Why the path of a file cannot give the fields that the file has not.

    Args:
      path: of the file.
      record: what is declared.
      has: the names of the file's own columns.
    """
    own = set(has)
    values = values_in(path, record)
    for key, spec in record.by_key.items():
        if isinstance(key, str) and key in values and key not in own:
            try:
                FieldDecoder(key, spec).row(value_of(values[key], spec))
            except RecordError as error:
                yield f"the folders of its path: {error}"
    if record.id in values and record.id not in own and values[str(record.id)] is None:
        yield f"the folders of its path: id '{record.id}' is missing"
