"""The header of a CSV file: where the cells of a field are, what it lacks or has twice."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import count, takewhile

from pipeline.batch.tensors import describe
from pipeline.formats.misfits import some
from pipeline.spec.record import FieldSpec, RecordSpec

Header = tuple[str, ...]
"""The names of the columns; none where a file has no line that can be read as names."""

Keys = Mapping[str, FieldSpec | None]
"""What is read of a record: key -> its dtype and shape; None for one that is not declared."""

_SPREAD = ("{}_{}", "{}.{}", "{}[{}]")


def parse_header(row: bytes) -> Header:
    """The names of the columns, without blanks around them.

    Raises:
      ValueError: it is not CSV or names nothing.
    """
    try:
        names = next(csv.reader([row.decode()], strict=True), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"line 1, the header, cannot be read: {error}") from error
    if not any(names):
        raise ValueError("line 1 is empty, expected the names of the columns")
    return tuple(name.strip() for name in names)


def needed(record: RecordSpec) -> Keys:
    """What each record must have: its fields and its id."""
    return {**dict.fromkeys([record.id] if record.id else []), **record.fields}


def places(key: str, keys: Keys, header: Sequence[str]) -> tuple[int, ...]:
    """Which cells hold a key: one, or one for each value; none if there are no such columns.

    There are more cells than the field has values if the header has columns for more, which are
    no keys of their own.

    Args:
      key: one of `keys`.
      keys: all that is read.
      header: the names of the columns.
    """
    if key in header:
        return (header.index(key),)
    spec = keys[key]
    if spec is not None and len(spec.shape) == 1 and spec.shape[0]:
        position = {column: i for i, column in enumerate(header)}
        for form in _SPREAD:
            names = takewhile(position.__contains__, (form.format(key, i) for i in count()))
            own = [name for i, name in enumerate(names) if i < spec.shape[0] or name not in keys]
            if len(own) >= spec.shape[0]:
                return tuple(position[name] for name in own)
    return ()


def lacking(record: RecordSpec, header: Sequence[str]) -> list[str]:
    """What a record needs and the header does not name."""
    keys = needed(record)
    return [key for key in keys if not places(key, keys, header)]


def not_a_header(header: Header, lacks: Collection[str]) -> str:
    """Why the lines of a file cannot be read, whose first one names not all that is needed."""
    names = ", ".join(f"'{name}'" for name in lacks)
    found = f"names {some(header)}" if header else "names nothing"
    return (
        f"line 1 of the file {found}, and no column {names}: it is taken for a record, not for a "
        "header. Each CSV file needs a header line of its own"
    )


def doubled(keys: Keys, header: Sequence[str]) -> Iterator[str]:
    """Each column that is read and that the header names more than once, in words."""
    for key in keys:
        for place in places(key, keys, header):
            times = header.count(header[place])
            if times > 1:
                yield f"the header names column '{header[place]}' {times} times"


def problems(record: RecordSpec, pass_through: Sequence[str], header: Header) -> Iterator[str]:
    """Why no record of a file of this header can be read, in words."""
    keys: Keys = {**dict.fromkeys(pass_through), **needed(record)}
    other = next((s for s in ";\t|" if len(header) == 1 and s in header[0]), None)
    if other is not None:
        names = header[0].count(other) + 1
        shown = "a tab" if other == "\t" else f"`{other}`"
        yield f"found {shown} between {names} names in the header, expected commas: {header[0]!r}"
        return
    for name in lacking(record, header):
        spec = keys[name]
        hint = ""
        if spec is not None and len(spec.shape) == 1 and spec.shape[0]:
            hint = f", nor columns '{name}_0' to '{name}_{spec.shape[0] - 1}'"
        yield f"the header has no column '{name}'{hint}; it names {some(header)}"
    for name, field in record.fields.items():
        found = places(name, keys, header)
        if len(found) > 1 and len(found) != field.shape[0]:
            yield (
                f"the header has columns '{header[found[0]]}' to '{header[found[-1]]}', "
                f"expected {describe(field.dtype, field.shape)}"
            )
    yield from doubled(keys, header)
