"""A folder of this user alone, for what processes find again: copies of models, verdicts on them.

Whoever may write there decides what is loaded. So the folder lies in the user's cache folder, never
under a name in a shared folder that somebody else may have made first, and its owner and mode are
looked at each time.
"""

from __future__ import annotations

import os
import stat
import tempfile
from functools import cache
from pathlib import Path

_NAME = "ensemble-inference"
_PRIVATE = 0o700


def own_folder(name: str) -> Path:
    """A folder that only this user can look into and write to; made where it is missing.

    Where the user's cache folder cannot be used, it is in the temporary folder; and a fresh one,
    found by this process alone, where somebody else has taken that name.

    Args:
      name: what it is for.
    """
    try:
        above = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
        if not above.is_absolute():
            raise OSError(f"{above} is not absolute")
        above.mkdir(parents=True, exist_ok=True)
        return private(private(above / _NAME) / name)
    except (OSError, RuntimeError):  # no home, or none that can be written
        pass
    try:
        shared = Path(tempfile.gettempdir())
        return private(private(shared / f"{_NAME}-{os.getuid()}") / name)
    except OSError:
        return _fresh(name)


@cache
def _fresh(name: str) -> Path:
    return Path(tempfile.mkdtemp(prefix=f"{_NAME}-{name}-"))


def private(folder: Path) -> Path:
    """The folder, once it is known to be this user's own.

    Raises:
      PermissionError: somebody else made it, or may write to it.
      OSError: it cannot be made.
    """
    folder.mkdir(mode=_PRIVATE, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise PermissionError(f"{folder} is not a folder of this user")
    if found.st_mode & 0o022:
        raise PermissionError(f"others may write to {folder}")
    if found.st_mode & 0o077:
        folder.chmod(_PRIVATE)
    return folder
