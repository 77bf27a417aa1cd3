"""The options of commands that fetch and try models as a job does: those of main.py."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field

from pipeline.backends.archives import DEFAULT_BYTES
from pipeline.errors import ParameterError
from pipeline.launch import options
from pipeline.launch.options import RaisingParser
from pipeline.parameters import BY_NAME
from pipeline.serving.trial.apart import TrialLimits

_PARAMETERS = tuple(BY_NAME[n] for n in ("trial_secs", "trial_memory_mb", "max_hub_model_mb"))


@dataclass(frozen=True)
class ModelLimits:
    """What models may take.

    Attributes:
      trial: of new versions.
      unpacked_bytes: the most that an archive or the module of a hub unpacks to.
    """

    trial: TrialLimits = field(default_factory=TrialLimits)
    unpacked_bytes: int = DEFAULT_BYTES


def add(parser: RaisingParser) -> None:
    """Adds them to the parser of a command."""
    options.add_parameters(parser, _PARAMETERS)


def limits_of(arguments: argparse.Namespace) -> ModelLimits:
    """What was asked for, or the defaults of main.py.

    Raises:
      ParameterError: names each value that cannot be read.
    """
    values, problems = options.values_of(_PARAMETERS, vars(arguments))
    if problems:
        raise ParameterError(problems)
    secs, memory_mb, unpacked_mb = (int(values[parameter.name]) for parameter in _PARAMETERS)
    return ModelLimits(TrialLimits(secs, memory_mb), unpacked_mb << 20)
