"""Follows lines while they are written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


class Tail:
    """New lines of the output files in a folder, those of the unfinished file included.

    main.py writes ``.NAME.part`` and renames it to NAME when the file is finished. Who processes
    the output waits for that; who wants to see when a record comes out cannot.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._taken_bytes: dict[str, int] = {}
        self._finished: set[str] = set()

    def lines(self) -> Iterator[bytes]:
        """The lines since the last call, without their ends."""
        for path in sorted(self._folder.glob("*.jsonl*"), key=_final_name):
            name = _final_name(path)
            if name in self._finished:
                continue
            yield from self._new_lines(path, name)
            if path.name == name:
                self._finished.add(name)

    def _new_lines(self, path: Path, name: str) -> Iterator[bytes]:
        start = self._taken_bytes.get(name, 0)
        try:
            with path.open("rb") as file:
                file.seek(start)
                content = file.read()
        except FileNotFoundError:
            return  # finished just now: the next call finds it under its final name
        whole = content.rfind(b"\n") + 1
        self._taken_bytes[name] = start + whole
        yield from content[:whole].splitlines()


def _final_name(path: Path) -> str:
    return path.name.removeprefix(".").removesuffix(".part")
