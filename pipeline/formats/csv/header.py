"""The header of a CSV file: where the cells of a field are, what it lacks or has twice."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import count, takewhile

from pipeline.batch.names import some
from pipeline.batch.tensors import describe
from pipeline.errors import RecordError
from pipeline.formats.csv import cells as csv_cells
from pipeline.formats.csv.dialect import RFC_4180, Dialect
from pipeline.formats.fields import FieldDecoder
from pipeline.formats.misfits import named_columns
from pipeline.formats.record_sample import from_cell
from pipeline.spec.record import FieldSpec, RecordSpec
from pipeline.spec.record.keys import ColumnsKey, Key, PathKey, RecordKey, outer_keys

Header = tuple[str, ...]
"""The names of the columns; none where a file has no line that can be read as names."""

REPEATED_NAMES = (
    "line 1 has exactly the names that `record.csv.header` lists, and each of them may be a value: "
    "nobody can tell whether it is a record. Take out the line, or, if each file has it, that key"
)

REPEATED_HEADER = (
    "the line has the name of each column in its cell: it is taken for a header that repeats, as "
    "in files that `cat` joined or that were written in parts, and not for a record"
)

_MOST_ACCIDENTAL = 2
"""Columns whose names are numbers, of which a record may well have the same ones."""

OTHER_ENCODING = "`record: {csv: {encoding: cp1252}}` reads text of Windows, `latin-1` of Unix"

Keys = Mapping[Key, FieldSpec | None]
"""What is read of a record: key -> its dtype and shape; None for one that is not declared."""

EACH_FILE = (
    "Each CSV file needs a header line of its own, unless `record: {csv: {header: [NAME, ...]}}` "
    "names the columns of all"
)

_SPREAD = ("{}_{}", "{}.{}", "{}[{}]")


def parse_header(row: bytes, dialect: Dialect = RFC_4180) -> Header:
    """The names of the columns, without blanks around them.

    Raises:
      ValueError: it is not CSV or names nothing.
    """
    try:
        names = dialect.cells(row)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"line 1, the header, is not {dialect.encoding}: {error}; {OTHER_ENCODING}"
        ) from error
    except csv.Error as error:
        raise ValueError(f"line 1, the header, cannot be read: {error}") from error
    if not any(names):
        raise ValueError("line 1 is empty, expected the names of the columns")
    return tuple(name.strip() for name in names)


def is_header(cells: Sequence[str], header: Header) -> bool:
    """Whether the cells of a line are the header, and no record.

    One or two numbers are a record, whatever they equal: tables of numbers may have such names.
    """
    if tuple(cell.strip() for cell in cells) != header:
        return False
    are_numbers = all(type(from_cell(name)) in (int, float) for name in header)
    return len(header) > _MOST_ACCIDENTAL or not are_numbers


def repeats_names(row: bytes, dialect: Dialect) -> bool:
    """Whether the first line of a file has exactly the names that the ensemble file lists."""
    try:
        return bool(dialect.names) and is_header(parse_header(row, dialect), dialect.names)
    except ValueError:
        return False


def may_be_record(record: RecordSpec, names: Header, dialect: Dialect = RFC_4180) -> bool:
    """Whether the names of its columns could be a record: each can be a value of its field."""
    found = places(needed(record), names)
    for key, spec in record.by_key.items():
        cells = [names[place] for place in found[key]]
        if cells and spec.dtype not in ("string", "bytes"):
            decoder = FieldDecoder(str(key), spec, flat=isinstance(key, ColumnsKey))
            try:
                decoder.row(csv_cells.value(cells, spec, dialect))
            except RecordError:
                return False
    return True


def needed(record: RecordSpec) -> Keys:
    """What each record must have: its fields and its id."""
    return {**dict.fromkeys([] if record.id is None else [record.id]), **record.by_key}


def places(keys: Keys, header: Sequence[str]) -> dict[Key, tuple[int, ...]]:
    """Which cells hold each key: one, or one for each value; none if there are no such columns.

    There are more cells than the field has values if the header has columns for more, which are
    no keys of their own.

    Args:
      keys: all that is read.
      header: the names of the columns; of those that come twice, either may be told.
    """
    position = {column: i for i, column in enumerate(header)}
    others = {name for key in keys for name in outer_keys(key)}
    return {key: _cells_of(key, spec, position, others) for key, spec in keys.items()}


def _cells_of(
    key: Key, spec: FieldSpec | None, position: Mapping[str, int], others: Collection[str]
) -> tuple[int, ...]:
    if isinstance(key, ColumnsKey):
        found = [position[name] for name in key.names if name in position]
        return tuple(found) if len(found) == len(key.names) else ()
    if isinstance(key, PathKey):  # cells are no objects
        return ()
    if key in position:
        return (position[key],)
    if spec is not None and len(spec.shape) == 1 and spec.shape[0]:
        for form in _SPREAD:
            names = takewhile(position.__contains__, (form.format(key, i) for i in count()))
            own = [name for i, name in enumerate(names) if i < spec.shape[0] or name not in others]
            if len(own) >= spec.shape[0]:
                return tuple(position[name] for name in own)
    return ()


def lacking(record: RecordSpec, header: Sequence[str], given: Collection[Key] = ()) -> list[str]:
    """What a record needs and neither the header names nor the path of its file gives."""
    found = _lacks(record, header, given)
    return list(dict.fromkeys(name for names in found.values() for name in names))


def _lacks(
    record: RecordSpec, header: Sequence[str], given: Collection[Key]
) -> dict[Key, list[str]]:
    """Key -> the columns of it that the header does not name, of each that cannot be read."""
    there = set(header)
    return {
        key: [name for name in outer_keys(key) if name not in there]
        for key, of_key in places(needed(record), header).items()
        if key not in given and not of_key
    }


def not_a_header(header: Header, lacks: Collection[str], dialect: Dialect = RFC_4180) -> str:
    """Why the lines of a file cannot be read, whose first one names not all that is needed."""
    columns = named_columns([*lacks])
    if dialect.names:
        return f"`record.csv.header` lists {some(header)}, and no {columns}"
    found = f"names {some(header)}" if header else "names nothing"
    return (
        f"line 1 of the file {found}, and no {columns}: it is taken for a record, not for a "
        f"header. {_other_delimiter(header, dialect) or EACH_FILE}"
    )


def doubled(keys: Keys, header: Sequence[str]) -> Iterator[str]:
    """Each column that is read and that the header names more than once, in words."""
    times = Counter(header)
    for of_key in places(keys, header).values():
        for place in of_key:
            if times[header[place]] > 1:
                yield f"the header names column '{header[place]}' {times[header[place]]} times"


def _other_delimiter(header: Header, dialect: Dialect) -> str:
    """Which delimiter a header has in place of the expected one, in words; empty if none."""
    others = ",;\t|".replace(dialect.delimiter, "")
    other = next((s for s in others if len(header) == 1 and s in header[0]), None)
    if other is None or dialect.names:
        return ""
    shown = "a tab" if other == "\t" else f"`{other}`"
    written = '"\\t"' if other == "\t" else f"'{other}'"
    return (
        f"found {shown} between {header[0].count(other) + 1} names in the header, expected "
        f"{dialect.shown_delimiter}: {header[0]!r}; `record: {{csv: {{delimiter: {written}}}}}` "
        "reads it"
    )


def problems(
    record: RecordSpec,
    pass_through: Sequence[RecordKey],
    header: Header,
    dialect: Dialect = RFC_4180,
    given: Collection[Key] = (),
) -> Iterator[str]:
    """Why no record of a file of this header can be read, in words."""
    keys: Keys = {**dict.fromkeys(pass_through), **needed(record)}
    if other := _other_delimiter(header, dialect):
        yield other
        return
    its = "`record.csv.header`" if dialect.names else "the header"
    lacks_all = len(lacking(record, header, given)) == len(record.outer_keys())
    for key, names in _lacks(record, header, given).items():
        if isinstance(key, PathKey):  # refused whatever the header names
            continue
        spec = keys[key]
        hint = ""
        if isinstance(key, str) and spec is not None and len(spec.shape) == 1 and spec.shape[0]:
            hint = f", nor columns '{key}_0' to '{key}_{spec.shape[0] - 1}'"
        if lacks_all and not dialect.names:
            hint += "; `record: {csv: {header: [NAME, ...]}}` names the columns if line 1 does not"
        yield f"{its} has no {named_columns(names)}{hint}; it names {some(header)}"
    all_places = places(keys, header)
    for key, field in record.by_key.items():
        found = all_places[key]
        if isinstance(key, str) and len(found) > 1 and len(found) != field.shape[0]:
            yield (
                f"{its} has columns '{header[found[0]]}' to '{header[found[-1]]}', "
                f"expected {describe(field.dtype, field.shape)}"
            )
    yield from doubled(keys, header)
