"""Steps that wait for others, of which they need nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import AsIter


def all_complete(parts: Sequence[Any], label: str) -> list[AsIter]:
    """A side input without elements: a step that takes it waits for some PCollections.

    Args:
      parts: bounded PCollections.
      label: begins the names of the steps that this takes.

    Returns:
      the arguments for ParDo, Map and FlatMap: one side input, none without parts.
    """
    if not parts:
        return []
    emptied = tuple(
        part | f"{label}{number}" >> beam.FlatMap(_nothing).with_output_types(int)
        for number, part in enumerate(parts)
    )
    return [AsIter(emptied | label >> beam.Flatten())]


def _nothing(_: Any) -> Iterator[int]:
    yield from ()
