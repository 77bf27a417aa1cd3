"""Whether all contenders did the same work: the same records, the same answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import json

from benchmarks.batch.arrow_lists import matrix

# Batches of another size, or another number of threads, add up in another order.
_TOLERANCE = 1e-5

Array = np.ndarray[Any, Any]


class DisagreementError(Exception):
    """A contender wrote something else than it should have; the message says what."""


@dataclass(frozen=True)
class Answers:
    """What a contender wrote, in the order of the ids.

    Attributes:
      labels: int64[n]; true is 1.
      probabilities: float64[n, classes]; of two classes, where a prediction has one number.
    """

    labels: Array
    probabilities: Array


def read(folder: Path, count: int) -> Answers:
    """The predictions in all files of a folder and the folders in it.

    Raises:
      DisagreementError: there is not exactly one prediction for each id from 0 to ``count - 1``.
    """
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_dir() or path.name.startswith((".", "_")):  # Spark's notes
            continue
        if path.stat().st_size:
            found.append((_read_parquet if path.suffix == ".parquet" else _read_lines)(path))
    ids = np.concatenate([np.zeros(0, int), *(ids for ids, _ in found)])
    order = np.argsort(ids, kind="stable")
    if not np.array_equal(ids[order], np.arange(count)):
        raise DisagreementError(
            f"{folder}: expected one prediction for each of the ids 0 to {count - 1}, found "
            f"{len(ids)} predictions of {len(np.unique(ids))} ids"
        )
    labels = np.concatenate([answers.labels for _, answers in found])
    probabilities = np.concatenate([answers.probabilities for _, answers in found])
    return Answers(labels[order], probabilities[order])


def check(name: str, found: Answers, expected: Answers) -> None:
    """Compares a contender with another on the records that both had, the first ones.

    Raises:
      DisagreementError: probabilities differ, or labels where the probabilities of two classes are
        not the same either; names the first such id.
    """
    rows = min(len(found.labels), len(expected.labels))
    labels, probabilities = expected.labels[:rows], expected.probabilities[:rows]
    near = np.isclose(found.probabilities[:rows], probabilities, rtol=0, atol=_TOLERANCE)
    second, first = np.partition(probabilities, -2, axis=1)[:, -2:].T
    other_label = (found.labels[:rows] != labels) & (first - second > 2 * _TOLERANCE)
    wrong = np.flatnonzero(other_label | ~near.all(axis=1))
    if len(wrong):
        at = wrong[0]
        raise DisagreementError(
            f"{name}: {len(wrong)} of {rows} predictions differ; the first, id {at}: label "
            f"{found.labels[at]}, probabilities {found.probabilities[at]}; expected label "
            f"{labels[at]}, probabilities {probabilities[at]}"
        )


def _read_lines(path: Path) -> tuple[Array, Answers]:
    """Ids and predictions of a file of JSON lines, in its order."""
    table = json.read_json(path)
    # This project puts them into an object of their own.
    values = table["predictions"].combine_chunks() if "predictions" in table.column_names else None
    labels, proba = (
        table[name] if values is None else values.field(name) for name in ("label", "proba")
    )
    if labels.null_count:
        line = table.filter(labels.is_null()).to_pylist()[0]
        raise DisagreementError(f"{path}: found a line that is no prediction: {line}")
    return _numbers(table["id"]), Answers(_labels(labels), _probabilities(proba))


def _read_parquet(path: Path) -> tuple[Array, Answers]:
    """Ids and predictions of a Parquet file, in its order."""
    table = pq.read_table(path, columns=["id", "label", "proba"])
    answers = Answers(_labels(table["label"]), _probabilities(table["proba"]))
    return _numbers(table["id"]), answers


def _numbers(ids: pa.ChunkedArray) -> Array:
    """Of ids that are numbers, or texts with one at the end, such as `c-00000017`."""
    digits = pc.replace_substring_regex(ids.cast("string"), r"^\D+", "")
    return np.array(digits.cast("int64"))


def _labels(column: pa.Array | pa.ChunkedArray) -> Array:
    return np.array(column).astype(np.int64)


def _probabilities(column: pa.Array | pa.ChunkedArray) -> Array:
    if pa.types.is_list(column.type):
        return matrix(column)
    proba = np.array(column)
    return np.column_stack([1 - proba, proba])
