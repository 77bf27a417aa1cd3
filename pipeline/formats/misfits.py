"""Where the columns of a file are not what the record declares."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.batch.names import some
from pipeline.batch.tensors import INTEGERS, describe
from pipeline.formats import partitions
from pipeline.formats.ids import EXPECTED
from pipeline.spec.record import FieldSpec, RecordSpec
from pipeline.spec.record.keys import ColumnsKey, Key, PathKey, RecordKey

_TIME = re.compile(
    r"\b(timestamp|date|time|duration)(32|64)?\[|\((local-)?(timestamp|date|time|duration)\b"
)


@dataclass(frozen=True)
class TypeSystem:
    """What the types of columns are in a format.

    Attributes:
      fits: whether a column of a type can hold values of a field at all.
      id_fits: whether it can hold ids.
      inside: the types of what an object of a type holds, by key; None if it is no object.
      name_of: what people call a type.
    """

    fits: Callable[[Any, FieldSpec], bool]
    id_fits: Callable[[Any], bool]
    inside: Callable[[Any], Mapping[str, Any] | None]
    name_of: Callable[[Any], str] = str


def misfits(
    path: str,
    found: Mapping[str, Any],
    record: RecordSpec,
    pass_through: Sequence[RecordKey],
    types: TypeSystem,
) -> Iterator[str]:
    """Each column that is missing or has another type, in words.

    Args:
      path: of the file, whose folders may have what it has not.
      found: column -> its type, as the format has it.
      record: the declared id and fields.
      pass_through: what predictions repeat, null where there is no such column.
      types: of the format.
    """
    given = partitions.names_in(path, record) - found.keys()
    yield from partitions.problems(path, record, found, pass_through)
    if record.id is not None and record.id not in given:
        try:
            kind = _type_at(found, record.id, types, ", which the record names as its id")
        except ValueError as error:
            yield str(error)
        else:
            if not types.id_fits(kind):
                name = types.name_of(kind)
                yield f"column '{record.id}' is {name}, expected an id: {EXPECTED}"
    for key, spec in record.by_key.items():
        if isinstance(key, ColumnsKey):
            names = [name for name in key.names if name not in given]
            yield from _misfits_of_columns(found, names, spec.single, types)
        elif key not in given:
            yield from _misfit(found, key, spec, types)
    for repeated in pass_through:
        if isinstance(repeated, PathKey) and repeated.path[0] in found:
            try:
                _type_at(found, repeated, types)
            except _NoObjectError as error:
                yield str(error)
            except ValueError:
                pass  # null in each prediction


def times(found: Mapping[str, Any], record: RecordSpec, types: TypeSystem) -> Iterator[str]:
    """Each column of times that is read as a field or as the id, in words.

    Of some of their values Python has text, so that records do not tell.

    Args:
      found: column -> its type, as the format has it.
      record: the declared id and fields.
      types: of the format.
    """
    for key in dict.fromkeys([*record.by_key, *([] if record.id is None else [record.id])]):
        for name in key.names if isinstance(key, ColumnsKey) else [key]:
            try:
                kind = types.name_of(_type_at(found, name, types))
            except ValueError:
                continue
            if _TIME.search(kind):
                yield f"column '{name}' is {kind}; no field and no id holds times"


def _misfit(
    found: Mapping[str, Any], key: Key, spec: FieldSpec, types: TypeSystem
) -> Iterator[str]:
    try:
        kind = _type_at(found, key, types)
    except ValueError as error:
        yield str(error)
        return
    if not types.fits(kind, spec):
        name = types.name_of(kind)
        expected = describe(spec.dtype, spec.shape)
        yield f"column '{key}' is {name}, expected {expected}{_remedy(name, spec)}"


def _misfits_of_columns(
    found: Mapping[str, Any], names: Sequence[str], spec: FieldSpec, types: TypeSystem
) -> Iterator[str]:
    """The same of the columns of one field: those of one kind together, as there may be many."""
    if lacks := [name for name in names if name not in found]:
        yield f"has no {named_columns(lacks)}; it has {some(tuple(found))}"
    wrong: dict[str, list[str]] = {}
    for name in names:
        if name in found and not types.fits(found[name], spec):
            wrong.setdefault(types.name_of(found[name]), []).append(name)
    for kind, columns in wrong.items():
        expected = describe(spec.dtype, spec.shape)
        what = f"{named_columns(columns)} {are(columns)} {kind}"
        yield f"{what}, expected {expected}{_remedy(kind, spec)}"


def _remedy(type_name: str, spec: FieldSpec) -> str:
    """What to declare or write instead, where people have such columns often."""
    if type_name.startswith(("struct", "map")):
        return ""
    if _TIME.search(type_name):
        return (
            "; no field holds times: write them as numbers or text, or repeat them by pass_through"
        )
    if "decimal" in type_name and spec.dtype in INTEGERS:
        return "; `dtype: float64` takes decimals"
    return ""


class _NoObjectError(ValueError):
    """Something on a path is no object."""


def _type_at(found: Mapping[str, Any], key: Key, types: TypeSystem, role: str = "") -> Any:
    """The type of a column, or of what is inside of one.

    Raises:
      ValueError: there is none.
    """
    path = key.path if isinstance(key, PathKey) else (str(key),)
    inside: Mapping[str, Any] | None = found
    kind: Any = None
    for depth, part in enumerate(path):
        where = f"'{'.'.join(path[:depth])}'"
        if inside is None:
            name = types.name_of(kind)
            raise _NoObjectError(f"column {where} is {name}, expected an object with '{part}'")
        if part not in inside:
            has = f"{where if depth else 'it'} has {some(tuple(inside))}"
            raise ValueError(f"has no column '{key}'{role}; {has}")
        kind = inside[part]
        inside = types.inside(kind)
    return kind


def named_columns(names: Sequence[str]) -> str:
    """``column 'a'`` or ``columns 'a', 'b'``; of many the first, and how many they are."""
    quoted = some([f"'{name}'" for name in names])
    return f"column{'s' * (len(names) > 1)} {quoted}"


def are(names: Sequence[str]) -> str:
    """The verb for so many."""
    return "are" if len(names) > 1 else "is"
