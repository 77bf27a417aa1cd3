"""Through folders: files in, files out, models and requests found by looking. Needs no service."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from streaming.channel import Arrival, Kind, Outputs
from streaming.feed import Record
from streaming.tail import Tail
from streaming.versions import write_in_one_step

WATCH_INTERVAL_SECS = 1


class FolderChannel:
    """A :class:`~streaming.channel.Channel` of files.

    Args:
      folder: of the run.
    """

    feed_secs = 0.25

    def __init__(self, folder: Path) -> None:
        self._input, self._requests = folder / "in", folder / "requests"
        self._outputs = Outputs(folder)
        self._tails: dict[Kind, Tail] = {
            "release event": Tail(self._outputs.release_events),
            "prediction": Tail(self._outputs.predictions),
            "dead letter": Tail(self._outputs.dead_letters),
        }
        self._sent = 0
        self._input.mkdir()
        self._requests.mkdir()

    def arguments(self) -> Sequence[str]:
        """See Channel."""
        return [
            "--streaming=true",
            f"--input_file_pattern={self._input}/*.jsonl",
            *self._outputs.arguments(),
            "--refresh_mode=watch",
            f"--watch_interval_secs={WATCH_INTERVAL_SECS}",
            f"--release_pattern={self._requests}/*.json",
        ]

    def send(self, records: Sequence[Record]) -> None:
        """See Channel. Each call makes one file."""
        self._sent += 1
        content = b"".join(record.payload + b"\n" for record in records)
        write_in_one_step(self._input / f"{self._sent:05d}.jsonl", content)

    def arrivals(self) -> Iterator[Arrival]:
        """See Channel."""
        for kind, tail in self._tails.items():
            lines = list(tail.lines())
            now = time.time()
            yield from (Arrival(kind, line, now) for line in lines)

    def announce(self, version: Path) -> str:
        """See Channel: it is found where it lies."""
        return f"renamed into place as {version}"

    def roll_back(self) -> str:
        """See Channel."""
        request = {"rollback": True}
        write_in_one_step(self._requests / "1.json", json.dumps(request).encode())
        return f"wrote {json.dumps(request)} to {self._requests.name}/1.json"
