"""From what a command raises to what a person reads and the exit status that a script sees."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable

from pipeline.errors import EnsembleError, LaunchError


def status_of(
    work: Callable[[], object], *, refused: str = "Not started", failed: str = "The run failed"
) -> int:
    """Does some work, and prints in words why it could not be done.

    Args:
      work: raises for what is wrong.
      refused: the heading for mistakes.
      failed: the heading for failures of what was asked for rightly.

    Returns:
      the exit status: 0 done, 1 failed, 2 refused.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):  # not every stand-in for a stream has it
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    try:
        work()
    except LaunchError as error:
        count = len(error.problems)
        print(f"{refused}." if count == 1 else f"{refused}, {count} problems:", file=sys.stderr)
        for problem in error.problems:
            print(f"  {problem}", file=sys.stderr)
        return 2
    except EnsembleError as error:
        print(f"{failed}: {error}", file=sys.stderr)
        return 1
    except RuntimeError as error:
        # Worker processes send their errors as text, with their traceback.
        ours = [line for line in str(error).splitlines() if line.startswith("pipeline.errors.")]
        if not ours:
            raise
        print(f"{failed}: {ours[-1].partition(': ')[2]}", file=sys.stderr)
        return 1
    return 0
