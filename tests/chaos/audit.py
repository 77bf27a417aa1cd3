"""What a soak looks at from outside: what was sent, what came out, and the release log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.support.models import affine_weights

Line = dict[str, Any]
_SHOWN = 5


@dataclass(frozen=True)
class Sent:
    """What was sent.

    Attributes:
      rows: record id -> the four numbers of its field.
      broken: lines that are no record, each unlike all others.
    """

    rows: Mapping[str, Sequence[float]]
    broken: Collection[str]


def problems_of(
    sent: Sent,
    predictions: Sequence[Line],
    dead_letters: Sequence[Line],
    releases: Mapping[int, Mapping[str, str]],
    corrupt: Collection[tuple[str, str]],
    *,
    once: bool,
) -> list[str]:
    """What is wrong with what came out; nothing if all promises were kept.

    Args:
      sent: to the job.
      predictions: of the job. Version V of a model has the scale V, see `affine_weights`.
      dead_letters: of the job.
      releases: of the log: generation -> model -> version.
      corrupt: model and version of what must never serve.
      once: whether nothing may come out twice; otherwise nothing may be lost.
    """
    came = Counter(line["id"] for line in predictions)
    letters = Counter(letter["payload"] for letter in dead_letters)
    found = [
        *_unbalanced("record", sent.rows, came, once),
        *_unbalanced("broken line", sent.broken, letters, once),
    ]
    known = [line for line in predictions if line["id"] in sent.rows]
    found += _shown(
        "names another release than the log", known, lambda line: _misnamed(line, releases)
    )
    found += _shown(
        "was computed by a corrupt version", known, lambda line: _corrupt(line, corrupt)
    )
    wrong = _wrong_values(known, sent.rows)
    found += _shown("has not the value of its versions", known, lambda line: line["id"] in wrong)
    return found


def doubled_lines(predictions: Sequence[Line], dead_letters: Sequence[Line]) -> int:
    """How many lines came out beyond the first of each record and of each broken line."""
    came = Counter(line["id"] for line in predictions)
    letters = Counter(letter["payload"] for letter in dead_letters)
    return sum(count - 1 for count in (*came.values(), *letters.values()))


def _unbalanced(what: str, sent: Collection[str], came: Counter[str], once: bool) -> Iterable[str]:
    cases = {
        "never came out": [one for one in sent if not came[one]],
        "came out, but was not sent": [one for one in came if one not in sent],
        "came out more than once": [one for one, count in came.items() if once and count > 1],
    }
    for problem, some in cases.items():
        if some:
            yield f"{len(some)} times, a {what} {problem}: {some[:_SHOWN]}"


def _shown(problem: str, lines: Sequence[Line], is_bad: Any) -> Iterable[str]:
    bad = [(line["id"], line["release"]) for line in lines if is_bad(line)]
    if bad:
        yield f"{len(bad)} times, a prediction {problem}: {bad[:_SHOWN]}"


def _misnamed(line: Line, releases: Mapping[int, Mapping[str, str]]) -> bool:
    release = line["release"]
    return releases.get(release["generation"]) != release["models"]


def _corrupt(line: Line, corrupt: Collection[tuple[str, str]]) -> bool:
    return any(version in corrupt for version in line["release"]["models"].items())


def _wrong_values(lines: Sequence[Line], rows: Mapping[str, Sequence[float]]) -> set[str]:
    """The ids of predictions of which some value is not that of the version that it names."""
    weights, bias = affine_weights(1.0)
    if not lines:
        return set()
    x = np.array([rows[line["id"]] for line in lines])
    wrong = np.zeros(len(lines), bool)
    for model in lines[0]["release"]["models"]:
        scales = np.array([float(line["release"]["models"][model]) for line in lines])
        y = np.array([line["predictions"][f"{model}_y"] for line in lines])
        expected = (x @ weights + bias) * scales[:, None]
        wrong |= ~np.isclose(y, expected, rtol=1e-4, atol=1e-4).all(axis=1)
    return {line["id"] for line, bad in zip(lines, wrong, strict=True) if bad}
