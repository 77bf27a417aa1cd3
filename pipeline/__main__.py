"""``python -m pipeline COMMAND``: what is done around a job. See --help, and docs/commands.md."""

from __future__ import annotations

import sys

from pipeline.commands.command_line import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
