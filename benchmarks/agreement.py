"""Whether all contenders did the same work: the same records, the same answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

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
    paths = sorted(prefix.parent.glob(f"{prefix.name}*"))
    lines = [line for path in paths for line in path.read_bytes().splitlines()]
    objects = sorted(map(orjson.loads, lines), key=lambda line: line["id"])
    if [line["id"] for line in objects] != list(range(count)):
        raise DisagreementError(
            f"{prefix}: expected one prediction for each of {count} ids, found {len(objects)} "
            f"predictions of {len({line['id'] for line in objects})} ids"
        )
    # This project puts them into an object of their own.
    values = [line.get("predictions", line) for line in objects]
    return Answers(
        np.array([value["label"] for value in values]),
        np.array([value["proba"] for value in values]),
    )


def check(name: str, found: Answers, expected: Answers) -> None:
    """Compares a contender with another that had at least as many records.

    Raises:
      DisagreementError: labels or probabilities differ; names the first such id.
    """
    rows = len(found.labels)
    labels, probabilities = expected.labels[:rows], expected.probabilities[:rows]
    near = np.isclose(found.probabilities, probabilities, rtol=0, atol=_TOLERANCE).all(axis=1)
    wrong = np.flatnonzero((found.labels != labels) | ~near)
    if len(wrong):
        first = wrong[0]
        raise DisagreementError(
            f"{name}: {len(wrong)} of {rows} predictions differ; the first, id {first}: label "
            f"{found.labels[first]}, probabilities {found.probabilities[first]}; expected label "
            f"{labels[first]}, probabilities {probabilities[first]}"
        )
