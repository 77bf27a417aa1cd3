"""Predictions and dead letters as rows of tables, made of their JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from pipeline.batch.exact_number import exact_json
from pipeline.batch.payloads import as_json
from pipeline.connectors.bigquery.schema import TableColumn
from pipeline.formats.line_encoder import fitting_dead_letter

Row = dict[str, Any]
MOST_BYTES = 9_000_000
"""Of a row, and of a request to insert some, as JSON: see "streaming inserts" at
https://cloud.google.com/bigquery/quotas, 10 MB."""


def prediction_rows(lines: bytes, columns: Sequence[TableColumn]) -> list[Row]:
    """Rows for a table of predictions.

    Args:
      lines: as `formats.line_encoder.predictions` makes them.
      columns: see `connectors.bigquery.schema.prediction_columns`.
    """
    texts = [c.name for c in columns if c.type == "STRING" and not c.repeated]
    return [_prediction_row(_exact(line), texts) for line in lines.splitlines()]


def _exact(line: bytes) -> dict[str, Any]:
    """A line, the numbers that it passes through as they are written."""
    found: dict[str, Any] = orjson.loads(line)
    if "pass_through" in found:
        spelled = b'"pass_through":' + orjson.dumps(found["pass_through"]) + b',"'
        if spelled not in line:  # orjson wrote it, but for numbers that it does not know
            found["pass_through"] = exact_json(line)["pass_through"]
    return found


def _prediction_row(line: Mapping[str, Any], texts: Iterable[str]) -> Row:
    # Without what is missing, which is NULL then: a REPEATED column takes no null.
    outputs = {name: value for name, value in line["predictions"].items() if value is not None}
    row = {"id": line["id"], **outputs, **_release(line["release"])}
    for name in ("pass_through", "event_time"):
        if name in line:
            row[name] = line[name]
    for name in texts:
        if name in row and not isinstance(row[name], str):
            row[name] = as_json(row[name]).decode()
    return row


def dead_letter_rows(lines: bytes) -> list[Row]:
    """Rows of `connectors.bigquery.schema.DEAD_LETTER_COLUMNS`, none too long for a table.

    Of one that would be, the payload is cut, and its message says so, with size and SHA-256.

    Args:
      lines: as `formats.line_encoder.dead_letter` makes them.
    """
    return [_dead_letter_row(_fitting(line)) for line in lines.splitlines()]


def _fitting(line: bytes) -> Row:
    letter: Row = orjson.loads(line)
    # The client writes two bytes of a line as six at most.
    if 3 * len(line) <= MOST_BYTES or len(json.dumps(letter)) <= MOST_BYTES:
        return letter
    letter = orjson.loads(fitting_dead_letter(line, most_bytes=0))
    size, digest = letter.pop("payload_bytes"), letter.pop("payload_sha256")
    letter["error_message"] += f" (the payload is cut: {size:,} bytes, SHA-256 {digest})"
    return letter


def _dead_letter_row(letter: Row) -> Row:
    release, attributes = letter.pop("release"), letter.pop("attributes", {})
    if letter["id"] is not None:
        letter["id"] = str(letter["id"])
    pairs = [{"key": key, "value": value} for key, value in attributes.items()]
    return {**letter, **(_release(release) if release else {}), "attributes": pairs}


def release_of_row(row: Row) -> dict[str, object]:
    """The release that made a row of predictions, as lines name it."""
    models = {model["name"]: model["version"] for model in row["models"]}
    return {"id": row["release_id"], "generation": row["generation"], "models": models}


def _release(release: Mapping[str, Any]) -> Row:
    return {
        "release_id": release["id"],
        "generation": release["generation"],
        "models": [{"name": n, "version": v} for n, v in release["models"].items()],
    }
