"""What a launch left behind: every file and folder of a test, as they are now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import main
from tests.support.storage import Gcs


def everything(folder: Path) -> dict[str, bytes | None]:
    """Relative path -> content, None for folders."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def objects(gcs: Gcs, bucket: str) -> dict[str, bytes]:
    """URI -> content."""
    return {uri: gcs.download(uri) for uri in gcs.list(bucket)}


def checked_main(look: Callable[[], object]) -> Callable[[Sequence[str]], int]:
    """The entry point, which also makes sure that what it refuses leaves no trace.

    Args:
      look: returns what is there.
    """
    launch = main.main

    def checked(argv: Sequence[str]) -> int:
        before = look()
        status = launch(argv)
        if status == 2:
            assert look() == before, "a refused launch changed something"
        return status

    return checked
