"""Input files and prediction files, compared with the ensemble before a job starts."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.connectors import input_checks
from pipeline.core.decode_raw import RAW_FORMATS, no_payload
from pipeline.core.encode_table import RESERVED
from pipeline.core.formats import format_of
from pipeline.core.spec import EnsembleSpec
from pipeline.errors import PathError
from pipeline.settings import Settings


def problems(settings: Settings, spec: EnsembleSpec) -> Iterator[str]:
    """What is wrong with the formats of files, by parameter."""
    if settings.output_format == "parquet":
        for name in spec.output_columns():
            if name in RESERVED:
                yield (
                    f"--output_format: parquet has a column '{name}' of its own; output column "
                    f"'{name}' needs another name"
                )
    if spec.record.source == "image":
        if settings.input_format != "auto":
            yield f"--input_format={settings.input_format} does not go with `source: image`"
        for name in ("input_subscription", "input_topic", "input_table", "input_query"):
            if getattr(settings, name):
                yield (
                    f"--{name} does not go with `source: image`, whose records are files; expected "
                    "--input_file_pattern, or images as base64 in a field of dtype bytes"
                )
        return
    if spec.record.source == "raw" and settings.input_format not in ("auto", *RAW_FORMATS):
        chosen = format_of("", settings.input_format)
        yield f"--input_format={settings.input_format}: {no_payload(chosen)}"
        return
    if settings.input_file_pattern and not settings.streaming:
        try:
            for problem in input_checks.problems(
                settings.input_file_pattern, settings.input_format, spec.record
            ):
                yield f"--input_file_pattern: {problem}"
        except PathError:
            return  # told by the checks of the paths themselves
