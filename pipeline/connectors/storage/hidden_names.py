"""Names by which programs mark what is no data: ``_SUCCESS``, ``.part-0.crc``, ``_delta_log/``.

Systems have folders of their own on a disk, such as ``lost+found``, which most users may not read.

A wildcard does not mean them, nor what is in folders of such names; a pattern that has the
character where a name begins does. Pictures are called ``_DSC0001.jpg`` by cameras, and a partition
``_day=2024-01-01`` after a column: these are data.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pipeline.formats.image import IMAGE
from pipeline.readable import logger

_LOGGER = logger(__name__)

_WILDCARD = re.compile(r"[*?\[]")
_MARKS = frozenset("._")
_SYSTEM_FOLDERS = frozenset(
    ("lost+found", "System Volume Information", "$RECYCLE.BIN", "@eaDir")  # the last: Synology's
)
_PARTITION = re.compile(r"_[^=]*=")


def is_hidden(path: str, pattern: str) -> bool:
    """Whether a path matches a pattern that does not mean it.

    Args:
      path: local path or URI that matches.
      pattern: with or without wildcards.
    """
    parts = pattern.split("/")
    first = next((i for i, part in enumerate(parts) if _WILDCARD.search(part)), None)
    if first is None:
        return False
    marks = _MARKS.difference(part[:1] for part in parts[first:])
    *folders, name = path.split("/")[first:]
    if not _SYSTEM_FOLDERS.difference(parts).isdisjoint(folders):
        return True
    if any(folder[:1] in marks and not _PARTITION.match(folder) for folder in folders):
        return True
    is_picture = name.startswith("_") and name.lower().endswith(IMAGE.extensions)
    return name[:1] in marks and not is_picture


_said: set[str] = set()


def say_hidden(paths: Sequence[str], pattern: str) -> None:
    """Logs, once for a pattern in a process, that files are left out."""
    if paths and pattern not in _said:
        _said.add(pattern)
        _LOGGER.warning(
            "%d files that match '%s' are left out, since their names, or those of folders, begin "
            "with '.' or '_' or are the system's, such as %s; a pattern that has this character or "
            "name there means them",
            len(paths),
            pattern,
            paths[0],
        )
