"""Whether everything that was sent came out."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

from streaming.feed import Record

Line = dict[str, Any]


class Account:
    """What was sent against what came out. A record comes out as a prediction or a dead letter.

    A prediction is known by its id, a dead letter by its payload. Broken lines are sent again and
    again, so each payload is counted.
    """

    def __init__(self) -> None:
        self._payloads: dict[str, bytes] = {}
        self._sent: Counter[bytes] = Counter()
        self._out: Counter[bytes] = Counter()
        self.missing = 0
        """How many records have not come out yet."""
        self.repeated = 0
        """How many came out that had come out before; a stream promises at least once."""
        self.unknown = 0
        """How many came out that were never sent."""

    @property
    def sent(self) -> int:
        """How many records were sent."""
        return self._sent.total()

    @property
    def is_balanced(self) -> bool:
        """Whether everything came out, and nothing else."""
        return not self.missing and not self.unknown

    def send(self, records: Iterable[Record]) -> None:
        """Notes records that are about to be sent."""
        for record in records:
            self._sent[record.payload] += 1
            self.missing += 1
            if record.record_id is not None:
                self._payloads[record.record_id] = record.payload

    def prediction(self, line: Line) -> None:
        """Notes a prediction."""
        self._came_out(self._payloads.get(line["id"], b"a prediction for nobody"))

    def dead_letter(self, line: Line) -> None:
        """Notes a dead letter."""
        payload = line["payload"].encode()
        if line["payload_encoding"] == "base64":
            payload = base64.b64decode(payload)
        self._came_out(payload)

    def audit(self, predictions: Iterable[bytes], dead_letters: Iterable[bytes]) -> Account:
        """A new account of what was sent, against other lines: those that were found in the end."""
        other = Account()
        other._payloads, other._sent, other.missing = self._payloads, self._sent, self.sent
        for line in predictions:
            other.prediction(json.loads(line))
        for line in dead_letters:
            other.dead_letter(json.loads(line))
        return other

    def verdict(self) -> str:
        """The account in one sentence."""
        if self.missing or self.unknown:
            return (
                f"NOT BALANCED: of {self.sent:,} records sent, {self.missing:,} never came out; "
                f"{self.unknown:,} came out that were not sent"
            )
        if self.repeated:
            return (
                f"all {self.sent:,} records sent came out as a prediction or a dead letter, at "
                f"least once; {self.repeated:,} of them more than once"
            )
        return (
            f"all {self.sent:,} records sent came out as a prediction or a dead letter, each once"
        )

    def _came_out(self, payload: bytes) -> None:
        self._out[payload] += 1
        if payload not in self._sent:
            self.unknown += 1
        elif self._out[payload] > self._sent[payload]:
            self.repeated += 1
        else:
            self.missing -= 1
