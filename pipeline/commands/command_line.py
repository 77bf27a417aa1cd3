"""The command line of ``python -m pipeline``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from pipeline.commands import check, init, parsers, release, safetensors, status, stop
from pipeline.commands.exit_status import exit_status_of
from pipeline.errors import ParameterError
from pipeline.launch.options import RaisingParser
from pipeline.spec.plain_data import did_you_mean
from pipeline.spec.uris import plain_path

_COMMANDS = {
    "init": init,
    "check": check,
    "release": release,
    "status": status,
    "stop": stop,
    "safetensors": safetensors,
}

_LISTS = {"allowed_model_uris"}
"""Several paths or URIs, which their command reads."""


def main(argv: Sequence[str]) -> int:
    """Runs one command.

    Returns:
      the exit status: 0 done, 1 failed, 2 refused because of a mistake.
    """
    name = next((word for word in argv if not word.startswith("-")), "")
    command = _COMMANDS.get(name)
    refused = command.REFUSED if command else "No such command"
    return exit_status_of(lambda: _run(argv), refused=refused, failed=refused)


def _run(argv: Sequence[str]) -> None:
    parser = RaisingParser(
        prog="python -m pipeline",
        description="What is done around a job of main.py. COMMAND --help tells more of each.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(metavar="COMMAND", title="commands", dest="command")
    own = {name: command.add_parser(commands) for name, command in _COMMANDS.items()}
    if not argv:
        parser.print_help()
        raise ParameterError(f"expected a command, one of {', '.join(_COMMANDS)}")
    if argv[0].startswith("-") and argv[0] not in ("-h", "--help"):
        raise ParameterError(f"found {argv[0]}, expected a command first")
    if argv[0] not in (*_COMMANDS, "-h", "--help"):
        hint = did_you_mean(argv[0], _COMMANDS) or f"; the commands are {', '.join(_COMMANDS)}"
        raise ParameterError(f"unknown command '{argv[0]}'{hint}")
    arguments, rest = parser.parse_known_args(list(argv))
    try:
        values = {
            name: value if name in _LISTS else _with_paths(value)
            for name, value in vars(arguments).items()
        }
    except ValueError as error:
        raise ParameterError(str(error)) from None
    arguments = argparse.Namespace(**values)
    _COMMANDS[arguments.command].run_command(_with_rest(arguments, rest, own[arguments.command]))


def _with_paths(value: Any) -> Any:
    """An argument with a local path for a ``file://`` URI, also in a list of ``MODEL=URI``.

    Raises:
      ValueError: it names another machine.
    """
    if isinstance(value, list):
        return [_with_paths(one) for one in value]
    if not isinstance(value, str):
        return value
    name, equals, uri = value.partition("=")
    return f"{name}={plain_path(uri)}" if equals and "/" not in name else plain_path(value)


def _with_rest(
    arguments: argparse.Namespace, rest: Sequence[str], parser: RaisingParser
) -> argparse.Namespace:
    """The arguments, including those of other programs if the command takes them.

    Raises:
      ParameterError: it takes none; names each unknown one, with a similar known one.
    """
    if "parameters" in arguments:
        arguments.parameters = list(rest)
    elif rest:
        known = parsers.options_of(parser)
        raise ParameterError(
            [
                f"{word.partition('=')[0]} is not an option of {arguments.command}"
                + did_you_mean(word.partition("=")[0], known)
                if word.startswith("-")
                else f"found '{word}', which {arguments.command} has no use for"
                for word in rest
            ]
        )
    return arguments
