"""``python -m pipeline COMMAND``: what is done around a job. See --help, and docs/commands.md."""

from __future__ import annotations

import sys

from pipeline.commands.temporary_folder import need_temporary_folder

need_temporary_folder()
from pipeline.commands.command_line import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
