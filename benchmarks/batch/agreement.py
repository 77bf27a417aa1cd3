"""Whether all contenders did the same work: the same records, the same answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from pyarrow import json

from benchmarks.batch.arrow_lists import matrix
from benchmarks.batch.vectors.workload import CLASSES

# Batches of another size, or another number of threads, add up in another order.
_TOLERANCE = 1e-5

Array = np.ndarray[Any, Any]


class DisagreementError(Exception):
    """A contender wrote something else than it should have; the message says what."""


@dataclass(frozen=True)
class Answers:
    """What a contender wrote, in the order of the ids.

    Attributes:
      labels: int64[n].
      probabilities: float64[n, 10].
    """

    labels: Array
    probabilities: Array


def read(folder: Path, count: int) -> Answers:
    """The predictions in all files of a folder and the folders in it.

    Raises:
      DisagreementError: there is not exactly one prediction for each id from 0 to ``count - 1``.
    """
    labels = np.zeros(count, dtype=np.int64)
    probabilities = np.zeros((count, CLASSES))
    seen = np.zeros(count, dtype=np.int64)
    for path in sorted(folder.rglob("*")):
        if path.is_dir() or path.name.startswith((".", "_")):  # Spark's notes
            continue
        ids, found = (_read_parquet if path.suffix == ".parquet" else _read_lines)(path)
        if not len(ids):
            continue
        if not (ids.min() >= 0 and ids.max() < count):
            raise DisagreementError(f"{path}: found ids beyond 0 to {count - 1}")
        labels[ids], probabilities[ids] = found.labels, found.probabilities
        np.add.at(seen, ids, 1)
    if (seen != 1).any():
        raise DisagreementError(
            f"{folder}: expected one prediction for each of {count} ids, found {seen.sum()} "
            f"predictions of {np.count_nonzero(seen)} ids"
        )
    return Answers(labels, probabilities)


def check(name: str, found: Answers, expected: Answers) -> None:
    """Compares a contender with another on the records that both had, the first ones.

    Raises:
      DisagreementError: labels or probabilities differ; names the first such id.
    """
    rows = min(len(found.labels), len(expected.labels))
    labels, probabilities = expected.labels[:rows], expected.probabilities[:rows]
    near = np.isclose(found.probabilities[:rows], probabilities, rtol=0, atol=_TOLERANCE)
    wrong = np.flatnonzero((found.labels[:rows] != labels) | ~near.all(axis=1))
    if len(wrong):
        first = wrong[0]
        raise DisagreementError(
            f"{name}: {len(wrong)} of {rows} predictions differ; the first, id {first}: label "
            f"{found.labels[first]}, probabilities {found.probabilities[first]}; expected label "
            f"{labels[first]}, probabilities {probabilities[first]}"
        )


def _read_lines(path: Path) -> tuple[Array, Answers]:
    """Ids and predictions of a file of JSON lines, in its order."""
    if not path.stat().st_size:
        return np.zeros(0, int), Answers(np.zeros(0, int), np.zeros((0, CLASSES)))
    table = json.read_json(path)
    # This project puts them into an object of their own.
    values = table["predictions"].combine_chunks() if "predictions" in table.column_names else None
    labels, proba = (
        table[name] if values is None else values.field(name) for name in ("label", "proba")
    )
    if labels.null_count:
        line = table.filter(labels.is_null()).to_pylist()[0]
        raise DisagreementError(f"{path}: found a line that is no prediction: {line}")
    return np.array(table["id"]).astype(int), Answers(np.array(labels), matrix(proba))


def _read_parquet(path: Path) -> tuple[Array, Answers]:
    """Ids and predictions of a Parquet file, in its order; this project writes ids as text."""
    table = pq.read_table(path, columns=["id", "label", "proba"])
    ids = np.array(table["id"].cast("int64"))
    return ids, Answers(np.array(table["label"]), matrix(table["proba"]))
