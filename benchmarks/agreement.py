"""Whether all contenders did the same work: the same records, the same answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from workload import CLASSES

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


def read(prefix: Path, count: int) -> Answers:
    """The predictions in all files whose name starts with `prefix`.

    Raises:
      DisagreementError: there is not exactly one prediction for each id from 0 to ``count - 1``.
    """
    labels = np.zeros(count, dtype=np.int64)
    probabilities = np.zeros((count, CLASSES))
    seen = np.zeros(count, dtype=np.int64)
    for line in _lines(prefix):
        record_id = line["id"]
        # This project puts them into an object of their own.
        values = line.get("predictions", line)
        if record_id not in range(count) or "label" not in values:
            raise DisagreementError(
                f"{prefix}: found a line that is no expected prediction: {line}"
            )
        labels[record_id], probabilities[record_id] = values["label"], values["proba"]
        seen[record_id] += 1
    if (seen != 1).any():
        raise DisagreementError(
            f"{prefix}: expected one prediction for each of {count} ids, found {seen.sum()} "
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


def _lines(prefix: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(prefix.parent.glob(f"{prefix.name}*")):
        with path.open("rb") as file:
            yield from map(orjson.loads, file)
