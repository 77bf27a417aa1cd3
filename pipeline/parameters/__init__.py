"""The template's parameters: the one source of parsing, help, metadata.json and the reference."""

from pipeline.parameters.models import ENSEMBLE_SPEC, MODELS, REFRESH
from pipeline.parameters.parameter import Parameter
from pipeline.parameters.records import RECORDS_IN, RECORDS_OUT
from pipeline.parameters.run import RUN, WORKERS

PARAMETERS: tuple[Parameter, ...] = (
    ENSEMBLE_SPEC,
    *RECORDS_IN,
    *RECORDS_OUT,
    *MODELS,
    *REFRESH,
    *WORKERS,
    *RUN,
)

BY_NAME = {parameter.name: parameter for parameter in PARAMETERS}

__all__ = ["BY_NAME", "PARAMETERS", "Parameter"]
