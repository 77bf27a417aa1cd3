"""Where the columns of a file are not what the record declares."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pipeline.batch.tensors import describe
from pipeline.formats.ids import EXPECTED
from pipeline.spec.record import FieldSpec, RecordSpec


def misfits(
    found: Mapping[str, Any],
    record: RecordSpec,
    fits: Callable[[Any, FieldSpec], bool],
    id_fits: Callable[[Any], bool],
    name_of: Callable[[Any], str] = str,
) -> Iterator[str]:
    """Each column that is missing or has another type, in words.

    Args:
      found: column -> its type, as the format has it.
      record: the declared id and fields.
      fits: whether a column of a type can hold values of a field at all.
      id_fits: whether it can hold ids.
      name_of: what people call a type.
    """
    has = f"it has {some(tuple(found))}"
    if record.id and record.id not in found:
        yield f"has no column '{record.id}', which the record names as its id; {has}"
    elif record.id and not id_fits(found[record.id]):
        yield f"column '{record.id}' is {name_of(found[record.id])}, expected an id: {EXPECTED}"
    for name, spec in record.by_key.items():
        if name not in found:
            yield f"has no column '{name}'; {has}"
        elif not fits(found[name], spec):
            yield (
                f"column '{name}' is {name_of(found[name])}, "
                f"expected {describe(spec.dtype, spec.shape)}"
            )


def some(names: Sequence[str]) -> str:
    """The first of many names."""
    return ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
