"""``check``: whether an ensemble file and its models would run."""

from __future__ import annotations

import argparse

from pipeline.commands import parsers
from pipeline.jobs import run
from pipeline.jobs.progress import Progress
from pipeline.launch import options
from pipeline.launch.options import RaisingParser

REFUSED = "Would not start"


def add_parser(commands: parsers.Commands) -> RaisingParser:
    """Adds the command."""
    parser = parsers.add(
        commands,
        "check",
        "check an ensemble file: load every model, compare it with the graph, draw the graph",
        """
        The same as `python main.py --ensemble_spec=SPEC --dry_run`. Whatever else is given is a
        parameter of main.py, such as --graph_path, --device or --input_format.

        examples:
          python -m pipeline check ensemble.yaml
          python -m pipeline check gs://BUCKET/ensemble.yaml --graph_path=graph.svg
        """,
    )
    parser.add_argument("spec", metavar="SPEC", help="ensemble file, local or gs://; stands first")
    parser.set_defaults(parameters=[])
    return parser


def run_command(arguments: argparse.Namespace) -> None:
    """Checks the ensemble, and prints what main.py prints in a dry run.

    Raises:
      LaunchError: the launch of a job would be refused.
    """
    argv = [f"--ensemble_spec={arguments.spec}", "--dry_run=true", *arguments.parameters]
    run.run(options.parse(argv), Progress())
