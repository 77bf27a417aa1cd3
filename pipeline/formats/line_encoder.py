"""Batches encoded into JSON lines, a column at a time.

A numeric column is serialised in one call and cut at its row borders, so no Python number is ever
made; only text costs a call for each row.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson

from pipeline.batch.batch import Batch, Reject
from pipeline.batch.block import Origin
from pipeline.batch.columns import Array, BatchColumn, Column, Masked, Ragged, values_of
from pipeline.batch.message import MOST_DATA_BYTES, Message, acceptable_attributes

_CUT = 1 << 16
"""Characters of a text of a dead letter that is cut; a whole number of groups of base64."""
_NUMPY = orjson.OPT_SERIALIZE_NUMPY


def reject_unwritable(batch: Batch, output: Sequence[str]) -> Batch:
    """The batch without rows whose output no file can hold: NaN, infinity, text that is not UTF-8.

    Text is not UTF-8 where a model left half of a surrogate pair in it.
    """
    reasons: dict[int, tuple[str, str]] = {}
    for name in output:
        column = values_of(batch.columns[name])  # no placeholder is bad
        for row in _not_finite_rows(column):
            reasons.setdefault(
                row, ("not_finite_output", f"output column '{name}' holds NaN or infinity")
            )
        for row in _not_text_rows(column):
            reasons.setdefault(
                row, ("not_text_output", f"output column '{name}' holds text that is not UTF-8")
            )
    return batch.reject(reasons, stage="encode")


def predictions(batch: Batch, output: Sequence[str]) -> list[bytes]:
    """The rows of a batch as JSON lines.

    Each holds id, predictions and release; pass_through and event_time where the batch has them. A
    value that a row lacks is null.

    Args:
      batch: its output columns are finite and it carries its release.
      output: columns of a prediction, in order.

    Returns:
      one line for each row, ended by a newline.
    """
    if not len(batch):
        return []
    constants, fragments = _fragments(batch, output)
    line = b"%b".join(text.replace(b"%", b"%%") for text in constants)
    return [line % row for row in zip(*fragments, strict=True)]


def predictions_text(batch: Batch, output: Sequence[str]) -> bytes:
    """The same lines as one text, which is made much faster than one line after the other."""
    if not len(batch):
        return b""
    return join_columns(*_fragments(batch, output))


def join_columns(constants: Sequence[bytes], columns: Sequence[Sequence[bytes]]) -> bytes:
    """Lines whose parts are given by column, as one text.

    Args:
      constants: what each line begins with, has between two columns, and ends with.
      columns: at least one, of at least one row.
    """
    (begin, *between), stride, rows = constants, 2 * len(columns), len(columns[0])
    pieces: list[bytes] = [b""] * (stride * rows)
    for i, (column, behind) in enumerate(zip(columns, between, strict=True)):
        pieces[2 * i :: stride] = column
        pieces[2 * i + 1 :: stride] = [behind] * rows
    pieces[stride - 1 :: stride] = [between[-1] + begin] * (rows - 1) + [between[-1]]
    return b"".join([begin, *pieces])


def _fragments(batch: Batch, output: Sequence[str]) -> tuple[list[bytes], list[Sequence[bytes]]]:
    """What all lines have in common, and what stands between in each: columns of JSON texts."""
    if batch.release is None:
        raise ValueError("a batch must carry its release before it can be encoded")
    constants, fragments = [b'{"id":'], [_json_values(batch.ids)]
    before = b',"predictions":{'
    for name in output:
        constants.append(before + orjson.dumps(name) + b":")
        fragments.append(_json_or_null_rows(batch.columns[name]))
        before = b","
    end = b"}" if output else before + b"}"
    if batch.pass_through is not None:
        constants.append(end + b',"pass_through":')
        fragments.append(batch.pass_through)
        end = b""
    if batch.origins is not None:
        constants.append(end + b',"event_time":"')
        fragments.append([_time(origin.event_time_us).encode() for origin in batch.origins])
        end = b'"'
    constants.append(end + b',"release":' + orjson.dumps(batch.release.as_json()) + b"}\n")
    return constants, fragments


def dead_letter(
    reject: Reject, now: datetime, release: Mapping[str, object] | None = None
) -> bytes:
    """A reject as one JSON line.

    The payload is text when it is UTF-8, else base64; ``payload_encoding`` says which.

    Args:
      reject: the failed row.
      now: time of writing, aware.
      release: what served it, in the form of predictions, where the reject does not say.
    """
    try:
        payload, encoding = reject.payload.decode(), "utf-8"
    except UnicodeDecodeError:
        payload, encoding = base64.b64encode(reject.payload).decode(), "base64"
    letter: dict[str, Any] = {
        "payload": payload,
        "payload_encoding": encoding,
        "id": reject.record_id,
        "stage": reject.stage,
        "model": reject.model,
        "error_type": reject.error_type,
        "error_message": reject.error_message,
        "release": release if reject.release is None else reject.release.as_json(),
        "time": now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
    if reject.origin is not None:
        letter["event_time"] = _time(reject.origin.event_time_us)
        letter["attributes"] = dict(reject.origin.attributes)
    return orjson.dumps(letter, option=orjson.OPT_APPEND_NEWLINE)


def prediction_messages(batch: Batch, lines: Sequence[bytes]) -> tuple[Message, ...]:
    """The predictions of a batch as messages.

    Each has the attributes and the ordering key of its record, and record_id, release_id and
    generation, as far as Pub/Sub takes them.

    Args:
      batch: as handed to `predictions`.
      lines: as that returned them.
    """
    assert batch.release is not None
    release = {
        "release_id": batch.release.release_id,
        "generation": str(batch.release.generation),
    }
    origins: Iterable[Origin | None] = batch.origins or [None] * len(batch)
    return tuple(
        _message(line, origin, {"record_id": str(record_id), **release})
        for line, origin, record_id in zip(lines, origins, batch.ids, strict=True)
    )


def dead_letter_message(reject: Reject, line: bytes) -> Message:
    """A dead letter as a message, with the attributes of its record, stage and error_type.

    One that is too large for a message is cut, see `fitting_dead_letter`.
    """
    told = {"stage": reject.stage, "error_type": reject.error_type}
    return _message(fitting_dead_letter(line), reject.origin, told)


def fitting_dead_letter(line: bytes, most_bytes: int = MOST_DATA_BYTES) -> bytes:
    """A dead letter that a sink can hold: the line itself, or one with less of the payload.

    It then has the size of the payload, its SHA-256 and the first 64 KiB of its text, and no more
    than so much of the other texts.

    Args:
      line: the dead letter.
      most_bytes: of a line that is kept; by default those of a message.
    """
    if len(line) <= most_bytes:
        return line
    letter = orjson.loads(line)
    payload = letter["payload"]
    raw = base64.b64decode(payload) if letter["payload_encoding"] == "base64" else payload.encode()
    short = {k: v[:_CUT] if isinstance(v, str) else v for k, v in letter.items()}
    short |= {"payload_bytes": len(raw), "payload_sha256": hashlib.sha256(raw).hexdigest()}
    return orjson.dumps(short, option=orjson.OPT_APPEND_NEWLINE)


def reject_too_large(batch: Batch, lines: Sequence[bytes]) -> Batch:
    """The batch without rows whose line no message can hold.

    Args:
      batch: as handed to `predictions`.
      lines: as that returned them.
    """
    reasons = {
        row: (
            "too_large_message",
            f"the prediction has {len(line)} bytes, and a message at most {MOST_DATA_BYTES}",
        )
        for row, line in enumerate(lines)
        if len(line) > MOST_DATA_BYTES
    }
    return batch.reject(reasons, stage="encode") if reasons else batch


def _message(line: bytes, origin: Origin | None, attributes: dict[str, str]) -> Message:
    others = origin.attributes if origin is not None else {}
    data, key = line.rstrip(b"\n"), origin.ordering_key if origin is not None else ""
    return Message(data, acceptable_attributes(attributes, others), key)


def _time(us: int) -> str:
    whole = datetime.fromtimestamp(us // 1_000_000, UTC)
    return f"{whole:%Y-%m-%dT%H:%M:%S}.{us % 1_000_000 // 1000:03d}Z"


def _not_finite_rows(column: Column) -> list[int]:
    if isinstance(column, Ragged):
        return [
            i
            for i, row in enumerate(column.rows)
            if row.dtype.kind == "f" and not np.isfinite(row).all()
        ]
    if column.dtype.kind != "f":
        return []
    finite = np.isfinite(column)
    if finite.all():
        return []
    bad = ~finite.reshape(len(column), -1).all(axis=1)
    return [int(i) for i in np.flatnonzero(bad)]


def _not_text_rows(column: Column) -> list[int]:
    rows = column.rows if isinstance(column, Ragged) else column
    dtypes = {row.dtype for row in rows} if isinstance(column, Ragged) else {column.dtype}
    if not any(dtype.kind in "OU" for dtype in dtypes) or _is_all_text(column):
        return []
    return [i for i, row in enumerate(rows) if not is_text(row)]


def _is_all_text(column: Column) -> bool:
    """Whether all text of a column can be written, found out in one piece: that is cheap.

    False also where text and bytes are mixed.
    """
    if isinstance(column, Ragged):
        flat = [value for row in column.rows for value in row.ravel().tolist()]
    else:
        flat = column.ravel().tolist()
    kinds = set(map(type, flat))
    if kinds == {str}:
        joined = "".join(flat)
        return joined.isascii() or _encodes(joined)
    return kinds <= {bytes}


def is_text(row: Any) -> bool:
    """Whether all text of a row can be written; bytes always can."""
    if isinstance(row, str):
        return row.isascii() or _encodes(row)
    if isinstance(row, np.ndarray):
        return all(map(is_text, row.ravel().tolist()))
    return True


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _json_or_null_rows(column: BatchColumn) -> Sequence[bytes]:
    if not isinstance(column, Masked):
        return json_rows(column)
    rows = json_rows(column.values)
    return [row if has else b"null" for row, has in zip(rows, column.present, strict=True)]


def json_rows(column: Column) -> Sequence[bytes]:
    """JSON text of each row."""
    if isinstance(column, Ragged):
        return [_json_value(row) for row in column.rows]
    if column.dtype.kind in "OUS" and column.ndim == 1:
        return _json_values(column.tolist())
    if column.dtype.kind in "OUS" or column.size == 0:
        return [orjson.dumps(row, default=_base64) for row in column.tolist()]
    depth = column.ndim - 1
    opening, closing = b"[" * depth, b"]" * depth
    rows = number_rows(column)
    return [opening + row + closing for row in rows] if depth else rows


def number_rows(column: Array) -> list[bytes]:
    """JSON text of each row without the brackets around it; not of text, or of no values."""
    if column.dtype == np.float16:
        column = column.astype(np.float32)  # exact, and understood by the serialiser
    text = orjson.dumps(np.ascontiguousarray(column), option=_NUMPY)
    depth = column.ndim - 1
    return text[1 + depth : -1 - depth].split(b"]" * depth + b"," + b"[" * depth)


def _json_values(values: Sequence[Any]) -> Sequence[bytes]:
    """JSON text of each text, bytes, or integer; bytes are base64."""
    text = orjson.dumps(values, default=_base64)
    rows = text[1:-1].split(b",")
    # As many commas as there are between the values: none is inside of one.
    if len(rows) == len(values):
        return rows
    return [orjson.dumps(value, default=_base64) for value in values]


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _json_value(row: Array) -> bytes:
    if row.dtype.kind in "OUS":
        return orjson.dumps(row.tolist(), default=_base64)
    if row.dtype == np.float16:
        row = row.astype(np.float32)
    # Not its Python numbers: those of float32 would be written with the digits of float64.
    return orjson.dumps(np.ascontiguousarray(row), option=_NUMPY)
