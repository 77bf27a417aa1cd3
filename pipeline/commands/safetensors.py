"""``safetensors``: pickled weights of a transformers folder, once more as safetensors."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline.backends.transformers.conversion import convert, pickled_folders
from pipeline.commands import parsers
from pipeline.errors import ArtifactError, PathError
from pipeline.launch.options import RaisingParser

REFUSED = "Nothing converted"


def add_parser(commands: parsers.Commands) -> RaisingParser:
    """Adds the command."""
    parser = parsers.add(
        commands,
        "safetensors",
        "write the weights of a transformers folder that has only pickles (.bin) as safetensors",
        """
        Reads pytorch_model.bin, or the files that pytorch_model.bin.index.json names, of the
        folder and of the folders in it (layers of sentence-transformers), and writes safetensors
        beside them. Only tensors are read: a file that holds anything else is refused, and no code
        that it carries is run. The pickles stay; a job has no use for them. Folders that were
        converted before are left as they are, so a run that failed can be repeated.

        examples:
          python -m pipeline safetensors models/bert/1
        """,
    )
    parser.add_argument("folder", metavar="FOLDER", help="of the model, on this machine")
    return parser


def run_command(arguments: argparse.Namespace) -> None:
    """Converts the folders.

    Raises:
      PathError: there is nothing to convert, or it cannot be.
    """
    try:
        for folder in pickled_folders(Path(arguments.folder)):
            for file in convert(folder):
                print(f"wrote {file}")
    except ArtifactError as error:
        raise PathError(str(error)) from error
