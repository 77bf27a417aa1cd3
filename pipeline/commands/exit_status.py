"""A command's errors as text for people and as an exit status for scripts."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable

from pipeline.errors import EnsembleError, LaunchError
from pipeline.readable import readable


def exit_status_of(
    work: Callable[[], object], *, refused: str = "Not started", failed: str = "The run failed"
) -> int:
    """Does some work, and prints the reason if it fails.

    Args:
      work: the work; raises an error of :mod:`pipeline.errors` if it fails.
      refused: the heading for mistakes of the user.
      failed: the heading for failures of a correct request.

    Returns:
      the exit status: 0 done, 1 failed, 2 refused.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):  # some replacements of a stream lack it
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    try:
        work()
    except LaunchError as error:
        count = len(error.problems)
        print(f"{refused}." if count == 1 else f"{refused}, {count:,} problems:", file=sys.stderr)
        for problem in str(error).split("\n"):
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
        print(f"{failed}: {readable(ours[-1].partition(': ')[2])}", file=sys.stderr)
        return 1
    return 0
