"""Folders for what a batch job has not finished, such as ``out/p.tmp-5f3a9c01b2d4/``.

A job that is killed leaves its folder behind. No other job can tell that from the folder of one
that still runs, so nobody removes it; and nobody takes what is in it for a file of records.
"""

from __future__ import annotations

import re
import uuid

_CHARACTERS = 12
_FOLDER = re.compile(rf"\.tmp-[0-9a-f]{{{_CHARACTERS}}}/")


def new_folder(prefix: str) -> str:
    """A folder for one job, beside the files of a prefix. It is not made."""
    return f"{prefix}.tmp-{uuid.uuid4().hex[:_CHARACTERS]}"


def is_unfinished(path: str, pattern: str) -> bool:
    """Whether a file that matches a pattern is in such a folder, without the pattern naming it."""
    return _FOLDER.search(path) is not None and _FOLDER.search(pattern) is None
