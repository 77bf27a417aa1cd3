"""Entry point of the Flex Template: parse, check, run. See README.md and --help."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

from pipeline import options, run
from pipeline.errors import EnsembleError, LaunchError
from pipeline.progress import Progress


def main(argv: Sequence[str]) -> int:
    """Runs one command line.

    Returns:
      the exit status: 0 done (or submitted), 1 the run failed, 2 refused at launch.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        run.run(options.parse(argv), Progress())
    except LaunchError as error:
        count = len(error.problems)
        print("Not started." if count == 1 else f"Not started, {count} problems:", file=sys.stderr)
        for problem in error.problems:
            print(f"  {problem}", file=sys.stderr)
        return 2
    except EnsembleError as error:
        print(f"The run failed: {error}", file=sys.stderr)
        return 1
    except RuntimeError as error:
        # Worker processes send their errors as text, with their traceback.
        ours = [line for line in str(error).splitlines() if line.startswith("pipeline.errors.")]
        if not ours:
            raise
        print(f"The run failed: {ours[-1].partition(': ')[2]}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
