"""The template's parameters: one table from which parsing, help and documentation are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["text", "integer", "boolean", "choice"]


@dataclass(frozen=True)
class Parameter:
    """One template parameter.

    Attributes:
      name: as on the command line, without dashes.
      label: two to five words.
      help: what it does, for a user who has not seen the source.
      kind: how its text is read.
      default: the text used when it is absent or empty; None when it then has no value.
      required: launching without it is an error (not for a dry run, unless `in_dry_run`).
      in_dry_run: also required for a dry run.
      choices: the values a "choice" may have.
      minimum: the least value of an "integer".
    """

    name: str
    label: str
    help: str
    kind: Kind = "text"
    default: str | None = None
    required: bool = False
    in_dry_run: bool = False
    choices: tuple[str, ...] = ()
    minimum: int = 0


PARAMETERS: tuple[Parameter, ...] = (
    Parameter(
        "ensemble_spec",
        "Ensemble file",
        "YAML or JSON file that names the record's fields, the models and how their outputs are "
        "combined. Local or gs://.",
        required=True,
        in_dry_run=True,
    ),
    Parameter(
        "input_file_pattern",
        "Input files",
        "Files to read, one JSON object a line; * and ? match parts of a name. Compressed files "
        "(.gz, .bz2) are read as they are. Local or gs://.",
        required=True,
    ),
    Parameter(
        "output_path",
        "Output prefix",
        "Predictions are written to PREFIX-00000-of-00003.jsonl and so on. Local or gs://.",
        required=True,
    ),
    Parameter(
        "dead_letter_path",
        "Dead letter prefix",
        "Records without a prediction are written here, each with the reason. Default: the output "
        "prefix followed by -dead-letters.",
    ),
    Parameter(
        "overwrite",
        "Overwrite earlier output",
        "Delete what an earlier run wrote under the same prefixes. Without it, a launch that finds "
        "such files is refused.",
        kind="boolean",
        default="false",
    ),
    Parameter(
        "device",
        "Device",
        "Where models run: auto (a GPU where there is one, else the CPU), cpu, or gpu (refuse to "
        "run without one). A model's own `device` in the ensemble file goes first.",
        kind="choice",
        choices=("auto", "cpu", "gpu"),
        default="auto",
    ),
    Parameter(
        "max_batch_size",
        "Largest batch",
        "Most records that travel, and are handed to a model, together. A model's own "
        "`max_batch_size` can only make its calls smaller.",
        kind="integer",
        minimum=1,
        default="1024",
    ),
    Parameter(
        "max_model_faults",
        "Model faults before failing",
        "The job fails when a model fails on every record of this many batches in a row. 0 never "
        "fails: each such record becomes a dead letter.",
        kind="integer",
        default="10",
    ),
    Parameter(
        "dry_run",
        "Check only",
        "Check everything, load every model, print the graph and the models' signatures, and run "
        "nothing.",
        kind="boolean",
        default="false",
    ),
)

BY_NAME = {parameter.name: parameter for parameter in PARAMETERS}
