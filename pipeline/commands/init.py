"""``init``: a first ensemble file, from a folder of models and some records."""

from __future__ import annotations

import argparse
import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from pipeline.commands import parsers, trial_options
from pipeline.commands.trial_options import ModelLimits
from pipeline.connectors.storage import paths
from pipeline.connectors.storage.artifact_store import BeamArtifactStore
from pipeline.drafting import combine as draft_combine
from pipeline.drafting.draft import FILL_IN, GUESS, Draft
from pipeline.drafting.read_models import ModelsFolder
from pipeline.drafting.records import drafted
from pipeline.drafting.yaml import as_yaml
from pipeline.errors import ArtifactError, ParameterError, PathError
from pipeline.jobs.progress import Progress
from pipeline.launch.first_records import FirstRecords, first_records
from pipeline.launch.options import RaisingParser
from pipeline.serving.trial.apart import TrialLimits
from pipeline.spec import text as spec_text
from pipeline.spec.uris import is_local

REFUSED = "Nothing written"

_RECORDS = 10_000
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")


def add_parser(commands: parsers.Commands) -> RaisingParser:
    """Adds the command."""
    parser = parsers.add(
        commands,
        "init",
        "write a first ensemble file from a folder of models",
        """
        Models are found by their files: NAME/VERSION/..., NAME/... or single files, of
        scikit-learn, ONNX, PyTorch, TensorFlow, XGBoost, LightGBM, CatBoost and transformers. Of
        several versions the newest is taken. Each is loaded and asked for its tensors; files that
        can run code or touch other files (pickles) only with --trusted. A process of its own does
        so, since a damaged file may end it.

        The record's fields come from the models, and with --records from the first records of a
        file (JSON lines, CSV, Parquet, Avro, TFRecord, pictures, sounds). What is a guess says so
        in a comment. Then made-up rows are sent through the models, to see whether it works.

        examples:
          python -m pipeline init models --records records.jsonl
          python -m pipeline init gs://BUCKET/models --output gs://BUCKET/ensemble.yaml
        """,
    )
    parser.add_argument("models", metavar="MODELS_FOLDER", help="local or gs://")
    parser.add_argument(
        "--records", metavar="FILE", help="file, folder or pattern with records, local or gs://"
    )
    parser.add_argument(
        "--output", metavar="FILE", default="ensemble.yaml", help="default: ensemble.yaml"
    )
    parser.add_argument("--name", help="of the ensemble; default: the name of the folder")
    parser.add_argument(
        "--trusted",
        action="store_true",
        help="load files that can run code or touch others: only if you trust where they come from",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a file that is there")
    trial_options.add(parser)
    return parser


def run_command(arguments: argparse.Namespace) -> None:
    """Writes the file, and says what is left to do.

    Raises:
      LaunchError: there are no models or records, or the file cannot be written.
    """
    progress = Progress()
    folder, records, limits = _look(arguments)
    for path, what in folder.unreadable.items():
        progress.say(f"passed over {path}, which is {what}")
    base = spec_text.folder_of(arguments.output)
    read = folder.read(limits, progress.say, trusted=arguments.trusted)
    models = []
    for found, described in zip(folder.found, read, strict=True):
        uri = _as_written(folder.location(found.path), base)
        watch = _as_written(folder.location(found.watch), base) if found.watch else None
        models.append(folder.entry(found, described, uri, watch))
    draft = drafted(arguments.name or folder.ensemble_name, models, records)
    draft_combine.suggest(draft, folder.try_out(draft, limits, progress.say))
    text = as_yaml(draft, _heading(arguments))
    if not any(model.missing for model in models):  # else it is refused until it is completed
        spec_text.parse(text, source=arguments.output)
    paths.write_text(arguments.output, text, "application/yaml")
    print("\n".join(_summary(draft, arguments)))


def _look(
    arguments: argparse.Namespace,
) -> tuple[ModelsFolder, FirstRecords | None, TrialLimits]:
    """The models, the records if they are given, and what the process may take that loads models.

    Raises:
      LaunchError: what is wrong with any of the arguments.
    """
    wrong: list[str] = []
    folder, records, limits = None, None, ModelLimits()
    if arguments.name is not None and not _NAME.fullmatch(arguments.name):
        wrong.append(
            f"--name: found '{arguments.name}', expected letters, digits, '_', '.' and '-'"
        )
    try:
        limits = trial_options.limits_of(arguments)
    except ParameterError as error:
        wrong += error.problems
    try:
        folder = ModelsFolder(arguments.models, limits.unpacked_bytes)
    except PathError as error:
        wrong += [f"MODELS_FOLDER: {problem}" for problem in error.problems]
    if arguments.records is not None:
        try:
            records = first_records(arguments.records, _RECORDS)
        except PathError as error:
            wrong += [f"--records: {problem}" for problem in error.problems]
    try:
        _check_output(arguments.output, arguments.overwrite)
    except PathError as error:
        wrong += [f"--output: {problem}" for problem in error.problems]
    if wrong or folder is None:
        raise ParameterError(wrong)
    return folder, records, limits.trial


def _check_output(output: str, overwrite: bool) -> None:
    if output.endswith("/") or Path(output).is_dir():
        raise PathError(f"'{output}' is a folder, expected a file such as ensemble.yaml in it")
    try:
        there = BeamArtifactStore().exists(output)
    except ArtifactError as error:
        raise PathError(str(error)) from error
    if there and not overwrite:
        raise PathError(f"{output} is there already; give another name, or --overwrite")
    paths.check_writable(output)


def _as_written(location: str, base: str) -> str:
    """A location as the ensemble file names it: relative to its folder if it is below that."""
    if is_local(location) != is_local(base):
        return location if not is_local(location) else os.path.abspath(location)  # noqa: PTH100
    if not is_local(location):
        below = f"{base.rstrip('/')}/"
        return location.removeprefix(below)
    relative = os.path.relpath(location, base)
    return os.path.abspath(location) if relative.startswith("..") else relative  # noqa: PTH100


def _heading(arguments: argparse.Namespace) -> list[str]:
    words = [arguments.models]
    words += ["--records", arguments.records] if arguments.records else []
    words += ["--trusted"] if arguments.trusted else []
    return [
        f"Written by `python -m pipeline init {shlex.join(words)}`.",
        "Look at what is marked with 'guess' or 'fill in', then run `python -m pipeline check`.",
    ]


def _summary(draft: Draft, arguments: argparse.Namespace) -> Sequence[str]:
    """The lines that say what was written and what to do next."""
    notes = list(draft.notes())
    unknown = [model.name for model in draft.models if model.problem]
    guesses = sum(note.startswith(GUESS) for note in notes)
    missing = sum(note.startswith(FILL_IN) for note in notes) + len(unknown)
    counted = [
        f"{len(draft.models)} model{'s' * (len(draft.models) > 1)}",
        f"{guesses} guess{'es' * (guesses != 1)}",
        f"{missing} to fill in",
    ]
    lines = [f"wrote {arguments.output}: {', '.join(counted)}"]
    if unknown and not arguments.trusted:
        lines.append(f"not known: {', '.join(unknown)}; comments in the file say why")
    lines.append(f"next: python -m pipeline check {arguments.output}")
    return lines
