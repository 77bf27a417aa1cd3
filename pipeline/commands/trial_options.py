"""The options of commands that try models in a process of their own: those of main.py."""

from __future__ import annotations

import argparse

from pipeline.errors import ParameterError
from pipeline.launch import options
from pipeline.launch.options import RaisingParser
from pipeline.parameters import BY_NAME
from pipeline.serving.trial.apart import TrialLimits

_PARAMETERS = (BY_NAME["trial_secs"], BY_NAME["trial_memory_mb"])


def add(parser: RaisingParser) -> None:
    """Adds them to the parser of a command."""
    options.add_parameters(parser, _PARAMETERS)


def limits_of(arguments: argparse.Namespace) -> TrialLimits:
    """What was asked for, or the defaults of main.py.

    Raises:
      ParameterError: names each value that cannot be read.
    """
    values, problems = options.values_of(_PARAMETERS, vars(arguments))
    if problems:
        raise ParameterError(problems)
    secs, memory_mb = (int(values[parameter.name]) for parameter in _PARAMETERS)
    return TrialLimits(secs, memory_mb)
