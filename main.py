"""Entry point of the Flex Template: parse, check, run. See README.md and --help."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence

gc.disable()  # see pipeline.serving.interpreter.importing
from pipeline.commands.temporary_folder import need_temporary_folder  # noqa: E402

need_temporary_folder()
from pipeline.commands.exit_status import exit_status_of  # noqa: E402
from pipeline.jobs import run  # noqa: E402
from pipeline.jobs.progress import Progress  # noqa: E402
from pipeline.launch import options  # noqa: E402

gc.enable()


def main(argv: Sequence[str]) -> int:
    """Runs one command line.

    Returns:
      the exit status: 0 done (or submitted), 1 the run failed, 2 refused at launch.
    """
    return exit_status_of(lambda: run.run(options.parse(argv), Progress()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
