"""Values in the path of a file, as Hive and Spark write tables in parts: ``day=2024-01-01/a.csv``.

The folders of a path are looked at, not the file's own name. Names and values are percent-encoded
there. A record's own value of a key wins over the one in the path.

Source: https://spark.apache.org/docs/latest/sql-data-sources-parquet.html#partition-discovery
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import unquote

from pipeline.batch.exact_number import exact_number
from pipeline.batch.tensors import FLOATS, INTEGERS
from pipeline.errors import RecordError
from pipeline.formats.fields import FieldDecoder
from pipeline.spec.record import FieldSpec, RecordSpec
from pipeline.spec.record.keys import RecordKey

_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


Value = str | None | RecordError
"""A text; None for a missing value; or why nobody can tell, for records that lack their own."""


def names_in(
    path: str, record: RecordSpec, pass_through: Iterable[RecordKey] = ()
) -> frozenset[str]:
    """The keys that the folders of a path name; see `values_in`."""
    keys = {*record.by_key, record.id, *pass_through}
    return frozenset(name for name, _ in _folders(path) if name in keys)


def values_in(
    path: str, record: RecordSpec, pass_through: Iterable[RecordKey] = ()
) -> dict[str, Value]:
    """What the folders of a path say of each key that they name.

    Args:
      path: local path or URI of a file.
      record: its fields and id may be there.
      pass_through: what predictions repeat besides.
    """
    keys = {*record.by_key, record.id, *pass_through}
    return {name: value for name, value in all_values_in(path).items() if name in keys}


def all_values_in(path: str) -> dict[str, Value]:
    """What the folders of a path say, whatever is declared.

    Args:
      path: local path or URI of a file.
    """
    found: dict[str, Value] = {}
    for name, text in _folders(path):
        value: Value = None
        if text != _NO_VALUE:
            try:
                value = unquote(text, errors="strict")
            except UnicodeDecodeError:
                says = f"'{name}={text}' in the path of the file {path} is not UTF-8"
                value = RecordError("not_utf8", says)
        if found.setdefault(name, value) != value:
            says = f"'{name}=' comes twice in the path of the file {path}"
            found[name] = RecordError("doubled_column", says)
    return found


def _folders(path: str) -> Iterator[tuple[str, str]]:
    """The keys that the folders name, decoded, and what stands behind them, as it is."""
    if "=" not in path:
        return
    for folder in path.split("/")[:-1]:
        name, equals, text = folder.partition("=")
        if equals:
            yield unquote(name), text


def value_of(text: Value, spec: FieldSpec | None) -> Any:
    """What a text in a path stands for; the text, if it cannot be a value of the field.

    Args:
      text: as `values_in` has it; what is no text is returned as it is.
      spec: of the field that reads it; None for one that is not declared.
    """
    if not isinstance(text, str) or spec is None or not text.isascii() or "_" in text:
        return text
    if spec.dtype == "bool":
        return {"true": True, "false": False}.get(text.lower(), text)
    try:
        if spec.dtype in FLOATS:
            return int(text) if text.lstrip("+-").isdigit() else exact_number(text)
        return int(text) if spec.dtype in INTEGERS else text
    except ValueError:
        return text


def problems(
    path: str, record: RecordSpec, has: Iterable[str], pass_through: Iterable[RecordKey] = ()
) -> Iterator[str]:
    """Why the path of a file cannot give what the file has not.

    Args:
      path: of the file.
      record: what is declared.
      has: the names of the file's own columns.
      pass_through: what predictions repeat besides.
    """
    own = set(has)
    for key, value in values_in(path, record, pass_through).items():
        if key in own:
            continue
        try:
            if isinstance(value, RecordError):
                raise value
            if (spec := record.by_key.get(key)) is not None:
                FieldDecoder(key, spec).row(value_of(value, spec))
        except RecordError as error:
            yield f"the folders of its path: {error}"
        if key == record.id and value is None:
            yield f"the folders of its path: id '{key}' is missing"
