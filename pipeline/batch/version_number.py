"""Numbers in the names of versions: the one place that knows how they are written.

A *number* is a run of digits, or several joined by dots (``1.10.2``), that stands alone or at the
end of a word: ``12``, ``v12``, ``r9``, ``model-3``, ``step_1000``, ``epoch=3-step=100``. A date or
a time is several numbers (``2024-01-31``, ``20240131T0930Z``). Digits before letters are not a
number (``7b``). A name that contains something like a hash has no number at all (``abc123f``). A
hash is a run of seven or more hexadecimal digits that changes at least twice between letters and
digits, unlike a word with its number (``decade1``). Of random runs with letters and digits, 11 % of
those with 7 characters change only once, 7 % of those with 8, 1 % of those with 12 and none with
40; in half of them the digits come first, so they are not numbers either.

Two names have their numbers *in the same place* if the text around the numbers is the same. Then
the numbers compare one by one from the left, as numbers: ``r9`` comes before ``r10``. Leading zeros
do not count (``007`` is 7), nor do trailing parts of zero (``1.0`` is 1).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

Numbers = tuple[tuple[int, ...], ...]
"""The numbers of a name from the left, each as the integers between its dots."""

_NUMBER = re.compile(
    r"(?:(?<![0-9A-Za-z])|(?<=[0-9]T))"  # a word begins here, or the time after a date
    r"(?P<word>[A-Za-z]*)(?P<digits>[0-9]+(?:\.[0-9]+)*)"
    r"(?=T[0-9]|Z?(?![0-9A-Za-z]))"  # and ends here, but for a time or the Z of UTC
)
_WORD = re.compile(r"[0-9A-Za-z]+")
_HASH = re.compile(
    r"(?=[0-9A-Fa-f]{7,}\Z)(?:[0-9]+[A-Fa-f]+[0-9]|[A-Fa-f]+[0-9]+[A-Fa-f])[0-9A-Fa-f]*"
)
_MOST_CHARACTERS = 1024
_BEGINS = re.compile(r"[vVrR]?[0-9]+(?:\.[0-9]+)*(?![0-9A-Za-z])")
_VERSION = re.compile(r"[vVrR]?[0-9]+(?:\.[0-9]+)*")


@dataclass(frozen=True)
class Numbered:
    """A name, taken apart.

    Attributes:
      around: the text before, between and after the numbers: one more than there are numbers.
      numbers: at least one.
    """

    around: tuple[str, ...]
    numbers: Numbers


@lru_cache(maxsize=4096)
def numbered(name: str) -> Numbered | None:
    """The numbers of a name; None if it has none, or is longer than Cloud Storage allows.

    Args:
      name: of a version: one part of a path, or several with ``/`` between them.
    """
    if len(name) > _MOST_CHARACTERS or _has_hash(name):
        return None
    around, numbers, end = [], [], 0
    for found in _NUMBER.finditer(name):
        around.append(name[end : found.start("digits")])
        numbers.append(_parts(found["digits"]))
        end = found.end("digits")
    return Numbered((*around, name[end:]), tuple(numbers)) if numbers else None


def alone(name: str) -> tuple[int, ...] | None:
    """The number of a name like ``12``, ``v12`` or ``r12``; None for every other name."""
    short = len(name) <= _MOST_CHARACTERS
    return _parts(name.lstrip("vVrR")) if short and _VERSION.fullmatch(name) else None


def part_of_version(parts: Sequence[str]) -> int | None:
    """Which part of a path is the version: the innermost one that is only a number.

    Only the last two count: ``clf/12/model.onnx`` is version 12, ``2024/clf/model.onnx`` is not
    2024.
    """
    return _innermost(parts, lambda part: alone(part) is not None)


def naming_part(parts: Sequence[str]) -> int:
    """Which part of a path people call a version by; `parts` must not be empty.

    Of the last two parts, the innermost that is only a number; without one, the innermost that
    begins with a number (``2024-01-31``); without one, the innermost that contains a number or a
    hash; else the last.
    """
    choices = (
        part_of_version(parts),
        _innermost(parts, lambda part: _BEGINS.match(part) is not None),
        _innermost(parts, lambda part: numbered(part) is not None or _has_hash(part)),
    )
    return next((choice for choice in choices if choice is not None), len(parts) - 1)


def _innermost(parts: Sequence[str], wanted: Callable[[str], bool]) -> int | None:
    last = len(parts) - 1
    return next((i for i in (last, last - 1) if i >= 0 and wanted(parts[i])), None)


def _has_hash(name: str) -> bool:
    return any(_HASH.fullmatch(word) for word in _WORD.findall(name))


def _parts(digits: str) -> tuple[int, ...]:
    number = [int(part) for part in digits.split(".")]
    while len(number) > 1 and number[-1] == 0:
        number.pop()
    return tuple(number)
