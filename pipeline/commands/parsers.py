"""The common part of the command line parsers of all commands."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Sequence
from typing import Any, Protocol

from pipeline.launch.options import RaisingParser


class Commands(Protocol):
    """The object to which a command adds itself; argparse's own type is private."""

    def add_parser(self, name: str, **settings: Any) -> RaisingParser:
        """The parser of one command."""
        ...


def add(commands: Commands, name: str, about: str, text: str) -> RaisingParser:
    """The parser of a command.

    Args:
      commands: the commands of the program.
      name: the command's name.
      about: what it does, in one line.
      text: further text and examples, printed as they are.
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
