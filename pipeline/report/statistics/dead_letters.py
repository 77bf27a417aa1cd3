"""Dead letters by reason: counts, and a few short examples of each.

Which examples are kept is as good as chance, and yet the same whatever the order: those whose
payload has the lowest hash.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.batch.batch import Reject

MOST_EXAMPLES = 3
LONGEST_PAYLOAD = 400
LONGEST_TEXT = 300
_ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"


@dataclass(frozen=True, order=True)
class Reason:
    """Why records have no prediction.

    Attributes:
      stage: see `batch.Reject`.
      error_type: see `batch.Reject`.
      model: the model that failed; empty where none did.
    """

    stage: str
    error_type: str
    model: str = ""


@dataclass(frozen=True, order=True)
class DeadLetterExample:
    """One dead letter, cut to size.

    Attributes:
      digest: of the payload, hexadecimal: decides which examples are kept.
      record_id: as text; empty where it is not known.
      message: what was found and what was expected.
      payload: its beginning; bytes that are not UTF-8 are escaped.
      payload_bytes: how long it is.
    """

    digest: str
    record_id: str
    message: str
    payload: str
    payload_bytes: int


@dataclass(frozen=True)
class DeadLetters:
    """The dead letters of one reason.

    Attributes:
      count: how many.
      examples: of them, at most MOST_EXAMPLES different ones, sorted.
    """

    count: int = 0
    examples: tuple[DeadLetterExample, ...] = field(default=())


def by_reason(rejects: Iterable[Reject]) -> dict[Reason, DeadLetters]:
    """The rejects by reason."""
    by_reason: dict[Reason, list[Reject]] = defaultdict(list)
    for reject in rejects:
        reason = Reason(reject.stage, reject.error_type, reject.model or "")
        by_reason[reason].append(reject)
    return {reason: DeadLetters(len(some), _chosen(some)) for reason, some in by_reason.items()}


def merged(parts: Iterable[Mapping[Reason, DeadLetters]]) -> dict[Reason, DeadLetters]:
    """The dead letters of all parts, by reason."""
    together: dict[Reason, list[DeadLetters]] = defaultdict(list)
    for part in parts:
        for reason, some in part.items():
            together[reason].append(some)
    return {
        reason: DeadLetters(
            sum(some.count for some in several),
            tuple(sorted({e for some in several for e in some.examples})[:MOST_EXAMPLES]),
        )
        for reason, several in together.items()
    }


def _chosen(rejects: Sequence[Reject]) -> tuple[DeadLetterExample, ...]:
    """The examples with the lowest digests; repetitions of them are made only if they are near."""
    digests = [hashlib.blake2b(reject.payload, digest_size=8).hexdigest() for reject in rejects]
    limit = heapq.nsmallest(MOST_EXAMPLES, set(digests))[-1]
    near = {
        _example(reject, digest)
        for reject, digest in zip(rejects, digests, strict=True)
        if digest <= limit
    }
    return tuple(sorted(near)[:MOST_EXAMPLES])


def _example(reject: Reject, digest: str) -> DeadLetterExample:
    payload = reject.payload[: 4 * LONGEST_PAYLOAD].decode(errors="backslashreplace")
    return DeadLetterExample(
        digest,
        _cut("" if reject.record_id is None else str(reject.record_id), LONGEST_TEXT),
        _cut(reject.error_message, LONGEST_TEXT),
        _cut(payload, LONGEST_PAYLOAD),
        len(reject.payload),
    )


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + _ELLIPSIS
