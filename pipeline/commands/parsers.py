"""What the command line parsers of all commands have in common."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Sequence
from typing import Any, Protocol

from pipeline.options import RaisingParser


class Commands(Protocol):
    """Where a command adds itself; argparse's own type is private."""

    def add_parser(self, name: str, **settings: Any) -> RaisingParser:
        """The parser of one command."""
        ...


def add(commands: Commands, name: str, about: str, text: str) -> RaisingParser:
    """The parser of a command.

    Args:
      commands: of the whole program.
      name: of the command.
      about: what it does, in a line.
      text: more, and examples; as it is printed.
    """
    return commands.add_parser(
        name,
        help=about,
        description=f"{about[0].upper()}{about[1:]}.",
        epilog=inspect.cleandoc(text),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def options_of(parser: argparse.ArgumentParser) -> Sequence[str]:
    """The names of a parser's options, with their dashes."""
    return [name for action in parser._actions for name in action.option_strings]
