"""The folder for temporary files: looked for before anything else is."""

from __future__ import annotations

import sys
import tempfile


def need_temporary_folder() -> None:
    """Ends the process with status 2 where there is no folder for temporary files, and says why.

    Call it before Beam is imported, which looks for one then and fails with a traceback.
    """
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        print(
            "Not started.\n  There is no folder for temporary files: found none that can be "
            "written, expected /tmp or what TMPDIR names. A container with a read-only root needs "
            "one: docker run --read-only --tmpfs /tmp",
            file=sys.stderr,
        )
        sys.exit(2)
